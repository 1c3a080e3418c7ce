"""Load on a sidecar that may die at any moment, and a record of every answer that it gave.

Each caller keeps the runs that it made: what it asked, what was acknowledged, and what it asked without an answer. From
these alone `expected` says what the ledger may show in the end.
"""

import dataclasses
import random
import threading
import time
from decimal import Decimal

import faults
import grpc
from wire import pb

# A caller that insists repeats a call with the same request id until it is answered.
INSIST_SECONDS = 60
ATTEMPT_SECONDS = 5
# One that does not gives up after one attempt as short as this: its call may or may not have arrived.
IMPATIENT_SECONDS = 0.2
RETRY_SECONDS = 0.02

# What the transport says when a process dies under a call; with a reason of its own, an error is an answer.
TRANSPORT_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
TORN_CODES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}

# Credits per unit of the actions used here, as playbook.yaml says.
WEIGHT = {"draft": 1, "ping": 2}


class Unanswered(Exception):
    """The call may or may not have arrived."""


@dataclasses.dataclass
class Account:
    name: str
    # The most that may ever be charged to it.
    limit: int
    # Whether its credits can run out: then a hold that a crash forgot may be denied when it is asked again.
    scarce: bool


@dataclasses.dataclass
class Run:
    account: Account
    request: object
    # The first answer to `request`, None where none came.
    answer: object = None
    # How many processes had been killed when it was asked for.
    kills: int = 0
    # Charged by the last acknowledged progress.
    progressed: int = 0
    # What unanswered calls may have charged.
    maybe: set[int] = dataclasses.field(default_factory=set)
    # The call that ended it, and its first answer.
    ending: object = None
    ended: object = None

    @property
    def known(self) -> bool:
        return self.answer is not None

    @property
    def handle(self) -> str:
        return self.answer.reservation if self.known else ""

    @property
    def full(self) -> int:
        return int(self.request.quantity) * WEIGHT[self.request.action]

    @property
    def charged_at_once(self) -> bool:
        return isinstance(self.request, pb.RecordRequest) or self.request.action == "ping"

    def acknowledged(self) -> int:
        """The charge that answers have acknowledged."""
        if self.ended is not None:
            return int(self.ended.charged or 0)
        if self.charged_at_once and self.known:
            return int(self.answer.charged or 0)
        return self.progressed

    def expected(self) -> tuple[set[int], set[str]]:
        """What the ledger may say in the end: the charges and the states. `UNKNOWN` = it never heard of the run."""
        if not self.known:
            return ({0, self.full}, {"UNKNOWN", "SETTLED"}) if self.charged_at_once else ({0}, {"UNKNOWN", "HELD", "LAPSED"})
        if self.charged_at_once:
            return {self.full}, {"SETTLED"}
        if self.ended is not None:
            state = "RELEASED" if isinstance(self.ending, pb.ReleaseRequest) else "SETTLED"
            # A hold that was forgotten in a crash and then released need not have reached the ledger.
            forgotten = {"UNKNOWN"} if state == "RELEASED" and self.progressed == 0 else set()
            return {self.acknowledged()}, {state} | forgotten
        states = {"HELD", "LAPSED"}
        if self.ending is not None:
            states |= {"SETTLED", "RELEASED"}
        if self.progressed == 0:
            states |= {"UNKNOWN"}
        return {self.progressed} | self.maybe, states


class Ledger:
    """What was acknowledged per account, checked at each answer: a hard limit is not passed even for a moment."""

    def __init__(self):
        self._lock = threading.Lock()
        self._charged: dict[str, int] = {}
        self.refusals: dict[int, int] = {}
        self.answers = 0
        self.repeats = 0
        # How many processes were killed, counted once each is dead and before the next one starts: what was asked for
        # under a smaller number may have been answered by a process that is gone, and nothing else can have been.
        self.kills = 0
        # Heartbeats of runs that a kill made the sidecar forget.
        self.forgotten = 0

    def add(self, account: Account, credits: int) -> None:
        with self._lock:
            self.answers += 1
            total = self._charged.get(account.name, 0) + credits
            self._charged[account.name] = total
        assert total <= account.limit, f"{total} credits were charged to {account}"

    def refused(self, reason: int) -> None:
        with self._lock:
            self.answers += 1
            self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def repeated(self) -> None:
        with self._lock:
            self.repeats += 1

    def forgot(self) -> None:
        with self._lock:
            self.forgotten += 1


