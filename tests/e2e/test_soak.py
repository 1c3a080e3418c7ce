"""A fleet under steady load and faults, for long: memory, file handles, threads and disk stay as they are once warm.

One sidecar and one ledger live from the first moment to the last, whatever befalls what is around them; theirs are the
figures. What runs leave behind by right is measured per run: the ledger remembers each for fifteen days, and the database
keeps the journal. The first third of the time is for warming up; the second is compared with the last.

`BURSAR_SOAK_SECONDS` says how long (45 unless told: that shows handles that stay open, and memory by kilobytes per run; 600
show a hundred bytes per run), `BURSAR_SEED` repeats its choices (not the timing).
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import queue
import random
import statistics
import subprocess
import threading
import time

import faults
import fleet
import grpc
import postgresql
import processes
import pytest
import wire
from roaming import Tally
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc
from workload import Unanswered, once

SECONDS = float(os.environ.get("BURSAR_SOAK_SECONDS", "45"))
SEED = os.environ.get("BURSAR_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"

# The sidecar and the ledger that are never restarted.
FOLLOWED = 0
SIDECARS = 4
# The followed sidecar gets most of the load: what it leaks, it leaks per call.
CALLERS = [6, 2, 2, 2]
# All that is ever asked for: a new name would be remembered by right.
ACCOUNTS = 40
USERS = 5
# A sidecar remembers a run until its time is over, so that what it remembers is as much at any time, soon after the start.
TTL_SECONDS = 5
THINK_SECONDS_MAX = 0.05
ATTEMPT_SECONDS = 4
RETRY_SECONDS = 0.2
# Callers come and go, too.
CALLS_PER_CHANNEL = 150
CALLS_PER_SESSION = 300
WATCH_SECONDS = 0.5
LOOK_SECONDS = 0.3

# Fewer at once than where what counts is what goes wrong: here the load must flow most of the time.
HARM_EVERY_SECONDS = 1.5
# A journal is looked at every five seconds, and trimmed once 4,096 records may go: with so little kept behind, every
# twenty seconds or so.
KEEPING = ("--retain", "5s", "--retain-bytes-max", "4MiB")

SAMPLE_SECONDS = 1.0
DATABASE_SAMPLE_SECONDS = 5.0

MIB = 1 << 20
# What the allocator keeps comes and goes by a mebibyte and a half either way. In the short form the first third may be over
# before the journal's first trim, and with it before the last page is touched for the first time.
MEMORY_MORE_MAX = (3 if SECONDS >= 300 else 10) * MIB
# What a ledger keeps of each run for fifteen days: some 820 bytes.
LEDGER_BYTES_PER_RUN_MAX = 1200
# What the journal of its account has of each run: some 750 bytes in the database.
JOURNAL_BYTES_PER_RUN_MAX = 1100
# Connections of those who just come or go; a leak of one per connection would be hundreds.
HANDLES_MORE_MAX = 8
THREADS_MORE_MAX = 4
# sled cleans up along with its writes: its file breathes between five and nine mebibytes, with a live part of one or two.
DISK_MAX = 24 * MIB
CREDITS = 1_000_000_000
PLAYBOOK = f"""
bursar: 1
playbook: soak
version: 1
credit: {{unit: output, price: 0.10, currency: USD}}
actions:
  draft: {{weight: 1, reserve: {{ttl: {TTL_SECONDS}s}}}}
  ping: {{weight: 2, trigger: event, reserve: {{ttl: {TTL_SECONDS}s}}}}
plans:
  ample:
    allowance: {{credits: {CREDITS}, every: year}}
    caps:
      - {{name: user, per: user, limit: {CREDITS}, every: 365d}}
      - {{name: all, per: account, limit: {CREDITS}, every: 365d}}
    offline: {fleet.OFFLINE}
