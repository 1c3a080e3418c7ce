"""The sidecar is killed with SIGKILL at random moments under load; nothing acknowledged is lost or charged twice.

`BURSAR_KILLS` says how often (50 unless told), `BURSAR_SEED` repeats a run's choices (not the machine's timing).
"""

import concurrent.futures
import contextlib
import os
import random
import threading
import time
from decimal import Decimal

import faults
import grpc
import processes
import pytest
import wire
from conftest import PLAYBOOK
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc
from workload import Account, Caller, Ledger, Run, insist, insist_on_decision

KILLS = int(os.environ.get("BURSAR_KILLS", "50"))
SEED = os.environ.get("BURSAR_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"

CALLERS = 8
# The longest that a process lives before it is killed, from its ready line on.
LIFE_SECONDS_MAX = 0.6
# The share of starts that are killed before they are ready: recovery is interrupted too.
KILLED_AT_START = 0.2
START_SECONDS_MAX = 0.15
# Runs that are authorised in the last moment before each kill.
LAST_MOMENT_RUNS = 3
# Accounts whose credits run out are replaced after so many kills, so that later kills meet them too.
KILLS_PER_ACCOUNT = 10
# Calls that are repeated at another sidecar in the end.
REPEATED_ELSEWHERE = 200

# Refusals that the load must meet, and how long it may take to.
LIMITS = {pb.REASON_CREDITS_EXHAUSTED, pb.REASON_CAP_REACHED}
LIMITS_SECONDS_MAX = 120

# How long a clean stop may take to report what is left: a process that runs out of its grace leaves the rest to its next
# start, and here there is none. Only a slow machine needs as much; the harness waits longer still.
GRACE = ("--shutdown-grace", "20s")

# What playbook.yaml grants and limits.
HARD_CREDITS = 500
CAPPED_CREDITS = 300
WIDE_CREDITS = 100_000_000


class Rig:
    """A ledger that stays, a sidecar that dies, callers that do not notice."""

    def __init__(self, directory, stack: contextlib.ExitStack):
        print(f"BURSAR_SEED={SEED} BURSAR_KILLS={KILLS}")
        self.random = random.Random(SEED)
        self.directory = directory
        self.ledger = stack.enter_context(processes.ledger(directory))
        self.ledger_address = self.ledger.ready()["address"]
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(self.ledger_address))
        self.ledger_channel = stack.enter_context(wire.tcp(self.ledger_address))
        self.administration = account_pb2_grpc.AccountServiceStub(self.ledger_channel)
        self.sidecar = self.start()
        # Whichever process is the sidecar in the end.
        stack.callback(lambda: self.sidecar.__exit__())
        self.socket = self.sidecar.ready()["socket"]
        # A connection of its own for each caller: one that breaks must not take the others' calls with it.
        self.stub, *stubs = [
            pb_grpc.EntitlementServiceStub(stack.enter_context(wire.uds(self.socket))) for _ in range(CALLERS + 1)
        ]
        self.said = Ledger()
        self.stop = threading.Event()
        stack.callback(self.stop.set)
        self.wide = self.subscribe("wide", "wide-0", WIDE_CREDITS, scarce=False)
        self.all_accounts = [self.wide]
        self.now: list[Account] = []
        self.renew_accounts(0)
        self.last_moment_runs: list[Run] = []
        self.slowest_start = 0.0
        self.callers = [
            Caller(f"{SEED}-{n}", stub, lambda: self.now, self.said, self.stop) for n, stub in enumerate(stubs)
        ]

    def __str__(self) -> str:
        made = sum(caller.made for caller in self.callers)
        return f"BURSAR_SEED={SEED} BURSAR_KILLS={KILLS}: {self.said.kills} processes were killed, {made} runs asked for"

    def start(self, name: str = "sidecar") -> processes.Server:
        return processes.sidecar(self.directory, self.ledger_address, name, GRACE)

    def subscribe(self, plan: str, name: str, limit: int, scarce: bool) -> Account:
        processes.succeed(
            "account", "subscribe", name, "--plan", plan, "--ledger", processes.url(self.ledger_address)
        )
        return Account(name, limit, scarce)

    def renew_accounts(self, kill: int) -> None:
        hard = self.subscribe("hard", f"hard-{kill}", HARD_CREDITS, scarce=True)
        capped = self.subscribe("capped", f"capped-{kill}", CAPPED_CREDITS, scarce=True)
        self.all_accounts += [hard, capped]
        # The wide account gets most of the load.
        self.now = [self.wide, self.wide, hard, capped]

    def kill_once(self, kill: int) -> None:
        time.sleep(self.random.uniform(0, LIFE_SECONDS_MAX))
        last = [self.last_moment_run(f"last-{kill}-{n}") for n in range(LAST_MOMENT_RUNS)]
        self.sidecar.kill()
        self.said.kills += 1
        while self.random.random() < KILLED_AT_START:
            with self.start():
                time.sleep(self.random.uniform(0, START_SECONDS_MAX))
            self.said.kills += 1
        began = time.monotonic()
        self.sidecar = self.start()
        self.sidecar.ready()
        self.slowest_start = max(self.slowest_start, time.monotonic() - began)
        for run in last:
            run.ending = pb.CommitRequest(reservation=run.handle, quantity="2", request_id=f"{run.request.request_id}-e")
            run.ended = insist(self.stub.Commit, run.ending)
            assert int(run.ended.charged) == 2, f"a run authorised just before a kill: {run.ended}"
            self.said.add(run.account, 2)
        self.last_moment_runs += last

    def last_moment_run(self, request_id: str) -> Run:
        request = pb.AuthorizeRequest(account=self.wide.name, action="draft", quantity="3", request_id=request_id)
        run = Run(self.wide, request, insist_on_decision(self.stub.Authorize, request))
        assert run.answer.decision == pb.DECISION_ALLOWED, run.answer
        return run

    def runs(self) -> list[Run]:
        return [run for caller in self.callers for run in caller.runs] + self.last_moment_runs

    def check_callers(self) -> None:
        for caller in self.callers:
            if caller.failure is not None:
                raise caller.failure

    def meet_limits(self) -> None:
        """Lets the load go on until credits ran out and a cap was reached, or what follows would show nothing."""
        give_up = time.monotonic() + LIMITS_SECONDS_MAX
        while not LIMITS <= self.said.refusals.keys():
            self.check_callers()
            assert time.monotonic() < give_up, f"no run met its limit, only {self.said.refusals}"
            time.sleep(0.05)

    def end_load(self) -> None:
        self.stop.set()
        for caller in self.callers:
            caller.join()
        self.check_callers()
        # A clean stop drains: what was acknowledged is at the ledger when the process has ended.
        assert self.sidecar.stop() == 0, self.sidecar.tail()

    def balance(self, account: Account):
        request = account_pb2.GetBalanceRequest(account=account.name)
        return self.administration.GetBalance(request, timeout=wire.CALL_SECONDS).balance


