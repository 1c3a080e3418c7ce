"""`bursar bench`: what it says adds up with what the sidecar and the ledger say."""

import collections
import json
import os
import signal
import subprocess
import time
from decimal import Decimal
from xml.etree import ElementTree

import processes
import pytest
import wire
from wire import CALL_SECONDS, pb

RATE = 100
MEASURED_SECONDS = 2
# A pause within three seconds of load.
PAUSED_SECONDS = 1.0


def bench(site, transport: str, account: str, *further: str) -> subprocess.Popen:
    at = f"unix:{site.socket}" if transport == "uds" else processes.url(site.sidecar_address)
    return processes.begin("bench", account, "draft", "--sidecar", at, "--json", *further)


def said(running: subprocess.Popen, status: int = 0) -> dict:
    out, err = running.communicate(timeout=processes.READY_SECONDS)
    assert running.returncode == status, f"ended with {running.returncode}: {err}{out}"
    return json.loads(out)


def adds_up(figures: dict) -> None:
    """Each run that was answered is in every list once."""
    latency = {row["call"]: row for row in figures["latency"]}
    settled = sum(row["count"] for row in figures["states"])
    decided = sum(row["count"] for row in figures["decisions"])
    assert figures["failed"] == figures["unanswered"] == 0 and figures["errors"] == []
    assert decided == figures["answered"] == latency["Authorize"]["answers"] == figures["late"]["answers"]
    assert settled == latency["Commit"]["answers"] == latency["both"]["answers"]
    for row in latency.values():
        percentiles = [row[name] for name in ("p50_us", "p90_us", "p99_us", "p99.9_us", "p99.99_us", "max_us")]
        assert percentiles == sorted(percentiles) and percentiles[-1] > 0
    assert figures["per_second"] == pytest.approx(figures["answered"] / figures["seconds"])


def names(plot) -> set[str]:
    """The words in a picture, which must be XML."""
    return {text.strip() for text in ElementTree.parse(plot).getroot().itertext()}


@pytest.mark.parametrize("pace", [["--in-flight", "8"], ["--rate", str(RATE)]], ids=["closed", "open"])
def test_every_run_that_it_counts_is_charged_at_the_ledger(site, transport, pace, tmp_path, eventually):
    account, plot = site.subscribe("wide"), tmp_path / "latency.svg"
    options = ["--warmup", "0s", "--duration", f"{MEASURED_SECONDS}s", "--plot", str(plot), "--quantity", "3"]
    figures = said(bench(site, transport, account, *pace, *options))
    adds_up(figures)
    assert figures["whole"] and figures["not_sent"] == 0
    if figures["loop"] == "open":
        assert figures["answered"] == RATE * MEASURED_SECONDS
    assert {row["decision"] for row in figures["decisions"]} == {"DECISION_ALLOWED"}
    assert {row["state"] for row in figures["states"]} == {"STATE_SETTLED"}
    eventually(lambda: Decimal(site.ledger_balance(account).spent or 0) == 3 * figures["answered"])
    assert Decimal(site.ledger_balance(account).held or 0) == 0
    assert {"Authorize", "Commit", "both", "90%", "99%", "percentile"} <= names(plot)


def test_refusals_are_counted_by_their_reason_over_several_accounts(site):
    stem = site.subscribe("hard")
    for number in range(2):
        request = wire.account_pb2.SubscribeRequest(account=f"{stem}-{number}", plan="hard", request_id=f"{stem}-{number}")
        site.accounts.Subscribe(request, timeout=CALL_SECONDS)
    options = ["--accounts", "2", "--rate", str(RATE), "--warmup", "0s", "--duration", "1s", "--quantity", "100"]
    figures = said(bench(site, "uds", stem, "--calls", "authorize", *options))
    counted = collections.Counter()
    for row in figures["decisions"]:
        counted[row["decision"], row["reason"]] += row["count"]
    # Each account has 500 credits, and what is only authorised stays held.
    allowed, denied = ("DECISION_ALLOWED", "REASON_UNSPECIFIED"), ("DECISION_DENIED", "REASON_CREDITS_EXHAUSTED")
    assert counted == {allowed: 10, denied: RATE - 10} and figures["states"] == []
    assert [held(site, f"{stem}-{number}") for number in range(2)] == [500, 500]


def held(site, account: str) -> Decimal:
    """As the sidecar knows it."""
    request = pb.GetBalanceRequest(account=account)
    return Decimal(site.entitlement().GetBalance(request, timeout=CALL_SECONDS).held or 0)