"""

# Errors that a run may meet whose sidecar was killed or cut off meanwhile.
RIGHT_FAULTS = {"RESERVATION_UNKNOWN", "RESERVATION_SETTLED"}


class Gone(Exception):
    """The call had no answer; the run is let go."""


class SoakCaller(threading.Thread):
    """Makes runs one after the other, of every kind, over connections that it opens anew every so often."""

    def __init__(self, soak: "Soak", name: str, place: int):
        super().__init__(name=name, daemon=True)
        self.soak, self.place = soak, place
        self.random = random.Random(name)
        self.names = itertools.count(1)
        self.runs = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.soak.stop.is_set():
                with wire.uds(self.soak.sockets[self.place]) as channel:
                    self.over(pb_grpc.EntitlementServiceStub(channel))
        except BaseException as failure:  # handed to the test, which raises it
            self.failure = failure
            self.soak.stop.set()

    def over(self, stub) -> None:
        for _ in range(CALLS_PER_CHANNEL):
            if self.soak.stop.is_set():
                return
            try:
                self.one(stub)
            except Gone:
                time.sleep(RETRY_SECONDS)
            time.sleep(self.random.uniform(0, THINK_SECONDS_MAX))

    def ask(self, method, request):
        """One try. The ledger may be out of reach, but nothing else may be refused."""
        try:
            answer = once(method, request, ATTEMPT_SECONDS)
        except Unanswered as silence:
            self.soak.tally.count("unanswered")
            raise Gone from silence
        except grpc.RpcError as error:
            fault = faults.read(error)
            assert fault.reason in RIGHT_FAULTS, f"{fault}: {request}"
            self.soak.tally.count(fault.reason)
            raise Gone from error
        if getattr(answer, "decision", None) == pb.DECISION_DENIED:
            reason = pb.Reason.Name(answer.reason)
            assert answer.reason == pb.REASON_LEDGER_UNREACHABLE, f"{answer}\n{request}"
            self.soak.tally.count(reason)
            raise Gone(reason)
        return answer

    def authorization(self, action: str = "draft"):
        return pb.AuthorizeRequest(
            account=f"a{self.random.randrange(ACCOUNTS)}",
            action=action,
            quantity=str(self.random.randint(1, 5)),
            request_id=f"{self.name}-{next(self.names)}",
            subject=pb.Subject(user=f"u{self.random.randrange(USERS)}"),
        )

    def one(self, stub) -> None:
        choice = self.random.random()
        request = self.authorization("ping" if choice < 0.1 else "draft")
        self.runs += 1
        if choice < 0.2 and request.action == "draft":
            fields = {name: getattr(request, name) for name in ("account", "action", "quantity", "request_id")}
            self.ask(stub.Record, pb.RecordRequest(**fields))
            return
        answer = self.ask(stub.Authorize, request)
        if request.action == "ping":
            return
        run = {"reservation": answer.reservation}
        if choice < 0.25:
            # Nobody ends it but time.
            return
        if choice < 0.3:
            self.ask(stub.Authorize, request)
        if choice < 0.4:
            self.ask(stub.Progress, pb.ProgressRequest(**run, quantity="1"))
        if choice < 0.45:
            self.ask(stub.Release, pb.ReleaseRequest(**run))
            return
        commit = pb.CommitRequest(**run, quantity=request.quantity, request_id=f"{request.request_id}-e")
        self.ask(stub.Commit, commit)
        if choice < 0.5:
            self.ask(stub.Commit, commit)


class SessionCaller(SoakCaller):
    """Authorises and commits over a session, which it opens anew every so often."""

    def over(self, stub) -> None:
        frames: queue.SimpleQueue = queue.SimpleQueue()
        answers = stub.Session(iter(frames.get, None), timeout=2 * ATTEMPT_SECONDS + CALLS_PER_SESSION * THINK_SECONDS_MAX)
        try:
            for sequence in range(CALLS_PER_SESSION):
                if self.soak.stop.is_set():
                    return
                self.runs += 1
                frames.put(pb.SessionRequest(sequence=2 * sequence, authorize=self.authorization()))
                allowed = next(answers)
                if allowed.authorize.reservation:
                    commit = pb.CommitRequest(reservation=allowed.authorize.reservation, quantity="1")
                    frames.put(pb.SessionRequest(sequence=2 * sequence + 1, commit=commit))
                    next(answers)
                time.sleep(self.random.uniform(0, THINK_SECONDS_MAX))
        except grpc.RpcError:
            self.soak.tally.count("a session's end")
            time.sleep(RETRY_SECONDS)
        finally:
            frames.put(None)
            answers.cancel()


class Watcher(SoakCaller):
    """Watches a balance for a moment, and goes without a word."""

    def over(self, stub) -> None:
        with contextlib.suppress(grpc.RpcError):
            request = pb.WatchBalanceRequest(account=f"a{self.random.randrange(ACCOUNTS)}")
            for _ in stub.WatchBalance(request, timeout=WATCH_SECONDS):
                self.soak.tally.count("balance seen")
        # Where it failed at once.
        time.sleep(RETRY_SECONDS)


class Administrator(SoakCaller):
    """Looks at balances at the followed ledger, each time over a connection of its own."""

    def run(self) -> None:
        self.soak.stop.wait(LOOK_SECONDS)
        while not self.soak.stop.is_set():
            with wire.tcp(self.soak.addresses[FOLLOWED]) as channel, contextlib.suppress(grpc.RpcError):
                request = account_pb2.GetBalanceRequest(account=f"a{self.random.randrange(ACCOUNTS)}")
                account_pb2_grpc.AccountServiceStub(channel).GetBalance(request, timeout=ATTEMPT_SECONDS)
                self.soak.tally.count("looks at the ledger")
            self.soak.stop.wait(LOOK_SECONDS)


class Soak(fleet.Fleet):
    """A smaller fleet, of which one sidecar and one ledger are spared what would end their processes."""

    sidecar_places = range(SIDECARS)
    Database = postgresql.PostgreSQL

    def __init__(self, directory, stack: contextlib.ExitStack, seed: str):
        super().__init__(directory, stack, seed, runs=0)

    def open_accounts(self, runs: int) -> list:
        playbook = self.directory / "soak.yaml"
        playbook.write_text(PLAYBOOK)
        processes.succeed("playbook", "publish", str(playbook), "--ledger", processes.url(self.addresses[0]))
        with wire.tcp(self.addresses[0]) as channel:
            administration = account_pb2_grpc.AccountServiceStub(channel)
            for number in range(ACCOUNTS):
                request = account_pb2.SubscribeRequest(account=f"a{number}", plan="ample", request_id=f"subscribe-{number}")
                administration.Subscribe(request, timeout=wire.CALL_SECONDS)
        return []

    def make_callers(self, seed: str) -> list[threading.Thread]:
        callers = [
            SoakCaller(self, f"{seed}-{place}-{n}", place) for place in self.sidecar_places for n in range(CALLERS[place])
        ]
        callers.append(SessionCaller(self, f"{seed}-session", FOLLOWED))
        callers.append(Watcher(self, f"{seed}-watcher", FOLLOWED))
        callers.append(Administrator(self, f"{seed}-administrator", FOLLOWED))
        return callers

    def sidecar(self, place: int) -> processes.Server:
        return processes.sidecar(self.directory, self.network.addresses[place], f"s{place}", (*fleet.GRACE, *KEEPING))

    def kinds(self) -> list[tuple[str, str, range]]:
        return [
            (name, whom, range(FOLLOWED + 1, places.stop) if ends(name) else places)
            for name, whom, places in super().kinds()
            if name != "fail_over"
        ]

    def made(self) -> int:
        return sum(caller.runs for caller in self.callers)


def ends(harm: str) -> bool:
    return harm in {"kill_sidecar", "restart_sidecar", "kill_ledger", "restart_ledger"}


@dataclasses.dataclass
class Sample:
    """What a process takes at one moment."""

    runs: int
    memory: int
    handles: int
    threads: int
    disk: int = 0


class Sampler(threading.Thread):
    """Looks at what is followed, again and again."""

    def __init__(self, soak: Soak):
        super().__init__(name="sampler", daemon=True)
        self.soak = soak
        self.began = time.monotonic()
        self.samples: dict[str, list[Sample]] = collections.defaultdict(list)
        # When it was asked, how many runs there were by then, and what it said.
        self.database: list[tuple[float, int, dict[str, int]]] = []
        self.failure: BaseException | None = None
        self._over = threading.Event()

    def run(self) -> None:
        asked = 0.0
        sidecar, ledger = self.soak.sidecars[FOLLOWED], self.soak.ledgers[FOLLOWED]
        try:
            while not self._over.wait(SAMPLE_SECONDS):
                now = time.monotonic() - self.began
                self.sample("sidecar", sidecar.process.pid, self.soak.directory / f"s{FOLLOWED}")
                self.sample("ledger", ledger.process.pid)
                if now >= asked + DATABASE_SAMPLE_SECONDS:
                    asked = now
                    # It may just be stopped.
                    with contextlib.suppress(subprocess.CalledProcessError):
                        self.database.append((now, self.soak.made(), database(self.soak)))
        except BaseException as failure:  # handed to the test, which raises it
            self.failure = failure

    def sample(self, who: str, pid: int, directory: pathlib.Path | None = None) -> None:
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        sample = Sample(
            self.soak.made(),
            int(status["VmRSS"].split()[0]) * 1024,
            len(os.listdir(f"/proc/{pid}/fd")),
            int(status["Threads"]),
            on_disk(directory) if directory else 0,
        )
        self.samples[who].append(sample)

    def end(self) -> None:
        self._over.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def on_disk(directory: pathlib.Path) -> int:
    """Bytes that the files below take. One may go while it is looked at."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def database(soak: Soak) -> dict[str, int]:
    """How many rows there are of what must not grow with runs, and the bytes of the journal, which does."""
    tables = ["blocks", "leases", "sidecars", "unapplied"]
    counts = [f"(SELECT count(*) FROM bursar.{table})" for table in tables]
    [row] = soak.database.ask(f"SELECT {', '.join(counts)}, pg_total_relation_size('bursar.entries')")
    return dict(zip([*tables, "journal"], map(int, row), strict=True))


