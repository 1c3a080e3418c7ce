"""A rolling upgrade under load: each of two ledgers behind one address, then each of four sidecars, is stopped and started
again. Nothing is refused, no call fails that is repeated as `docs/integrate.md` says, and every run is charged once.

`BURSAR_ROLLS` says how often all of it is done (once unless told), `BURSAR_SEED` repeats a run's choices (not the timing).
"""

import contextlib
import dataclasses
import itertools
import json
import os
import queue
import random
import shutil
import threading
import time
from concurrent import futures
from decimal import Decimal

import faults
import grpc
import postgresql
import processes
import proxy
import pytest
import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc

ROLLS = int(os.environ.get("BURSAR_ROLLS", "1"))
SEED = os.environ.get("BURSAR_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"

LEDGERS = 2
SIDECARS = 4
# What the four sidecars share, and each comes back to all the time.
WARM = 3
# Accounts that a sidecar meets now and then: whoever comes to one for the first time, or after its lease is over, needs
# the ledger's word at once, whatever is being restarted.
COLD = 120
COLD_SHARE = 0.15
# Runs that a caller holds open over every restart.
LONG_RUNS = 3
LONG_QUANTITY = 400
# Requests of a session that are under way at once.
PIPELINED = 4

# A caller makes some twenty runs per second at most, so that no machine is too slow for the same story.
THINK_SECONDS_MAX = 0.05
PROGRESS_EVERY_SECONDS = 0.1
# As ordinary clients have it: longer than a run may wait for the ledger.
ATTEMPT_SECONDS = 15
INSIST_SECONDS = 60
# Where an error brings no RetryInfo: nobody was there to say it.
RETRY_SECONDS = 0.05
# What `docs/integrate.md` says is to be repeated; no other error may come.
REPEATED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

# Between two restarts, each caller has finished so many runs since the one before.
RUNS_BETWEEN = 3
BETWEEN_SECONDS = 60
# A service hears a little late that a pod is going: until then it leads some new connections to a process that takes none.
# Well below what a run may wait for the ledger's word (`offline.wait`), so that each can be answered.
HEARS_SECONDS_MAX = 0.5
# A stop has five seconds, and needs them only where somebody can't be reached.
STOP_SECONDS_MAX = 10
AUDITORS = 8

# Nobody comes near what is granted: every refusal is a fault. Leases end within the test: they are renewed meanwhile.
CREDITS = 100_000_000
WEIGHT = {"draft": 1, "ping": 2}
PLAYBOOK = f"""
bursar: 1
playbook: rolling
version: 1
credit: {{unit: output, price: 0.10, currency: USD}}
actions:
  draft: {{weight: 1, reserve: {{ttl: 50m}}}}
  ping: {{weight: 2, trigger: event}}
plans:
  ample:
    allowance: {{credits: {CREDITS}, every: year}}
    caps: [{{name: all, per: account, limit: {CREDITS}, every: 365d}}]
    offline: {{mode: deny, lease: 6s, wait: 2s}}
"""

# A client that is told in its configuration to wait and to repeat, and knows nothing else of restarts.
RETRYING = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "bursar.v1.EntitlementService"}],
                "waitForReady": True,
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@dataclasses.dataclass
class Run:
    account: str
    request_id: str
    handle: str
    # What its last answer says that it was charged.
    charged: int
    # Whether an answer left it open what comes of it.
    provisional: bool = False
    # Whether a call of it was repeated.
    repeated: bool = False


class Tally:
    """What all callers met, by what was being done meanwhile."""

    def __init__(self):
        self._lock = threading.Lock()
        self.phase = "calm"
        self.counts: dict[str, int] = {}
        self.refused: list[str] = []
        self.failed: list[str] = []
        # The longest that a call took until its answer, repetitions included, and in which phase it began.
        self.longest: dict[str, float] = {}

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def repeated(self, what: str) -> None:
        self.count(f"repeated after {what}")

    @property
    def repetitions(self) -> int:
        with self._lock:
            return sum(count for what, count in self.counts.items() if what.startswith("repeated"))

    def refusal(self, what: str) -> None:
        with self._lock:
            self.refused.append(f"{self.phase}: {what}")

    def failure(self, what: str) -> None:
        with self._lock:
            self.failed.append(f"{self.phase}: {what}")

    def took(self, phase: str, seconds: float) -> None:
        with self._lock:
            self.longest[phase] = max(self.longest.get(phase, 0), seconds)

    def __str__(self) -> str:
        with self._lock:
            counts = ", ".join(f"{what} {count}" for what, count in sorted(self.counts.items()))
            longest = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in self.longest.items())
            return f"refused {len(self.refused)}, failed {len(self.failed)}; {counts}\nlongest call by phase, s: {longest}"