@pytest.fixture
def rig(short_directory):
    directory = short_directory / "kill"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        rig = Rig(directory, stack)
        yield rig
        # Threads first: they must not meet channels that are closed.
        rig.stop.set()
        for caller in rig.callers:
            if caller.is_alive():
                caller.join()


def at_ledger(stub, run: Run):
    """What the ledger says of a run, asked through a sidecar that has never seen it; None = it never heard of it."""
    if run.known:
        request = pb.GetReservationRequest(reservation=run.handle)
    else:
        request = pb.GetReservationRequest(account=run.account.name, request_id=run.request.request_id)
    try:
        return insist(stub.GetReservation, request).run
    except grpc.RpcError as error:
        fault = faults.read(error)
        assert fault.reason == "RESERVATION_UNKNOWN", fault
        return None


def one_line(message) -> str:
    return " ".join(str(message).split())


def audit_run(stub, run: Run) -> int:
    """Compares a run with what its caller may expect, and gives what it was charged."""
    found = at_ledger(stub, run)
    state = pb.State.Name(found.state).removeprefix("STATE_") if found else "UNKNOWN"
    charged = int(found.charged or 0) if found else 0
    charges, states = run.expected()
    assert charged in charges and state in states, (
        f"the ledger has {state}, charged {charged}; expected {sorted(states)}, {sorted(charges)}\n"
        f"asked: {one_line(run.request)}\nanswered: {one_line(run.answer)}\n"
        f"ended: {one_line(run.ending)}\nanswered: {one_line(run.ended)}"
    )
    return charged


def audit(rig: Rig, stub) -> dict[str, int]:
    """Every run at the ledger, one by one; gives the charges added up per account."""
    charged = {account.name: 0 for account in rig.all_accounts}
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as auditors:
        runs = rig.runs()
        for run, credits in zip(runs, auditors.map(lambda run: audit_run(stub, run), runs), strict=True):
            charged[run.account.name] += credits
    return charged


def audit_balances(rig: Rig, charged: dict[str, int]) -> None:
    """The accounts at the ledger show exactly these charges, and no limit was passed."""
    for account in rig.all_accounts:
        balance = rig.balance(account)
        spent, held, debt = (Decimal(amount or 0) for amount in (balance.spent, balance.held, balance.debt))
        right = charged[account.name]
        shown = f"{account}\n{one_line(balance)}"
        assert debt == 0, f"a debt of {debt}, though no run used more than it held: {shown}"
        assert spent == right, f"{spent} spent by the ledger's books, {right} charged to runs: {shown}"
        assert spent + held <= account.limit, f"{spent} spent and {held} held, past the limit: {shown}"
        assert Decimal(balance.available or 0) >= 0, f"less than nothing is available: {shown}"


def repeat_elsewhere(rig: Rig, stub) -> None:
    """The first answer comes from another sidecar too, and charges nothing more."""
    settled = [run for run in rig.runs() if run.ended is not None and isinstance(run.ending, pb.CommitRequest)]
    for run in rig.random.sample(settled, min(REPEATED_ELSEWHERE, len(settled))):
        answer = insist(stub.Commit, run.ending)
        assert answer.charged == run.ended.charged, f"{answer} after {run.ended}"


def test_nothing_acknowledged_is_lost_or_charged_twice(rig):
    for caller in rig.callers:
        caller.start()
    began = time.monotonic()
    for kill in range(1, KILLS + 1):
        rig.kill_once(kill)
        rig.check_callers()
        if kill % KILLS_PER_ACCOUNT == 0:
            rig.renew_accounts(kill)
    rig.meet_limits()
    rig.end_load()
    with rig.start("auditor") as auditor:
        channel = wire.uds(auditor.ready()["socket"])
        stub = pb_grpc.EntitlementServiceStub(channel)
        charged = audit(rig, stub)
        audit_balances(rig, charged)
        repeat_elsewhere(rig, stub)
        channel.close()
        assert auditor.stop() == 0, auditor.tail()
    audit_balances(rig, charged)
    runs = rig.runs()
    unanswered = sum(not run.known or (run.ending is not None and run.ended is None) for run in runs)
    print(
        f"{KILLS} kills in {time.monotonic() - began:.0f} s: {len(runs)} runs, {unanswered} with an unanswered call, "
        f"{rig.said.repeats} repeats, {rig.said.forgotten} forgotten holds, refusals {rig.said.refusals}, "
        f"slowest start {rig.slowest_start:.2f} s"
    )
    # A rig that met none of what it is for has shown nothing.
    assert unanswered > 0 and rig.said.repeats > 0