def insist(method, request, stop_at: float | None = None):
    """Calls until there is an answer: a response, or an error with a reason of its own (raised)."""
    stop_at = stop_at or time.monotonic() + INSIST_SECONDS
    while True:
        try:
            return once(method, request, ATTEMPT_SECONDS)
        except Unanswered as last:
            if time.monotonic() > stop_at:
                raise AssertionError(f"no answer in {INSIST_SECONDS} s: {last}\n{request}") from last
            time.sleep(RETRY_SECONDS)


def insist_on_decision(method, request):
    """Authorises until it is decided by more than silence.

    A sidecar whose lease can't pay asks the ledger. One that has just started, on a slow machine, may have no answer
    within the plan's `offline.wait` (a second): it refuses with LEDGER_UNREACHABLE, as promised, and holds nothing.
    """
    stop_at = time.monotonic() + INSIST_SECONDS
    while True:
        answer = insist(method, request, stop_at)
        if answer.reason != pb.REASON_LEDGER_UNREACHABLE:
            return answer
        assert time.monotonic() < stop_at, f"the ledger was out of reach for {INSIST_SECONDS} s: {request}"
        time.sleep(RETRY_SECONDS)


def once(method, request, seconds: float):
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        code = error.code()
        if code in TRANSPORT_CODES or (code in TORN_CODES and not faults.read(error).reason):
            raise Unanswered(f"{code}: {error.details()}") from error
        raise