def pause(process: subprocess.Popen) -> None:
    """Stops the process for a while, as a hypervisor or a debugger does."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        time.sleep(PAUSED_SECONDS)
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("in_flight", ["2", "1024"])
def test_an_open_loop_shows_a_pause_in_all_that_it_delayed(site, in_flight, eventually):
    """With few in flight hardly a call is under way when the pause begins: who would have called waits all the same."""
    account = site.subscribe("wide")
    options = ["--warmup", "0s", "--duration", "3s", "--calls", "authorize", "--in-flight", in_flight]
    running = bench(site, "uds", account, "--rate", str(RATE), *options)
    eventually(lambda: held(site, account) > 0)
    pause(site.sidecar.process)
    figures = said(running)
    assert figures["answered"] == 3 * RATE and figures["not_sent"] == 0
    authorize = figures["latency"][0]
    # A third of the runs came during the pause; a tenth of all of them waited for 0.7 of it and more.
    assert authorize["p90_us"] >= 0.6e6 * PAUSED_SECONDS, figures
    assert authorize["max_us"] >= 0.9e6 * PAUSED_SECONDS, figures
    if in_flight == "2":
        assert figures["late"]["p90_us"] >= 0.6e6 * PAUSED_SECONDS, figures


def test_what_makes_no_sense_is_said_at_once(site):
    """In less time than the load would have taken."""
    account = site.subscribe("hard")
    options = ["--rate", "1000", "--duration", "10m"]
    for arguments, status, reason in (
        ([f"nobody-{account}", "draft"], 1, "ACCOUNT_UNKNOWN"),
        ([account, "draft", "--accounts", "2"], 1, f"`{account}-"),
        ([account, "no-such-action"], 1, "ACTION_UNKNOWN"),
        ([account, "draft", "--quantity", "many"], 1, "INVALID_QUANTITY"),
        ([account, "draft", "--in-flight", "0"], 2, "'0' for '--in-flight"),
        ([account, "draft", "--plot", "/nowhere/latency.svg"], 1, "`--plot /nowhere/latency.svg`"),
    ):
        done = processes.run("bench", *arguments, *options, "--sidecar", f"unix:{site.socket}")
        assert (done.returncode, done.stdout) == (status, ""), f"{arguments}: {done.stdout}{done.stderr}"
        assert reason in done.stderr, f"{arguments}: {done.stderr}"
    at_ledger = processes.run("bench", account, "draft", *options, "--sidecar", processes.url(site.ledger_address))
    assert at_ledger.returncode == 1 and "is this the right server?" in at_ledger.stderr, at_ledger.stderr


def test_it_ends_early_with_what_it_measured(short_directory):
    """By Ctrl-C, and when the sidecar goes away."""
    directory = short_directory / "bench"
    directory.mkdir()
    with processes.dev(directory) as server, processes.log_shown_on_failure(server):
        ready = server.ready()
        load = ["bench", ready["account"], "ticket.answer", "--sidecar", f"unix:{ready['socket']}", "--json"]
        options = ["--rate", str(RATE), "--warmup", "0s", "--duration", "10m"]

        interrupted = processes.begin(*load, *options)
        charged(ready)
        interrupted.send_signal(signal.SIGINT)
        figures = said(interrupted)
        assert figures["answered"] > 0 and figures["failed"] == 0 and not figures["whole"]

        orphaned = processes.begin(*load, *options)
        charged(ready)
        server.kill()
        out, err = orphaned.communicate(timeout=processes.READY_SECONDS)
        figures, error = json.loads(out), json.loads(err)["error"]
        assert (orphaned.returncode, error["reason"]) == (4, "UNREACHABLE")
        assert figures["answered"] > 0 and figures["failed"] == 1 and not figures["whole"]


def charged(ready: dict) -> None:
    """Waits until runs of the load are charged."""
    with wire.uds(ready["socket"]) as channel:
        stub = wire.pb_grpc.EntitlementServiceStub(channel)
        request = pb.GetBalanceRequest(account=ready["account"])
        spent = lambda: Decimal(stub.GetBalance(request, timeout=CALL_SECONDS).spent or 0)
        before, give_up = spent(), time.monotonic() + CALL_SECONDS
        while spent() < before + 20:
            assert time.monotonic() < give_up, "no run was charged"
            time.sleep(0.02)
