"""What those see who look after processes: probes, metrics, `bursar doctor`."""

import json
import pathlib
import re
import tempfile
import urllib.error
import urllib.request

import processes
import pytest
import wire
from wire import pb, pb_grpc

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=wire.CALL_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(text: str) -> dict[str, float]:
    assert text.endswith("# EOF\n")
    lines = [line.split(" # ")[0] for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def documented(part: str) -> set[str]:
    rows = re.findall(r"^\| `([a-z_]+)` \| [a-z]+ \| [^|]*\| ([a-z, ]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    return {name for name, of in rows if part in of}


@pytest.fixture
def watched(site):
    """A ledger and a sidecar with probes and metrics; (ledger, sidecar) as they said that they are ready."""
    with tempfile.TemporaryDirectory(prefix="bursar-") as name:
        directory = pathlib.Path(name)
        listen = ("--admin-listen", "127.0.0.1:0")
        ledger = processes.Server(
            ["ledger", "--json", "--listen", "127.0.0.1:0", "--data-dir", str(directory / "ledger"), *listen],
            directory / "ledger.log",
        )
        with ledger:
            at = ledger.ready()
            processes.succeed("playbook", "publish", str(processes.ROOT / "tests/e2e/playbook.yaml"), "--ledger", processes.url(at["address"]))
            with processes.sidecar(directory, at["address"], options=listen) as sidecar:
                yield at, sidecar.ready(), directory


def test_metrics_and_probes(watched):
    ledger, sidecar, _ = watched
    for process in (ledger, sidecar):
        assert get(process["admin"], "/livez")[0] == 200
        assert get(process["admin"], "/readyz")[0] == 200
        assert get(process["admin"], "/elsewhere")[0] == 404
    processes.succeed("account", "subscribe", "acme", "--plan", "hard", "--ledger", processes.url(ledger["address"]))
    with wire.uds(sidecar["socket"]) as channel:
        stub = pb_grpc.EntitlementServiceStub(channel)
        request = pb.AuthorizeRequest(account="acme", action="draft", request_id="r1", quantity="1")
        traced = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
        run = stub.Authorize(request, timeout=wire.CALL_SECONDS, metadata=traced)
        assert run.decision == pb.DECISION_ALLOWED
        stub.Commit(pb.CommitRequest(reservation=run.reservation), timeout=wire.CALL_SECONDS)
    text = get(sidecar["admin"], "/metrics")[1]
    found = samples(text)
    assert found['bursar_decisions_total{decision="ALLOWED",reason="",mode="lease"}'] == 1
    assert found["bursar_charged_credits_total"] > 0
    assert found["bursar_ledger_up"] == 1
    assert 'trace_id="0af7651916cd43dd8448eb211c80319c"' in text
    assert "acme" not in text, "metrics name no accounts"
    for part, readings in [("sidecar", found), ("ledger", samples(get(ledger["admin"], "/metrics")[1]))]:
        names = {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in readings}
        # An error has to happen before it is counted.
        assert documented(part) - names <= {"bursar_call_errors_total"}
        assert names <= documented(part)


def test_doctor_finds_what_is_wrong(watched):
    ledger, sidecar, directory = watched
    address = processes.url(ledger["address"])
    flags = ["--data-dir", str(directory / "sidecar"), "--socket", sidecar["socket"]]
    well = processes.run("doctor", "sidecar", "--json", "--ledger", address, *flags)
    checks = {check["check"]: check for check in json.loads(well.stdout)["checks"]}
    assert well.returncode == 0, checks
    assert {name for name, check in checks.items() if check["state"] != "ok"} <= {"durability", "space", "certificate"}
    ill = processes.run("doctor", "sidecar", "--json", "--ledger", "http://127.0.0.1:1", *flags)
    said = json.loads(ill.stdout)
    assert ill.returncode == 1
    assert said["success"] is False
    [failed] = [check for check in said["checks"] if check["state"] == "failed"]
    assert failed["check"] == "ledger"
    assert failed["advice"]
    assert failed["link"] == "docs/doctor.md#ledger"
    wrong = processes.run("doctor", "sidecar", "--calls-max", "many")
    assert wrong.returncode == 1
    assert "calls_max" in wrong.stdout