class Caller(threading.Thread):
    """Makes runs until it is told to stop; each of its choices comes from its seed."""

    def __init__(self, seed: str, stub, accounts, ledger: Ledger, stop: threading.Event):
        super().__init__(name=seed, daemon=True)
        self.random = random.Random(seed)
        self.stub = stub
        self.accounts = accounts
        self.ledger = ledger
        self.stop = stop
        self.runs: list[Run] = []
        self.failure: BaseException | None = None
        self.made = 0

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                if self.runs and self.random.random() < 0.15:
                    self.repeat(self.random.choice(self.runs[-400:]))
                else:
                    self.make_one()
        except BaseException as failure:  # handed to the test, which raises it
            self.failure = failure
            self.stop.set()

    def request_id(self) -> str:
        self.made += 1
        return f"{self.name}-{self.made}"

    def call(self, method, request, patient: float):
        """Insists with this probability, else tries once and may not learn what came of it."""
        if self.random.random() < patient:
            return insist(method, request)
        return once(method, request, IMPATIENT_SECONDS)

    def make_one(self) -> None:
        account = self.random.choice(self.accounts())
        quantity = self.random.randint(1, 5)
        kind = self.random.choices(["hold", "event", "record"], [70, 15, 15])[0]
        fields = {"account": account.name, "quantity": str(quantity), "request_id": self.request_id()}
        if kind == "record" and not account.scarce:
            run = Run(account, pb.RecordRequest(action="draft", **fields), kills=self.ledger.kills)
            method = self.stub.Record
        else:
            action = "ping" if kind == "event" else "draft"
            run = Run(account, pb.AuthorizeRequest(action=action, **fields), kills=self.ledger.kills)
            method = self.stub.Authorize
        self.runs.append(run)
        try:
            answer = self.call(method, run.request, patient=0.9)
        except Unanswered:
            return
        if isinstance(run.request, pb.AuthorizeRequest) and answer.decision == pb.DECISION_DENIED:
            right = account.scarce or answer.reason == pb.REASON_LEDGER_UNREACHABLE
            assert right, f"refused although {account} has credits: {answer}"
            self.runs.pop()
            self.ledger.refused(answer.reason)
            return
        run.answer = answer
        if run.charged_at_once:
            assert int(answer.charged) == run.full, f"{answer.charged} for {run.full}: {run.request}"
            self.ledger.add(account, run.full)
        else:
            assert int(answer.held) == run.full, f"{answer.held} for {run.full}: {run.request}"
            self.go_on(run)

    def go_on(self, run: Run) -> None:
        """Reports progress, ends the run, or leaves it open."""
        if self.random.random() < 0.25:
            self.progress(run, self.random.randint(1, run.full))
        choice = self.random.random()
        if choice < 0.75:
            used = self.random.randint(max(1, run.progressed, *run.maybe), run.full)
            self.end(run, self.stub.Commit, pb.CommitRequest(quantity=str(used)), used)
        elif choice < 0.85:
            self.end(run, self.stub.Release, pb.ReleaseRequest(), run.progressed)

    def progress(self, run: Run, total: int) -> None:
        request = pb.ProgressRequest(reservation=run.handle, quantity=str(total), request_id=f"{run.request.request_id}-p")
        try:
            answer = self.call(self.stub.Progress, request, patient=0.85)
        except Unanswered:
            run.maybe.add(total)
            return
        except grpc.RpcError as error:
            # A hold waits for no disk, so a kill may lose it. Its handle still commits, but has nothing left to add to.
            fault = faults.read(error)
            lost = run.progressed == 0 and run.kills < self.ledger.kills
            assert fault.reason == "RESERVATION_UNKNOWN" and lost, f"{fault}: {request}"
            self.ledger.forgot()
            return
        if within_hold(answer):
            run.maybe.add(total)
            return
        assert int(answer.charged) == total, f"{answer.charged} for {total}: {request}"
        run.progressed = total
        self.ledger.add(run.account, total)

    def end(self, run: Run, method, request, charge: int) -> None:
        request.reservation = run.handle
        request.request_id = f"{run.request.request_id}-e"
        run.ending = request
        try:
            answer = self.call(method, request, patient=0.85)
        except Unanswered:
            run.maybe.add(charge)
            return
        # A release leaves charged what progress charged, and an unanswered progress may have arrived.
        released = isinstance(request, pb.ReleaseRequest)
        right = {charge} | (run.maybe if released else set())
        assert int(answer.charged or 0) in right, f"{answer.charged} for {right}: {request}"
        run.ended = answer
        self.ledger.add(run.account, int(answer.charged or 0) - run.progressed)

    def repeat(self, run: Run) -> None:
        """Sends a call that was answered once more: the first answer must come again, crash or not."""
        if not run.known:
            return
        if run.ended is not None and self.random.random() < 0.5:
            method = self.stub.Release if isinstance(run.ending, pb.ReleaseRequest) else self.stub.Commit
            same_charge(run.ended, insist(method, run.ending), run.ending)
        elif isinstance(run.request, pb.RecordRequest):
            same_charge(run.answer, insist(self.stub.Record, run.request), run.request)
        elif run.charged_at_once:
            same_charge(run.answer, insist(self.stub.Authorize, run.request), run.request)
        elif run.ended is not None:
            self.repeat_ended(run)
        elif not run.account.scarce and run.ending is None and run.progressed == 0 and not run.maybe:
            self.repeat_held(run)
        else:
            return
        self.ledger.repeated()

    def repeat_held(self, run: Run) -> None:
        """The same hold again; where a kill made the sidecar forget it, it is decided anew, and may need the ledger."""
        answer = insist(self.stub.Authorize, run.request)
        if answer.reason == pb.REASON_LEDGER_UNREACHABLE:
            assert run.kills < self.ledger.kills, f"{answer} after {run.answer}, and no process was killed between"
            answer = insist_on_decision(self.stub.Authorize, run.request)
        assert (answer.decision, answer.held) == (run.answer.decision, run.answer.held), f"{answer} after {run.answer}"

    def repeat_ended(self, run: Run) -> None:
        """To authorise a run that has ended is an error that says what it came to."""
        try:
            answer = insist(self.stub.Authorize, run.request)
        except grpc.RpcError as error:
            fault = faults.read(error)
            assert fault.reason == "RESERVATION_SETTLED", fault
            assert Decimal(fault.metadata["charged"]) == run.acknowledged(), f"{fault} after {run.ended}"
            return
        raise AssertionError(f"a run that had ended was authorised again: {answer} after {run.ended}")


def within_hold(answer) -> bool:
    """Whether nobody who knows the run could be asked: what was reported may have arrived."""
    return answer.reason == pb.REASON_LEDGER_UNREACHABLE and answer.provisional


def same_charge(first, again, request) -> None:
    assert Decimal(again.charged or 0) == Decimal(first.charged or 0), f"{again} after {first}: {request}"