class Failed(Exception):
    """A call that no repetition helps."""


class Caller(threading.Thread):
    """One caller of one sidecar. It makes runs until it is told to stop; while it is told to pause, it makes none."""

    def __init__(self, site: "Site", place: int, name: str):
        super().__init__(name=f"{SEED}-{place}-{name}", daemon=True)
        self.site, self.place, self.tally = site, place, site.tally
        self.random = random.Random(self.name)
        self.stub = pb_grpc.EntitlementServiceStub(self.channel(site.sockets[place]))
        self.names = itertools.count(1)
        self.runs: list[Run] = []
        self.paused = False
        self.error: BaseException | None = None
        self._pause = threading.Event()
        # How long the last call took.
        self.seconds = 0.0

    def channel(self, socket: str) -> grpc.Channel:
        return self.site.stack.enter_context(wire.uds(socket))

    def run(self) -> None:
        try:
            while not self.site.stop.is_set():
                if self._pause.is_set():
                    self.paused = True
                    time.sleep(0.01)
                    continue
                self.paused = False
                self.work()
            self.end()
        except BaseException as error:  # handed to the test, which raises it
            self.error = error

    def pause(self) -> None:
        self._pause.set()

    def go_on(self) -> None:
        self.paused = False
        self._pause.clear()

    def work(self) -> None:
        """One run, or a step of some."""
        raise NotImplementedError

    def end(self) -> None:
        """What is open is finished."""

    def think(self) -> None:
        time.sleep(self.random.uniform(0, THINK_SECONDS_MAX))

    def ask(self, method: str, request):
        """The answer, and whether it took more than one try. Raises Failed where it is none."""
        began, phase = time.monotonic(), self.tally.phase
        tries = 0
        while True:
            tries += 1
            try:
                answer = getattr(self.stub, method)(request, timeout=ATTEMPT_SECONDS)
            except grpc.RpcError as error:
                fault = faults.read(error)
                what = f"{fault.code.name} {fault.reason}".strip()
                if fault.code not in REPEATED or time.monotonic() > began + INSIST_SECONDS:
                    self.tally.failure(f"{method} {what}: {fault.message} after {tries} tries: {one_line(request)}")
                    raise Failed from error
                self.tally.repeated(what)
                time.sleep(fault.retry_seconds or RETRY_SECONDS)
                continue
            self.tally.count(method)
            self.took(phase, began)
            return answer, tries > 1

    def took(self, phase: str, began: float) -> None:
        self.seconds = time.monotonic() - began
        self.tally.took(phase, self.seconds)

    def refused(self, request, answer) -> None:
        self.tally.refusal(f"after {self.seconds:.3f} s: {one_line(request)}: {one_line(answer)}")

    def authorization(self, account: str = "", action: str = "draft", quantity: int = 0):
        account = account or self.account()
        quantity = quantity or self.random.randint(1, 9)
        return pb.AuthorizeRequest(
            account=account, action=action, quantity=str(quantity), request_id=f"{self.name}-{next(self.names)}"
        )

    def account(self) -> str:
        if self.random.random() < COLD_SHARE:
            return self.site.next_cold(self.place)
        return f"warm-{self.random.randrange(WARM)}"

    def allowed(self, request, answer) -> bool:
        full = int(request.quantity) * WEIGHT[request.action]
        if answer.decision == pb.DECISION_ALLOWED:
            right = answer.charged if request.action == "ping" else answer.held
            assert int(right) == full, f"{one_line(answer)} for {one_line(request)}"
            return True
        self.refused(request, answer)
        return False

    def keep(self, request, answer, charged: int, repeated: bool) -> Run:
        run = Run(request.account, request.request_id, answer.reservation, charged, answer.provisional, repeated)
        self.runs.append(run)
        return run

    def settled(self, run: Run, charge: int, answer) -> None:
        """Takes what a commit answers. Accepted is none the less charged: what for is known, since nothing else is asked."""
        right = {pb.STATE_SETTLED: [charge], pb.STATE_ACCEPTED: [0, charge]}
        told = int(Decimal(answer.charged or 0))
        assert told in right.get(answer.state, []), f"not {charge}: {one_line(answer)}\n{run}"
        run.charged = charge
        run.provisional = answer.provisional or answer.state == pb.STATE_ACCEPTED
        if run.provisional:
            self.tally.count("provisional")


