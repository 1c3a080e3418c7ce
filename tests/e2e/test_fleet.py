"""The whole system under faults: nothing acknowledged is lost, nothing is charged twice, no limit is passed.

`BURSAR_RUNS` says how many runs there are (1,500 at least unless told), `BURSAR_SEED` repeats a run's choices (not the timing).
"""

import concurrent.futures
import contextlib
import os
import random
import time
from decimal import Decimal

import faults
import grpc
import processes
import pytest
import wire
from fleet import GRACE, LEASE_OVER_SECONDS, SMALL_CREDITS, Fleet
from roaming import SCARCE, Run, one_line
from wire import pb, pb_grpc
from workload import insist, insist_on_decision

RUNS = int(os.environ.get("BURSAR_RUNS", "1500"))
SEED = os.environ.get("BURSAR_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"

CALM_SECONDS = 3
# In between, everything is healed after so many harms.
HARMS_PER_CALM = 48
AUDITORS = 8


@pytest.fixture
def fleet(short_directory):
    directory = short_directory / "fleet"
    directory.mkdir()
    print(f"\nBURSAR_SEED={SEED} BURSAR_RUNS={RUNS}")
    with contextlib.ExitStack() as stack:
        fleet = Fleet(directory, stack, SEED, RUNS)
        try:
            yield fleet
        finally:
            # Threads first: they must not meet channels that are closed.
            fleet.stop.set()
            for caller in fleet.callers:
                if caller.is_alive():
                    caller.join()


def test_the_whole_is_exact_under_faults(fleet):
    began = time.monotonic()
    try:
        share_to_the_last_credit(fleet, "small-before")
        load(fleet)
        print(f"{time.monotonic() - began:.0f} s: {fleet.shown()}")
        drain(fleet)
        with auditor(fleet) as stub:
            charged = audit_runs(fleet, stub)
            audit_balances(fleet, charged)
            find_what_is_left(fleet, stub)
        audit_database(fleet, charged)
        print(f"{time.monotonic() - began:.0f} s in all; charges {charged}")
    except BaseException:
        print(fleet.shown())
        for book in fleet.books:
            print(f"{book}, used at most {book.most}: {one_line(fleet.balance(fleet.addresses[0], book.name))}")
        for server in fleet.servers():
            print(f"{server}\n{server.tail()}")
        raise


def load(fleet: Fleet) -> None:
    for caller in fleet.callers:
        caller.start()
    fleet.calm(CALM_SECONDS)
    while fleet.made() < RUNS:
        before = fleet.harms()

        def enough(before=before) -> bool:
            # Each kind of harm comes at least once.
            over = fleet.made() >= RUNS and fleet.harms() >= len(fleet.kinds())
            return over or fleet.harms() >= before + HARMS_PER_CALM

        fleet.harm(enough)
        fleet.heal()
        # Leases that somebody lost must be over, or a refusal may be right for their sake.
        time.sleep(LEASE_OVER_SECONDS)
        fleet.calm(CALM_SECONDS)
    fleet.end_load()


def share_to_the_last_credit(fleet: Fleet, name: str) -> None:
    """A small account, asked for one credit at a time at all sidecars at once: each gets what is left, wherever it lies."""
    book = fleet.subscribe(name, "small", SMALL_CREDITS)

    def take(place: int) -> int:
        taken = 0
        stub = pb_grpc.EntitlementServiceStub(channels[place])
        while True:
            fields = {"account": book.name, "action": "ping", "quantity": "0.5", "request_id": f"{name}-{place}-{taken}"}
            answer = insist_on_decision(stub.Authorize, pb.AuthorizeRequest(**fields))
            if answer.decision == pb.DECISION_DENIED:
                assert answer.reason == pb.REASON_CREDITS_EXHAUSTED, one_line(answer)
                return taken
            taken += 1

    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(wire.uds(socket)) for socket in fleet.sockets]
        with concurrent.futures.ThreadPoolExecutor(len(channels)) as takers:
            taken = list(takers.map(take, range(len(channels))))
    assert sum(taken) == SMALL_CREDITS, f"{taken} of {SMALL_CREDITS}"


def drain(fleet: Fleet) -> None:
    """After all that, the last credit is still shared; then what is still at the sidecars goes to the ledger."""
    share_to_the_last_credit(fleet, "small-after")
    for sidecar in fleet.sidecars:
        assert sidecar.stop() == 0, sidecar.tail()


def at_ledger(stub, run: Run) -> tuple[int, str, bool]:
    if run.answer is not None and run.answer.reservation:
        request = pb.GetReservationRequest(reservation=run.answer.reservation)
    else:
        request = pb.GetReservationRequest(account=run.book.name, request_id=run.request.request_id)
    try:
        found = insist(stub.GetReservation, request).run
    except grpc.RpcError as error:
        fault = faults.read(error)
        assert fault.reason == "RESERVATION_UNKNOWN", f"{fault}\n{run}"
        return 0, "UNKNOWN", False
    return int(Decimal(found.charged or 0)), pb.State.Name(found.state).removeprefix("STATE_"), found.provisional


@contextlib.contextmanager
def auditor(fleet: Fleet):
    """A sidecar that has never seen any run."""
    with processes.sidecar(fleet.directory, fleet.addresses[0], "auditor", GRACE) as sidecar:
        with wire.uds(sidecar.ready()["socket"]) as channel:
            yield pb_grpc.EntitlementServiceStub(channel)
        assert sidecar.stop() == 0, sidecar.tail()