@pytest.fixture
def soaked(short_directory):
    directory = short_directory / "soak"
    directory.mkdir()
    print(f"\nBURSAR_SEED={SEED} BURSAR_SOAK_SECONDS={SECONDS:.0f}")
    with contextlib.ExitStack() as stack:
        soak = Soak(directory, stack, SEED)
        try:
            yield soak
        finally:
            # Threads first: they must not meet channels that are closed.
            soak.stop.set()
            for caller in soak.callers:
                if caller.is_alive():
                    caller.join()


def test_nothing_grows_that_need_not(soaked):
    soak, sampler = soaked, Sampler(soaked)
    try:
        load(soak, sampler)
        print(soak.shown())
        wrong = [*judge_processes(sampler), *judge_database(sampler)]
        assert not wrong, "\n".join(wrong)
    except BaseException:
        print(soak.shown())
        for server in soak.servers():
            print(f"{server}\n{server.tail()}")
        raise


def load(soak: Soak, sampler: Sampler) -> None:
    for caller in soak.callers:
        caller.start()
    sampler.start()
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        soak.check()
        soak.harm_next()
        soak.stop.wait(HARM_EVERY_SECONDS)
    sampler.end()
    soak.heal()
    soak.end_load()
    for sidecar in soak.sidecars:
        assert sidecar.stop() == 0, sidecar.tail()