class Plain(Caller):
    """Call by call, each repeated by hand until it is answered."""

    def work(self) -> None:
        with contextlib.suppress(Failed):
            choice = self.random.random()
            if choice < 0.1:
                self.record()
            elif choice < 0.2:
                self.event()
            else:
                self.held()
        self.think()

    def held(self) -> None:
        request = self.authorization()
        answer, again = self.ask("Authorize", request)
        if not self.allowed(request, answer):
            return
        run = self.keep(request, answer, 0, again)
        if self.random.random() < 0.3:
            self.think()
        if self.random.random() < 0.1:
            self.ask("Release", pb.ReleaseRequest(reservation=run.handle))
            return
        used = self.random.randint(1, int(request.quantity))
        commit = pb.CommitRequest(reservation=run.handle, quantity=str(used), request_id=f"{run.request_id}-e")
        answer, again = self.ask("Commit", commit)
        run.repeated |= again
        self.settled(run, used, answer)

    def event(self) -> None:
        request = self.authorization(action="ping")
        answer, again = self.ask("Authorize", request)
        if self.allowed(request, answer):
            self.keep(request, answer, int(request.quantity) * WEIGHT["ping"], again)

    def record(self) -> None:
        asked = self.authorization()
        fields = {"account": asked.account, "action": asked.action, "request_id": asked.request_id}
        request = pb.RecordRequest(quantity=asked.quantity, **fields)
        answer, again = self.ask("Record", request)
        run = self.keep(asked, answer, 0, again)
        self.settled(run, int(asked.quantity), answer)


