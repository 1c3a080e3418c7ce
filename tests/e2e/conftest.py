"""What the tests stand on: a ledger and a sidecar that run the tests' playbook, and accounts of their own.

Nothing is built here: `BURSAR_BIN` names the binary, `target/debug/bursar` unless told.
"""

import dataclasses
import itertools
import pathlib
import tempfile
import time

import grpc
import processes
import pytest
import wire
from wire import account_pb2, account_pb2_grpc, pb_grpc

PLAYBOOK = pathlib.Path(__file__).parent / "playbook.yaml"


@dataclasses.dataclass
class Site:
    """A running ledger with one sidecar."""

    directory: pathlib.Path
    ledger: processes.Server
    sidecar: processes.Server
    ledger_address: str
    sidecar_address: str
    socket: str
    channels: dict[str, grpc.Channel]
    _names: itertools.count = dataclasses.field(default_factory=lambda: itertools.count(1))

    def entitlement(self, transport: str = "uds") -> pb_grpc.EntitlementServiceStub:
        return pb_grpc.EntitlementServiceStub(self.channels[transport])

    @property
    def accounts(self) -> account_pb2_grpc.AccountServiceStub:
        return account_pb2_grpc.AccountServiceStub(self.channels["ledger"])

    def subscribe(self, plan: str) -> str:
        """A new account on the plan."""
        account = f"{plan}-{next(self._names)}"
        request = account_pb2.SubscribeRequest(account=account, plan=plan, request_id=f"subscribe-{account}")
        self.accounts.Subscribe(request, timeout=wire.CALL_SECONDS)
        return account

    def ledger_balance(self, account: str):
        request = account_pb2.GetBalanceRequest(account=account)
        return self.accounts.GetBalance(request, timeout=wire.CALL_SECONDS).balance


@pytest.fixture(scope="session")
def short_directory():
    """A directory with a short name: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="bursar-") as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="session")
def site(short_directory):
    with processes.ledger(short_directory) as ledger:
        ledger_address = ledger.ready()["address"]
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(ledger_address))
        with processes.sidecar(short_directory, ledger_address) as sidecar:
            said = sidecar.ready()
            channels = {
                "uds": wire.uds(said["socket"]),
                "tcp": wire.tcp(said["address"]),
                "ledger": wire.tcp(ledger_address),
            }
            yield Site(
                short_directory, ledger, sidecar, ledger_address, said["address"], said["socket"], channels
            )
            for channel in channels.values():
                channel.close()


@pytest.fixture(params=["uds", "tcp"])
def transport(request) -> str:
    """Each test that asks for it runs over the Unix socket and over TCP."""
    return request.param


@pytest.fixture
def entitlement(site, transport):
    """The sidecar's service over one of its transports; its calls have a deadline unless they name one."""
    return Deadlined(site.entitlement(transport))


class Deadlined:
    """A stub whose calls end: a server that hangs fails the test instead of stopping it."""

    def __init__(self, stub):
        self._stub = stub

    def __getattr__(self, method: str):
        call = getattr(self._stub, method)
        return lambda request, timeout=wire.CALL_SECONDS: call(request, timeout=timeout)


@pytest.fixture
def ledger(site):
    return Deadlined(site.accounts)


@pytest.fixture
def eventually():
    """Waits until what travels between sidecar and ledger has arrived; a pass takes no longer than that."""

    def wait(true, seconds: float = wire.CALL_SECONDS):
        give_up = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < give_up, f"not within {seconds} s"
            time.sleep(0.02)

    return wait


# What went wrong, as the very last lines show it: a log whose middle was cut still has them.
REASON_LINES = 16
REASON_LINE_CHARACTERS = 300
reasons = pytest.StashKey[list[str]]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of both servers' logs, and is remembered for the last lines."""
    report = (yield).get_result()
    if not report.failed:
        return
    given = getattr(item, "funcargs", {})
    running = given.get("site") or given.get("rig")
    if running is not None:
        for server in (running.sidecar, running.ledger):
            report.sections.append((str(server), server.tail()))
    said = [f"{report.nodeid} ({report.when}) failed:", *call.excinfo.exconly().splitlines()[:REASON_LINES]]
    if "rig" in given:
        said.append(str(given["rig"]))
    item.config.stash.setdefault(reasons, []).extend(line[:REASON_LINE_CHARACTERS] for line in said)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Says last, after everything else that pytest prints, what went wrong."""
    writer = config.get_terminal_writer()
    for line in config.stash.get(reasons, []):
        writer.line(line)
