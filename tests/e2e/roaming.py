"""Callers that roam over sidecars which die, stall and lose touch, and a record of every answer that they got.

Of each run its caller keeps what it asked and what it was told; from these alone `Run.judge` says whether what the ledger
shows in the end is right. `Book` adds up per account, so that a hard limit passed even for a moment, and a refusal that
was not due, are seen when they happen.
"""

import contextlib
import dataclasses
import random
import threading
import time
from decimal import Decimal

import faults
import grpc
from wire import pb
from workload import Unanswered, once, within_hold

ATTEMPT_SECONDS = 4
INSIST_SECONDS = 120
RETRY_SECONDS = 0.05
# A caller makes no more than about ten runs per second, so that no machine is too slow for the same story.
THINK_SECONDS_MAX = 0.15
# One that an account has refused asks it less often.
REFUSED_BEFORE = 0.1

WEIGHT = {"draft": 1, "ping": 2}
USERS = [f"u{n}" for n in range(6)]

SCARCE = {pb.REASON_CREDITS_EXHAUSTED, pb.REASON_CAP_REACHED}


class Book:
    """One account, by what callers know of it."""

    def __init__(self, name: str, limit: int):
        self.name = name
        self.limit = limit
        self.lock = threading.Lock()
        # What final answers have charged.
        self.charged = 0
        # The most that can be spent and held: what was asked for counts until it is known to be less.
        self.most = 0
        # For each question under way, the largest `most` since it was asked.
        self._peaks: dict[object, int] = {}
        self.refused = 0

    def may_hold(self, credits: int) -> None:
        with self.lock:
            self.most += credits
            for key in self._peaks:
                self._peaks[key] = max(self._peaks[key], self.most)

    def charge(self, credits: int) -> None:
        with self.lock:
            self.charged += credits
            total = self.charged
        assert total <= self.limit, f"{total} credits were charged to {self}"

    @contextlib.contextmanager
    def watched(self):
        """Gives a function: the most that can have been spent and held at any moment since."""
        key = object()
        with self.lock:
            self._peaks[key] = self.most
        try:
            yield lambda: self._peaks[key]
        finally:
            with self.lock:
                del self._peaks[key]

    def __str__(self) -> str:
        return f"`{self.name}` with {self.limit} credits"


@dataclasses.dataclass
class Ending:
    """A commit or release under one request id: what it would charge, and every answer to it."""

    request: object
    charges: set[int]
    answers: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Run:
    book: Book
    request: object
    # At which sidecars it was asked for, once per try.
    asked: list[int] = dataclasses.field(default_factory=list)
    # The first answer that allowed it, and where.
    answer: object = None
    place: int = -1
    denied: bool = False
    progressed: int = 0
    # What unanswered progress may have charged.
    maybe: set[int] = dataclasses.field(default_factory=set)
    endings: list[Ending] = dataclasses.field(default_factory=list)
    # (charge, state) of each answer that was final.
    finals: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    @property
    def full(self) -> int:
        return int(self.request.quantity) * WEIGHT[self.request.action]

    @property
    def is_event(self) -> bool:
        return self.request.action == "ping"

    def settle(self, charge: int, state: str) -> None:
        """An answer that is final: every later one must say the same, but for a commit after a release, which counts."""
        same = [before for before, its in self.finals if its == state]
        assert not same or same[0] == charge, f"two final charges: {charge} {state} after {self.finals}\n{self}"
        if not self.finals:
            self.book.charge(charge - (0 if self.is_event else self.progressed))
            if len(self.asked) == 1:
                # Held nowhere else, so the rest is free again.
                self.book.may_hold(charge - self.full)
        elif not same:
            commits, releases = self.ended_by(pb.CommitRequest), self.ended_by(pb.ReleaseRequest)
            assert commits and releases, f"{charge} {state} after {self.finals}\n{self}"
            if state == "SETTLED":
                more = charge - self.finals[0][0]
                self.book.may_hold(more)
                self.book.charge(more)
        self.finals.append((charge, state))

    def ended_by(self, kind) -> list[Ending]:
        return [ending for ending in self.endings if isinstance(ending.request, kind)]

    def judge(self, charged: int, state: str, provisional: bool) -> str | None:
        """What is wrong with what the ledger says, if anything."""
        charges, states = self._right()
        # What a final answer has told is final.
        if charged in charges and state in states and not (provisional and self.finals):
            return None
        shown = f"{state}, charged {charged}" + (", provisional" if provisional else "")
        return f"the ledger has {shown}; right: {sorted(states)}, {sorted(charges)}, final answers {self.finals}\n{self}"

    def _right(self) -> tuple[set[int], set[str]]:
        gone = {"UNKNOWN", "HELD", "LAPSED", "RELEASED"}
        if self.is_event:
            if self.finals:
                return {self.full}, {"SETTLED"}
            return {0, self.full}, {"SETTLED", *gone}
        committed = {charge for charge, state in self.finals if state == "SETTLED"}
        if committed:
            return committed, {"SETTLED"}
        charges = {charge for charge, _ in self.finals} or {self.progressed} | self.maybe
        commits = self.ended_by(pb.CommitRequest)
        if any(ending.answers for ending in commits):
            # Accepted: one of them is booked for certain, whatever was released.
            return {charge for ending in commits for charge in ending.charges}, {"SETTLED"}
        asked = {charge for ending in self.endings for charge in ending.charges}
        if any(ending.answers for ending in self.endings):
            # Released, unless a commit that had no answer came. What was never charged need not have reached the ledger.
            states = {"SETTLED", "RELEASED"} if commits else {"RELEASED"}
            return asked | charges, states | (gone if 0 in charges else set())
        states = set(gone) if 0 in charges else {"HELD", "LAPSED"}
        if self.endings:
            states |= {"SETTLED", "RELEASED"}
        return charges | asked, states

    def __str__(self) -> str:
        lines = [f"asked at {self.asked}: {one_line(self.request)}", f"answered at {self.place}: {one_line(self.answer)}"]
        lines += [f"progressed to {self.progressed}, unanswered {sorted(self.maybe)}"]
        for ending in self.endings:
            lines.append(f"ended by {type(ending.request).__name__} {one_line(ending.request)}")
            lines += [f"  answered: {one_line(answer)}" for answer in ending.answers]
        return "\n".join(lines)