class Configured(Plain):
    """Repeats nothing by itself: its channel has a retry policy, and everything else as gRPC sets it."""

    def channel(self, socket: str) -> grpc.Channel:
        options = [
            ("grpc.default_authority", "localhost"),
            ("grpc.service_config", RETRYING),
            # A connection of its own, as each process has.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        return self.site.stack.enter_context(grpc.insecure_channel(f"unix:{socket}", options=options))

    def ask(self, method: str, request):
        began, phase = time.monotonic(), self.tally.phase
        try:
            answer = getattr(self.stub, method)(request, timeout=INSIST_SECONDS)
        except grpc.RpcError as error:
            self.tally.failure(f"{method}, by gRPC's own retries: {faults.read(error)}: {one_line(request)}")
            raise Failed from error
        self.tally.count(f"{method}, configured")
        self.took(phase, began)
        return answer, False


class Streaming(Caller):
    """Everything over one session; when it ends, what had no answer is asked again over the next."""

    def __init__(self, site: "Site", place: int):
        super().__init__(site, place, "session")
        self.sequences = itertools.count(1)
        # By sequence: the frame, and the run that it commits.
        self.waiting: dict[int, tuple[object, Run | None]] = {}

    def work(self) -> None:
        frames: queue.SimpleQueue = queue.SimpleQueue()
        answers = self.stub.Session(iter(frames.get, None), timeout=INSIST_SECONDS)
        try:
            for frame, _ in self.waiting.values():
                frames.put(frame)
            while self.goes_on() or self.waiting:
                while self.goes_on() and len(self.waiting) < PIPELINED:
                    self.send(frames, None, authorize=self.authorization())
                answer = next(answers)
                frame, run = self.waiting.pop(answer.sequence)
                self.take(frames, frame, run, answer)
                self.think()
        except grpc.RpcError as error:
            fault = faults.read(error)
            what = f"a session's {fault.code.name} {fault.reason}".strip()
            if fault.code not in REPEATED:
                self.tally.failure(f"{what}: {fault.message}")
                self.waiting.clear()
            self.tally.repeated(what)
            time.sleep(fault.retry_seconds or RETRY_SECONDS)
        except StopIteration:
            self.tally.failure(f"a session ended in silence with {len(self.waiting)} requests unanswered")
            self.waiting.clear()
        finally:
            frames.put(None)
            answers.cancel()

    def goes_on(self) -> bool:
        return not (self._pause.is_set() or self.site.stop.is_set())

    def end(self) -> None:
        give_up = time.monotonic() + INSIST_SECONDS
        while self.waiting:
            assert time.monotonic() < give_up, f"no answer to {self.waiting}"
            self.work()

    def send(self, frames, run: Run | None, **request) -> None:
        frame = pb.SessionRequest(sequence=next(self.sequences), **request)
        self.waiting[frame.sequence] = (frame, run)
        frames.put(frame)

    def take(self, frames, frame, run: Run | None, answer) -> None:
        kind = answer.WhichOneof("answer")
        if kind == "fault":
            what = f"a session's fault {answer.fault.reason}"
            if answer.fault.code != grpc.StatusCode.UNAVAILABLE.value[0]:
                self.tally.failure(f"{what}: {one_line(answer)} to {one_line(frame)}")
                return
            self.tally.repeated(what)
            time.sleep(answer.fault.retry_in.ToTimedelta().total_seconds() or RETRY_SECONDS)
            self.waiting[frame.sequence] = (frame, run)
            frames.put(frame)
            return
        self.tally.count(f"{kind} in sessions")
        if kind == "commit":
            self.settled(run, int(frame.commit.quantity), answer.commit)
        elif self.allowed(frame.authorize, answer.authorize):
            run = self.keep(frame.authorize, answer.authorize, 0, False)
            used = self.random.randint(1, int(frame.authorize.quantity))
            commit = pb.CommitRequest(reservation=run.handle, quantity=str(used), request_id=f"{run.request_id}-e")
            self.send(frames, run, commit=commit)


class Long(Caller):
    """Holds runs open from the first moment to the last, and reports of each how far it is."""

    def __init__(self, site: "Site", place: int):
        super().__init__(site, place, "long")
        self.open: dict[str, int] = {}

    def work(self) -> None:
        with contextlib.suppress(Failed):
            if len(self.open) < LONG_RUNS:
                self.begin()
            else:
                self.progress(self.random.choice([run for run in self.runs if run.handle in self.open]))
        time.sleep(PROGRESS_EVERY_SECONDS)

    def begin(self) -> None:
        request = self.authorization(f"warm-{self.random.randrange(WARM)}", quantity=LONG_QUANTITY)
        answer, again = self.ask("Authorize", request)
        if self.allowed(request, answer):
            self.keep(request, answer, 0, again)
            self.open[answer.reservation] = 0

    def progress(self, run: Run) -> None:
        total = min(self.open[run.handle] + 1, LONG_QUANTITY)
        request = pb.ProgressRequest(reservation=run.handle, quantity=str(total))
        answer, again = self.ask("Progress", request)
        run.repeated |= again
        if answer.decision != pb.DECISION_ALLOWED:
            self.refused(request, answer)
            return
        assert int(answer.charged) == total, f"{total} reported: {one_line(answer)}"
        self.open[run.handle] = run.charged = total

    def end(self) -> None:
        for run in self.runs:
            used = self.open[run.handle] + 1
            with contextlib.suppress(Failed):
                answer, again = self.ask("Commit", pb.CommitRequest(reservation=run.handle, quantity=str(used)))
                run.repeated |= again
                self.settled(run, used, answer)


def one_line(message) -> str:
    return " ".join(str(message).split())


class Site:
    """All processes, and who calls them."""

    def __init__(self, directory, stack: contextlib.ExitStack):
        self.directory, self.stack = directory, stack
        self.random = random.Random(SEED)
        self.database = stack.enter_context(postgresql.PostgreSQL())
        processes.succeed("ledger", "migrate", "--database", self.database.url)
        self.ledgers: list[processes.Server] = []
        self.sidecars: list[processes.Server] = []
        # Whichever processes they are in the end.
        stack.callback(lambda: [server.__exit__() for server in (*self.sidecars, *self.ledgers)])
        for place in range(LEDGERS):
            self.ledgers.append(self.ledger(place, "127.0.0.1:0"))
        self.addresses = [ledger.ready()["address"].removeprefix("http://") for ledger in self.ledgers]
        self.service = stack.enter_context(proxy.Network(self.addresses[:1]))
        self.offer(*self.addresses)
        self.open_accounts()
        for place in range(SIDECARS):
            self.sidecars.append(self.sidecar(place))
        self.sockets = [sidecar.ready()["socket"] for sidecar in self.sidecars]
        self.wait_until_in_touch()
        self.tally = Tally()
        self.stop = threading.Event()
        self.callers: list[Caller] = []
        for place in range(SIDECARS):
            self.callers += [Plain(self, place, f"plain-{n}") for n in range(2)]
            self.callers += [Configured(self, place, "configured"), Streaming(self, place), Long(self, place)]
        self.stops: list[float] = []

    def ledger(self, place: int, listen: str) -> processes.Server:
        return processes.shared_ledger(self.directory, self.database.url, f"ledger-{place}", listen)

    def sidecar(self, place: int) -> processes.Server:
        return processes.sidecar(self.directory, self.service.addresses[0], f"s{place}")

    def offer(self, *addresses: str) -> None:
        """The ledgers' service: one address, and behind it whoever is ready."""
        self.service.order(0, "offer", *addresses)

    def open_accounts(self) -> None:
        playbook = self.directory / "rolling.yaml"
        playbook.write_text(PLAYBOOK)
        processes.succeed("playbook", "publish", str(playbook), "--ledger", processes.url(self.addresses[0]))
        self.accounts = [f"warm-{n}" for n in range(WARM)] + [f"cold-{n}" for n in range(COLD)]
        with wire.tcp(self.addresses[0]) as channel:
            administration = account_pb2_grpc.AccountServiceStub(channel)
            for account in self.accounts:
                request = account_pb2.SubscribeRequest(account=account, plan="ample", request_id=f"subscribe-{account}")
                administration.Subscribe(request, timeout=wire.CALL_SECONDS)
        # Each sidecar goes through them by itself.
        self._cold = [itertools.count() for _ in range(SIDECARS)]

    def next_cold(self, place: int) -> str:
        return f"cold-{next(self._cold[place]) % COLD}"

    def wait_until_in_touch(self) -> None:
        give_up = time.monotonic() + BETWEEN_SECONDS
        for socket in self.sockets:
            while not in_touch(socket):
                assert time.monotonic() < give_up, f"the sidecar at {socket} is out of touch"
                time.sleep(0.02)

    def check(self) -> None:
        for caller in self.callers:
            if caller.error is not None:
                raise caller.error

    def calm(self) -> None:
        """Lets everybody who may go on until they do so again after what was done to them."""
        self.tally.phase = "calm"
        at_work = [caller for caller in self.callers if not isinstance(caller, Long)]
        before = {caller: len(caller.runs) for caller in at_work}
        give_up = time.monotonic() + BETWEEN_SECONDS
        while any(len(caller.runs) < before[caller] + RUNS_BETWEEN for caller in at_work):
            self.check()
            assert time.monotonic() < give_up, f"somebody makes no more runs\n{self.tally}"
            time.sleep(0.02)

    def restart_ledger(self, place: int) -> None:
        """Its connections end with it, and new ones are led to the others as soon as the service has heard."""
        self.tally.phase = f"ledger {place}"
        others = [address for other, address in enumerate(self.addresses) if other != place]
        hearing = threading.Timer(self.random.uniform(0, HEARS_SECONDS_MAX), self.offer, others)
        hearing.start()
        self.end(self.ledgers[place])
        hearing.join()
        self.ledgers[place] = self.ledger(place, self.addresses[place])
        self.ledgers[place].ready()
        self.offer(*self.addresses)

    def restart_sidecar(self, place: int) -> None:
        """Its callers go on calling it all the while."""
        self.tally.phase = f"sidecar {place}"
        self.end(self.sidecars[place])
        self.sidecars[place] = self.sidecar(place)
        self.sidecars[place].ready()

    def replace_pod(self, place: int) -> None:
        """Callers stop before their sidecar does, and what it kept is gone; runs that were open go on in the next pod."""
        self.tally.phase = f"pod {place}"
        callers = [caller for caller in self.callers if caller.place == place]
        for caller in callers:
            caller.pause()
        give_up = time.monotonic() + BETWEEN_SECONDS
        while not all(caller.paused for caller in callers):
            self.check()
            assert time.monotonic() < give_up, "a caller does not pause"
            time.sleep(0.01)
        self.end(self.sidecars[place])
        shutil.rmtree(self.directory / f"s{place}")
        self.sidecars[place] = self.sidecar(place)
        self.sidecars[place].ready()
        for caller in callers:
            caller.go_on()

    def end(self, server: processes.Server) -> None:
        began = time.monotonic()
        assert server.stop() == 0, f"{server}\n{server.tail()}"
        self.stops.append(time.monotonic() - began)

    def end_load(self) -> None:
        self.stop.set()
        for caller in self.callers:
            if caller.is_alive():
                caller.join()
        self.check()

    def balance(self, address: str, account: str):
        with wire.tcp(address) as channel:
            request = account_pb2.GetBalanceRequest(account=account)
            return account_pb2_grpc.AccountServiceStub(channel).GetBalance(request, timeout=wire.CALL_SECONDS).balance


def in_touch(socket) -> bool:
    with wire.uds(socket) as channel:
        request = health_pb2.HealthCheckRequest(service="bursar.ledger")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=wire.CALL_SECONDS)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def upgraded(short_directory):
    directory = short_directory / "rolling"
    directory.mkdir()
    print(f"\nBURSAR_SEED={SEED} BURSAR_ROLLS={ROLLS}")
    with contextlib.ExitStack() as stack:
        site = Site(directory, stack)
        try:
            yield site
        finally:
            # Threads first: they must not meet channels that are closed.
            site.stop.set()
            for caller in site.callers:
                if caller.is_alive():
                    caller.join()


