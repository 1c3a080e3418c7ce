"""A full journal refuses new work, and drops nothing."""

import itertools
import signal

import grpc
import processes
import pytest
import wire
from conftest import PLAYBOOK
from faults import read
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc

# The least that the outbox can be given.
OUTBOX_BYTES = 1 << 20
# More records than it holds: each names a team, a user, an agent and a run of the longest length.
RECORDS_MAX = OUTBOX_BYTES // 400
IN_FLIGHT = 32
# Leased before the ledger falls silent: what is recorded then is paid, and no debt.
LEASED = "1000000"


@pytest.fixture
def cut_off(short_directory):
    """A sidecar with a small outbox whose ledger is about to fall silent; gives the ledger, both services, an account."""
    directory = short_directory / "full"
    directory.mkdir()
    with processes.ledger(directory) as ledger:
        address = ledger.ready()["address"]
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(address))
        processes.succeed("account", "subscribe", "acme", "--plan", "wide", "--ledger", processes.url(address))
        with processes.sidecar(directory, address, options=("--outbox-bytes-max", "1MiB")) as sidecar:
            with wire.uds(sidecar.ready()["socket"]) as near, wire.tcp(address) as far:
                yield ledger, pb_grpc.EntitlementServiceStub(near), account_pb2_grpc.AccountServiceStub(far)
                # A process that is stopped cannot be ended with grace.
                ledger.process.send_signal(signal.SIGCONT)


def record(number: int) -> pb.RecordRequest:
    subject = pb.Subject(team="t" * 128, user="u" * 128, agent="a" * 128)
    return pb.RecordRequest(
        account="acme", action="draft", quantity="1", subject=subject, run_id="r" * 128, request_id=f"record-{number}"
    )


def fill(stub) -> tuple[int, grpc.RpcError]:
    """Records until one is refused; gives how many were acknowledged, and the refusal."""
    acknowledged, numbers = 0, itertools.count()
    while acknowledged < RECORDS_MAX:
        calls = [stub.Record.future(record(next(numbers)), timeout=wire.CALL_SECONDS) for _ in range(IN_FLIGHT)]
        refusals = [error for call in calls if (error := call.exception()) is not None]
        acknowledged += len(calls) - len(refusals)
        if refusals:
            return acknowledged, refusals[0]
    raise AssertionError(f"{acknowledged} records of the longest names fit into {OUTBOX_BYTES} bytes")


def test_a_full_outbox_refuses_new_work_and_keeps_what_it_has(cut_off, eventually):
    ledger, stub, accounts = cut_off
    run = pb.AuthorizeRequest(account="acme", action="draft", quantity=LEASED)
    held = stub.Authorize(run, timeout=wire.CALL_SECONDS)
    assert held.decision == pb.DECISION_ALLOWED, held
    stub.Release(pb.ReleaseRequest(reservation=held.reservation), timeout=wire.CALL_SECONDS)
    ledger.process.send_signal(signal.SIGSTOP)

    acknowledged, refusal = fill(stub)
    fault = read(refusal)
    assert (fault.code, fault.reason) == (grpc.StatusCode.UNAVAILABLE, "JOURNAL_FULL")
    assert fault.retry_seconds is not None and fault.retry_seconds > 0
    with pytest.raises(grpc.RpcError) as refused:
        stub.Authorize(pb.AuthorizeRequest(account="acme", action="draft"), timeout=wire.CALL_SECONDS)
    assert read(refused.value).reason == "JOURNAL_FULL"

    ledger.process.send_signal(signal.SIGCONT)

    def spent() -> int:
        request = account_pb2.GetBalanceRequest(account="acme")
        return int(accounts.GetBalance(request, timeout=wire.CALL_SECONDS).balance.spent or 0)

    eventually(lambda: spent() == acknowledged)
    again = stub.Authorize(pb.AuthorizeRequest(account="acme", action="draft"), timeout=wire.CALL_SECONDS)
    assert again.decision == pb.DECISION_ALLOWED, again