def one_line(message) -> str:
    return " ".join(str(message).split())


class Tally:
    """What all callers met, and when a refusal must be right."""

    def __init__(self):
        self._lock = threading.Lock()
        # Everything is in touch and nothing was harmed lately.
        self.calm = False
        self._counts: dict[str, int] = {}

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1

    def get(self, what: str) -> int:
        return self._counts.get(what, 0)

    def __str__(self) -> str:
        return ", ".join(f"{what} {count}" for what, count in sorted(self._counts.items()))


class Caller(threading.Thread):
    """Makes runs until it is told to stop; each of its choices comes from its seed."""

    def __init__(self, seed: str, home: int, stubs: list, books: list[Book], tally: Tally, stop: threading.Event):
        super().__init__(name=seed, daemon=True)
        self.random = random.Random(seed)
        self.home = home
        self.stubs = stubs
        self.books = books
        self.tally = tally
        self.stop = stop
        self.runs: list[Run] = []
        self.open: list[Run] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.one()
                time.sleep(self.random.uniform(0, THINK_SECONDS_MAX))
        except BaseException as failure:  # handed to the test, which raises it
            self.failure = failure
            self.stop.set()

    def one(self) -> None:
        choice = self.random.random()
        if choice < 0.1 and self.runs:
            self.repeat(self.random.choice(self.runs[-300:]))
        elif choice < 0.2 and self.open:
            run = self.open.pop(self.random.randrange(len(self.open)))
            self.end(run)
        else:
            self.make()

    def elsewhere(self) -> int:
        return self.random.randrange(len(self.stubs))

    def ask(self, method: str, request, place: int, tried=lambda place: None):
        """Asks there, and after silence there or elsewhere, until there is an answer or the caller gives up.

        Gives the answer and where it came from; raises Unanswered, or the error that is the answer.
        """
        give_up = time.monotonic() + INSIST_SECONDS
        while True:
            tried(place)
            try:
                return once(getattr(self.stubs[place], method), request, ATTEMPT_SECONDS), place
            except Unanswered as silence:
                self.tally.count("unanswered")
                if self.random.random() < 0.15 or self.stop.is_set():
                    raise
                assert time.monotonic() < give_up, f"no answer in {INSIST_SECONDS} s: {silence}\n{request}"
                time.sleep(RETRY_SECONDS)
                if self.random.random() < 0.5:
                    place = self.elsewhere()

    def make(self) -> None:
        book = self.random.choice(self.books)
        if book.refused and self.random.random() > REFUSED_BEFORE:
            book = self.books[-1]
        action = "ping" if self.random.random() < 0.1 else "draft"
        request = pb.AuthorizeRequest(
            account=book.name,
            action=action,
            quantity=str(self.random.randint(1, 5)),
            request_id=f"{self.name}-{len(self.runs) + 1}",
            subject=pb.Subject(user=self.random.choice(USERS)),
        )
        run = Run(book, request)
        self.runs.append(run)
        place = self.home if self.random.random() < 0.85 else self.elsewhere()

        def tried(place: int) -> None:
            run.asked.append(place)
            book.may_hold(run.full)

        with book.watched() as peak:
            calm = self.tally.calm
            try:
                answer, run.place = self.ask("Authorize", request, place, tried)
            except Unanswered:
                return
            if answer.decision == pb.DECISION_DENIED:
                self.refused(run, answer, peak() if calm and self.tally.calm else None)
                return
        self.tally.count("allowed calm" if calm and self.tally.calm else "allowed")
        run.answer = answer
        self.goes_on(run)

    def refused(self, run: Run, answer, peak: int | None) -> None:
        run.denied = True
        reason = pb.Reason.Name(answer.reason).removeprefix("REASON_")
        self.tally.count(f"{reason} calm" if peak is not None else reason)
        book = run.book
        assert answer.reason in SCARCE | {pb.REASON_LEDGER_UNREACHABLE}, f"{answer}\n{run}"
        if answer.reason in SCARCE:
            book.refused += 1
            if peak is not None:
                away = Decimal(answer.out_of_reach.credits or 0)
                # `peak` counts this run, too.
                assert peak + away > book.limit, (
                    f"refused although it fits: {book}, of which at most {peak - run.full} are used and {away} out of "
                    f"reach\n{run}\n{one_line(answer)}"
                )
        if len(run.asked) == 1:
            book.may_hold(-run.full)

    def goes_on(self, run: Run) -> None:
        answer = run.answer
        if run.is_event:
            assert int(answer.charged) == run.full, f"{answer.charged} for {run.full}: {run}"
            run.settle(run.full, "SETTLED") if not answer.provisional else self.tally.count("provisional")
            return
        assert int(answer.held) == run.full, f"{answer.held} for {run.full}: {run}"
        if self.random.random() < 0.2:
            self.progress(run, self.random.randint(1, run.full))
        if self.random.random() < 0.12:
            self.open.append(run)
        else:
            self.end(run)

    def progress(self, run: Run, total: int) -> None:
        request = pb.ProgressRequest(
            reservation=run.answer.reservation, quantity=str(total), request_id=f"{run.request.request_id}-p"
        )
        run.maybe.add(total)
        try:
            answer = once(self.stubs[run.place].Progress, request, ATTEMPT_SECONDS)
        except Unanswered:
            return
        except grpc.RpcError as error:
            # A hold waits for no disk, so a kill may lose it. Its handle still commits, but has nothing left to add to.
            assert faults.read(error).reason == "RESERVATION_UNKNOWN", f"{faults.read(error)}: {run}"
            self.tally.count("forgotten")
            run.maybe.discard(total)
            return
        if within_hold(answer):
            return
        assert int(answer.charged) == total, f"{answer.charged} for {total}: {run}"
        if not answer.provisional:
            run.progressed = total
            run.maybe.clear()
            run.book.charge(total)

    def end(self, run: Run) -> None:
        """Commits or releases it, here or at another sidecar; sometimes a second ending meets the first."""
        endings = 1
        if len(run.asked) == 1 and self.random.random() < 0.03:
            endings = 2
        for number in range(endings):
            if self.random.random() < 0.12:
                request, charges = pb.ReleaseRequest(), {run.progressed} | run.maybe
                method = "Release"
            else:
                used = self.random.randint(max(1, run.progressed, *run.maybe), run.full)
                request, charges, method = pb.CommitRequest(quantity=str(used)), {used}, "Commit"
            request.reservation = run.answer.reservation
            request.request_id = f"{run.request.request_id}-e{number}"
            ending = Ending(request, charges)
            run.endings.append(ending)
            place = run.place if self.random.random() < 0.8 else self.elsewhere()

            def tried(at: int, place=run.place) -> None:
                if at != place:
                    # Booked there; its settler goes on holding it until the account itself does.
                    run.book.may_hold(run.full)

            with contextlib.suppress(Unanswered):
                self.hear(run, ending, lambda: self.ask(method, request, place, tried)[0])

    def hear(self, run: Run, ending: Ending, call) -> None:
        """The answer to an ending, kept."""
        try:
            answer = call()
        except grpc.RpcError as error:
            fault = faults.read(error)
            # Only another ending, or its own whose answer was lost, can have come before it.
            assert fault.reason == "RESERVATION_SETTLED", f"{fault}: {run}"
            self.tally.count("settled before")
            ending.answers.append(fault)
            run.settle(int(Decimal(fault.metadata["charged"])), fault.metadata["state"].removeprefix("STATE_"))
            return
        ending.answers.append(answer)
        if answer.provisional:
            self.tally.count("provisional")
            return
        charge, state = int(Decimal(answer.charged or 0)), pb.State.Name(answer.state).removeprefix("STATE_")
        others = {charge for other in run.endings for charge in other.charges}
        assert charge in others and state in {"SETTLED", "RELEASED"}, f"{state} {charge}: {run}"
        run.settle(charge, state)

    def repeat(self, run: Run) -> None:
        """Sends an ending, or an event, once more, anywhere: it changes nothing."""
        with contextlib.suppress(Unanswered):
            if run.is_event and run.answer is not None:
                place = self.elsewhere()
                run.asked.append(place)
                run.book.may_hold(run.full)
                answer, _ = self.ask("Authorize", run.request, place)
                if answer.decision != pb.DECISION_DENIED and not answer.provisional:
                    run.settle(int(answer.charged), "SETTLED")
            elif run.endings:
                ending = self.random.choice(run.endings)
                method = "Release" if isinstance(ending.request, pb.ReleaseRequest) else "Commit"
                self.hear(run, ending, lambda: self.ask(method, ending.request, self.elsewhere())[0])
            else:
                return
            self.tally.count("repeated")