def test_a_rolling_upgrade_refuses_and_fails_nothing(upgraded):
    site, began = upgraded, time.monotonic()
    try:
        roll(site)
        runs = [run for caller in site.callers for run in caller.runs]
        print(f"{time.monotonic() - began:.0f} s: {len(runs)} runs; {site.tally}")
        print("stops, s: " + ", ".join(f"{seconds:.2f}" for seconds in site.stops))
        audit(site, runs)
        print(f"{time.monotonic() - began:.0f} s in all")
        shown = "\n".join([*site.tally.refused[:10], *site.tally.failed[:10]])
        assert (len(site.tally.refused), len(site.tally.failed)) == (0, 0), f"refused, failed:\n{shown}"
    except BaseException:
        print(site.tally)
        for server in (*site.ledgers, *site.sidecars):
            print(f"{server}\n{server.tail()}")
        raise
    # A test that met none of what it is for has shown nothing.
    assert site.tally.repetitions > 0
    assert max(site.stops) < STOP_SECONDS_MAX


def roll(site: Site) -> None:
    for caller in site.callers:
        caller.start()
    site.calm()
    for _ in range(ROLLS):
        steps = [(site.restart_ledger, LEDGERS), (site.restart_sidecar, SIDECARS), (site.replace_pod, SIDECARS)]
        for step, places in steps:
            for place in range(places):
                step(place)
                site.calm()
    site.end_load()
    for sidecar in site.sidecars:
        site.end(sidecar)