def audit_runs(fleet: Fleet, stub) -> dict[str, int]:
    """Every run as the ledger knows it; gives the charges added up per account."""
    charged = {book.name: 0 for book in fleet.books}
    runs = [run for caller in fleet.callers for run in caller.runs]
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(AUDITORS) as auditors:
        for run, found in zip(runs, auditors.map(lambda run: at_ledger(stub, run), runs), strict=True):
            charged[run.book.name] += found[0]
            why = run.judge(*found)
            if why is not None:
                wrong.append(why)
    assert not wrong, f"{len(wrong)} of {len(runs)} runs are wrong\n" + "\n\n".join(wrong[:10])
    return charged


def find_what_is_left(fleet: Fleet, stub) -> None:
    """What nobody has spent or holds is there for the next run, to the last credit, but for what the refusal names: seals,
    and grants that were lost on their way to sidecars which have stopped."""
    for book in fleet.books:
        balance = fleet.balance(fleet.addresses[1], book.name)
        left = min([Decimal(balance.available), *(Decimal(cap.left) for cap in balance.caps)])

        def ask(what: str, credits, account=book.name):
            fields = {"account": account, "action": "draft", "quantity": str(credits), "request_id": f"{what}-{account}"}
            return insist_on_decision(stub.Authorize, pb.AuthorizeRequest(**fields))

        refused = ask("too-much", left + 1)
        shown = f"{book}, {left} left: {one_line(balance)}\n{one_line(refused)}"
        assert refused.decision == pb.DECISION_DENIED and refused.reason in SCARCE, shown
        away = Decimal(refused.out_of_reach.credits or 0)
        if refused.reason == pb.REASON_CREDITS_EXHAUSTED:
            used = Decimal(balance.spent or 0) + Decimal(balance.held or 0)
            assert used + left + away >= book.limit, shown
        if left > 0:
            allowed = ask("all-of-it", left)
            if allowed.decision != pb.DECISION_ALLOWED and left > away > 0:
                # The lease of a sidecar that has stopped counts as available until its time is over.
                allowed = ask("all-in-reach", left - away)
            # A cap's room may be out of reach with the credits.
            said = away >= left or (refused.reason == pb.REASON_CAP_REACHED and away > 0)
            assert allowed.decision == pb.DECISION_ALLOWED or said, f"{shown}\n{one_line(allowed)}"
            if allowed.decision == pb.DECISION_ALLOWED:
                insist(stub.Release, pb.ReleaseRequest(reservation=allowed.reservation))


def audit_balances(fleet: Fleet, charged: dict[str, int]) -> None:
    """Both ledgers, and one that reads the journals for the first time, show exactly these charges, and no limit was
    passed. A journal whose chain of hashes is broken is not read at all."""
    with processes.shared_ledger(fleet.directory, fleet.database.url, "late") as late:
        addresses = [*fleet.addresses, late.ready()["address"]]
        for book in fleet.books:
            balances = [fleet.balance(address, book.name) for address in addresses]
            for balance in balances:
                spent, held, debt = (Decimal(amount or 0) for amount in (balance.spent, balance.held, balance.debt))
                shown = f"{book}, charged {charged[book.name]}: {one_line(balance)}"
                assert debt == 0, f"debt, though no run used more than it held: {shown}"
                assert spent == charged[book.name], f"not what its runs were charged: {shown}"
                assert spent + held <= book.limit, f"past its limit: {shown}"
                assert Decimal(balance.available or 0) >= 0, f"less than nothing is available: {shown}"
                for cap in balance.caps:
                    assert Decimal(cap.used) <= Decimal(cap.limit), f"past a cap: {shown}"


def audit_database(fleet: Fleet, charged: dict[str, int]) -> None:
    """The rows agree with the runs, add up, have no gaps, and are the same at the standby."""

    def rows():
        return fleet.database.ask(
            "SELECT b.account, sum(granted - available - held - spent - lapsed - withdrawn), sum(spent), max(a.debt),"
            " min(least(available, held, spent, lapsed, withdrawn))"
            " FROM bursar.blocks b JOIN bursar.accounts a USING (account) GROUP BY b.account"
        )

    found = {account: [Decimal(figure) for figure in figures] for account, *figures in rows()}
    for account, credits in charged.items():
        off, spent, debt, least = found[account]
        assert (off, spent, debt) == (0, credits, 0) and least >= 0, f"{account}: {found[account]}, charged {credits}"
    gaps = fleet.database.ask(
        "SELECT account FROM (SELECT account, first, lag(last, 1, 0::bigint) OVER (PARTITION BY account ORDER BY first) AS"
        " before, last FROM bursar.entries) e WHERE first <> before + 1"
        " UNION SELECT account FROM bursar.accounts a WHERE number <> (SELECT max(last) FROM bursar.entries e WHERE"
        " e.account = a.account)"
    )
    assert not gaps, f"journals with gaps: {gaps}"
    assert not fleet.database.ask("SELECT account, number FROM bursar.unapplied"), "records that nobody could apply"
    before = rows()
    fleet.database.fail_over()
    assert sorted(rows()) == sorted(before)