def judge_processes(sampler: Sampler):
    """Shows the figures, and says what is wrong with them."""
    for who, samples in sampler.samples.items():
        third = len(samples) // 3
        first, second, last = samples[:third], samples[third : 2 * third], samples[2 * third :]
        for what, unit in {"memory": MIB, "handles": 1, "threads": 1, "disk": MIB}.items():
            thirds = [f"{middle(part, what) / unit:.2f}" for part in (first, second, last)]
            least, most = (end(getattr(sample, what) for sample in samples) / unit for end in (min, max))
            print(f"{who}, {what}{', MiB' * (unit == MIB)}: {', '.join(thirds)} ({least:.2f} to {most:.2f})")
        runs = middle(last, "runs") - middle(second, "runs")
        more = middle(last, "memory") - middle(second, "memory")
        print(f"{who}: {more / runs:.0f} bytes of memory more for each of {runs:.0f} runs")
        memory_max = MEMORY_MORE_MAX + (runs * LEDGER_BYTES_PER_RUN_MAX if who == "ledger" else 0)
        if more > memory_max:
            yield f"the {who} takes {more / MIB:.1f} MiB more memory, at most {memory_max / MIB:.1f} over {runs:.0f} runs"
        # Sessions of a database that was restarted come back one by one: what counts is how many there are at most.
        for what, most in {"handles": HANDLES_MORE_MAX, "threads": THREADS_MORE_MAX}.items():
            before, now = (max(getattr(sample, what) for sample in part) for part in (first + second, last))
            if now > before + most:
                yield f"the {who} had up to {before} {what}, then {now}"
        if max(sample.disk for sample in samples) > DISK_MAX:
            yield f"the {who}'s data took {max(sample.disk for sample in samples) / MIB:.1f} MiB"
        # Without steady load, nothing was shown.
        if runs < (middle(second, "runs") - middle(first, "runs")) / 3:
            yield f"only {runs:.0f} runs from the middle of the second third to that of the last"


def middle(samples: list[Sample], what: str) -> float:
    return statistics.median(getattr(sample, what) for sample in samples)


def judge_database(sampler: Sampler):
    warm = [(runs, found) for seconds, runs, found in sampler.database if seconds >= SECONDS / 3]
    (runs_before, before), (runs, found) = warm[0], warm[-1]
    per_run = (found["journal"] - before["journal"]) / (runs - runs_before)
    print(f"database, from {runs_before} runs: {before}; to {runs} runs: {found}; journal {per_run:.0f} bytes per run")
    if per_run > JOURNAL_BYTES_PER_RUN_MAX:
        yield f"the journal in the database grows by {per_run:.0f} bytes per run"
    # One allowance for each account, one lease at each sidecar, no record that could not be applied.
    most = {"blocks": ACCOUNTS, "leases": ACCOUNTS * SIDECARS, "sidecars": SIDECARS, "unapplied": 0}
    for table, rows in most.items():
        if found[table] > rows:
            yield f"{found[table]} rows in `{table}`, at most {rows}"