def audit(site: Site, runs: list[Run]) -> None:
    """Every run as the ledger has it, and the accounts' sums at both ledgers."""
    charged = dict.fromkeys(site.accounts, 0)
    for run in runs:
        charged[run.account] += run.charged
    with processes.sidecar(site.directory, site.addresses[0], "auditor") as auditor:
        with wire.uds(auditor.ready()["socket"]) as channel:
            stub = pb_grpc.EntitlementServiceStub(channel)
            with futures.ThreadPoolExecutor(AUDITORS) as auditors:
                wrong = list(filter(None, auditors.map(lambda run: what_is_wrong(stub, run), runs)))
        assert auditor.stop() == 0, auditor.tail()
    assert not wrong, f"{len(wrong)} of {len(runs)} runs are wrong\n" + "\n".join(wrong[:10])
    for address in site.addresses:
        for account, credits in charged.items():
            balance = site.balance(address, account)
            spent, held, debt = (Decimal(amount or 0) for amount in (balance.spent, balance.held, balance.debt))
            assert (spent, held, debt) == (credits, 0, 0), f"{account}, charged {credits}: {one_line(balance)}"


def what_is_wrong(stub, run: Run) -> str | None:
    found = stub.GetReservation(pb.GetReservationRequest(reservation=run.handle), timeout=ATTEMPT_SECONDS).run
    state, charged = pb.State.Name(found.state).removeprefix("STATE_"), int(Decimal(found.charged or 0))
    # A reservation that was given back costs nothing.
    right = "SETTLED" if run.charged else "RELEASED"
    if (state, charged, found.provisional) == (right, run.charged, False):
        return None
    return f"the ledger has {state}, charged {charged}: {run}"
