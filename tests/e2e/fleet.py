"""Eight sidecars, two ledgers, a PostgreSQL with a synchronous standby, the network between them, and what befalls them."""

import contextlib
import os
import random
import signal
import threading
import time

import grpc
import postgresql
import processes
import proxy
import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from roaming import Book, Caller, Tally
from wire import account_pb2, account_pb2_grpc, pb_grpc

SIDECARS = 8
LEDGERS = 2
CALLERS_PER_SIDECAR = 2

# Short, so that leases end while a process is paused or cut off; what they hold is kept for it much longer, so that
# nothing here is reported too late.
LEASE_SECONDS = 4
# The ledger counts a lease as ended after one and a half times its length.
LEASE_OVER_SECONDS = 7

HARMS_AT_ONCE = 3
BETWEEN_HARMS_SECONDS = 0.4
# How long what was healed may take to be in touch again: links are tried again within 5 s, sessions of the database within 10.
HEAL_SECONDS = 60
GRACE = ("--shutdown-grace", "20s")

PLAYBOOK = """
bursar: 1
playbook: fleet
version: 1
credit: {{unit: output, price: 0.10, currency: USD}}
actions:
  draft: {{weight: 1, reserve: {{ttl: 50m}}}}
  ping: {{weight: 2, trigger: event}}
plans:
  tight:
    allowance: {{credits: {tight}, every: year}}
    caps:
      - {{name: user, per: user, limit: {roomy}, every: 365d}}
      - {{name: all, per: account, limit: {roomy}, every: 365d}}
    offline: {offline}
  capped:
    allowance: {{credits: {roomy}, every: year}}
    caps: [{{name: all, per: account, limit: {capped}, every: 365d}}]
    offline: {offline}
  small:
    allowance: {{credits: 100, every: year}}
    offline: {offline}
  roomy:
    allowance: {{credits: {roomy}, every: year}}
    caps:
      - {{name: user, per: user, limit: {roomy}, every: 365d}}
      - {{name: all, per: account, limit: {roomy}, every: 365d}}
    offline: {offline}
"""
OFFLINE = f"{{mode: deny, for: 1h, wait: 2s, lease: {LEASE_SECONDS}s, reclaim_after: 1h}}"
SMALL_CREDITS = 100


class Fleet:
    """All processes, and the callers. Other fleets say how many there are of what, who calls, and what befalls whom."""

    sidecar_places = range(SIDECARS)
    ledger_places = range(LEDGERS)
    Database = postgresql.Pair

    def __init__(self, directory, stack: contextlib.ExitStack, seed: str, runs: int):
        self.directory = directory
        self.stack = stack
        self.random = random.Random(seed)
        self.database = stack.enter_context(self.Database())
        processes.succeed("ledger", "migrate", "--database", self.database.url)
        self.ledgers = [self.ledger(place) for place in self.ledger_places]
        # Whichever processes they are in the end.
        stack.callback(lambda: [server.__exit__() for server in self.servers()])
        self.addresses = [ledger.ready()["address"].removeprefix("http://") for ledger in self.ledgers]
        self.sidecars: list[processes.Server] = []
        self.network = stack.enter_context(
            proxy.Network([self.addresses[place % len(self.addresses)] for place in self.sidecar_places])
        )
        self.books = self.open_accounts(runs)
        self.sidecars = [self.sidecar(place) for place in self.sidecar_places]
        self.sockets = [sidecar.ready()["socket"] for sidecar in self.sidecars]
        self.tally = Tally()
        self.stop = threading.Event()
        self.callers = self.make_callers(seed)
        self.harmed: dict[str, int] = {}
        self.failure: BaseException | None = None
        # What a harm is at work on.
        self._taken: set[object] = set()
        self._at_work: list[threading.Thread] = []
        self._bag: list = []

    def make_callers(self, seed: str) -> list[threading.Thread]:
        return [
            Caller(f"{seed}-{place}-{n}", place, self.stubs(), self.books, self.tally, self.stop)
            for place in self.sidecar_places
            for n in range(CALLERS_PER_SIDECAR)
        ]

    def open_accounts(self, runs: int) -> list[Book]:
        # A run is charged a little under three credits, and a third of the runs ask each account: two of them run out.
        limits = {"tight": runs // 2, "capped": runs // 2, "roomy": 100 * runs}
        playbook = self.directory / "fleet.yaml"
        playbook.write_text(PLAYBOOK.format(offline=OFFLINE, **limits))
        ledger = processes.url(self.addresses[0])
        processes.succeed("playbook", "publish", str(playbook), "--ledger", ledger)
        return [self.subscribe(plan, plan, limit) for plan, limit in limits.items()]

    def subscribe(self, name: str, plan: str, limit: int) -> Book:
        ledger = processes.url(self.addresses[0])
        processes.succeed("account", "subscribe", name, "--plan", plan, "--ledger", ledger)
        return Book(name, limit)

    def servers(self) -> list[processes.Server]:
        return [*self.ledgers, *self.sidecars]

    def ledger(self, place: int) -> processes.Server:
        listen = self.addresses[place] if hasattr(self, "addresses") else "127.0.0.1:0"
        return processes.shared_ledger(self.directory, self.database.url, f"ledger-{place}", listen)

    def sidecar(self, place: int) -> processes.Server:
        return processes.sidecar(self.directory, self.network.addresses[place], f"s{place}", GRACE)

    def stubs(self) -> list:
        """One for each sidecar, over connections of their own: one that breaks must not take another caller's calls with it."""
        return [pb_grpc.EntitlementServiceStub(self.stack.enter_context(wire.uds(socket))) for socket in self.sockets]

    def made(self) -> int:
        return sum(len(caller.runs) for caller in self.callers)

    def harms(self) -> int:
        return sum(self.harmed.values())

    def check(self) -> None:
        for failure in [self.failure, *(caller.failure for caller in self.callers)]:
            if failure is not None:
                raise failure

    # Harms. Each is a context: it is done on the way in and healed on the way out; `seconds` lie between.

    @contextlib.contextmanager
    def cut(self, place: int):
        yield from self._cut(place, "to", "from")

    @contextlib.contextmanager
    def deafen(self, place: int):
        """What the sidecar says arrives, what the ledger answers does not."""
        yield from self._cut(place, "from")

    @contextlib.contextmanager
    def mute(self, place: int):
        yield from self._cut(place, "to")

    def _cut(self, place: int, *ways: str):
        self.network.order(place, "cut", *ways)
        yield self.random.uniform(0.5, LEASE_OVER_SECONDS)
        if self.random.random() < 0.5:
            self.network.order(place, "tear")
        self.network.order(place, "heal")

    @contextlib.contextmanager
    def slow(self, place: int):
        self.network.order(place, "slow", self.random.uniform(0.02, 0.5))
        yield self.random.uniform(1, 4)
        self.network.order(place, "heal")

    @contextlib.contextmanager
    def tear(self, place: int):
        self.network.order(place, "tear")
        yield 0

    @contextlib.contextmanager
    def lead_elsewhere(self, place: int):
        self.network.order(place, "lead", self.random.choice(self.addresses))
        yield 0

    @contextlib.contextmanager
    def kill_sidecar(self, place: int):
        self.sidecars[place].kill()
        yield self.random.uniform(0, 1)
        self.sidecars[place] = self.sidecar(place)
        self.sidecars[place].ready()

    @contextlib.contextmanager
    def restart_sidecar(self, place: int):
        self.sidecars[place].stop()
        yield 0
        self.sidecars[place] = self.sidecar(place)
        self.sidecars[place].ready()

    @contextlib.contextmanager
    def pause_sidecar(self, place: int):
        """Past its lease, by its own count and by the ledger's."""
        self.sidecars[place].process.send_signal(signal.SIGSTOP)
        yield LEASE_OVER_SECONDS
        self.sidecars[place].process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def kill_ledger(self, place: int):
        self.ledgers[place].kill()
        yield self.random.uniform(0, 1)
        self.ledgers[place] = self.ledger(place)
        self.ledgers[place].ready()

    @contextlib.contextmanager
    def restart_ledger(self, place: int):
        self.ledgers[place].stop()
        yield 0
        self.ledgers[place] = self.ledger(place)
        self.ledgers[place].ready()

    @contextlib.contextmanager
    def pause_ledger(self, place: int):
        self.ledgers[place].process.send_signal(signal.SIGSTOP)
        yield self.random.uniform(1, 6)
        self.ledgers[place].process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def restart_database(self, _place: int):
        self.database.restart()
        yield 0

    @contextlib.contextmanager
    def crash_database(self, _place: int):
        self.database.crash()
        yield 0

    @contextlib.contextmanager
    def fail_over(self, _place: int):
        self.database.fail_over()
        yield 0

    def kinds(self) -> list[tuple[str, str, range]]:
        """Each kind of harm, whom it befalls, and at which places. A ledger needs its database to start: harms of these two
        do not meet."""
        links = ["cut", "deafen", "mute", "slow", "tear", "lead_elsewhere"]
        sidecars = ["kill_sidecar", "kill_sidecar", "restart_sidecar", "pause_sidecar"]
        ledgers = ["kill_ledger", "restart_ledger", "pause_ledger"]
        databases = ["restart_database", "crash_database", "fail_over"]
        befallen = [
            ("sidecar", self.sidecar_places, links + sidecars),
            ("ledgers", self.ledger_places, ledgers),
            ("ledgers", range(1), databases),
        ]
        return [(name, whom, places) for whom, places, names in befallen for name in names]

    def harm_next(self) -> None:
        """Begins one more harm, of those that are not at work; each kind comes once before one comes again."""
        if not self._bag:
            self._bag = self.kinds()
            self.random.shuffle(self._bag)
        self._at_work = [thread for thread in self._at_work if thread.is_alive()]
        if len(self._at_work) >= HARMS_AT_ONCE:
            return
        name, whom, places = self._bag[-1]
        place = self.random.choice(places)
        target = (whom, place) if whom == "sidecar" else whom
        if target in self._taken:
            return
        self._bag.pop()
        self._taken.add(target)
        self.harmed[name] = self.harmed.get(name, 0) + 1
        thread = threading.Thread(target=self._harm, args=(name, place, target), daemon=True)
        thread.start()
        self._at_work.append(thread)

    def _harm(self, name: str, place: int, target) -> None:
        try:
            with getattr(self, name)(place) as seconds:
                time.sleep(seconds)
        except BaseException as failure:  # raised by `check`
            failure.add_note(f"while {name} {place}")
            self.failure = failure
        finally:
            self._taken.discard(target)

    def harm(self, enough) -> None:
        """Until `enough` says so."""
        while not enough():
            self.check()
            self.harm_next()
            time.sleep(BETWEEN_HARMS_SECONDS)

    def heal(self) -> None:
        """Waits until everything is well, and every lease that somebody lost is over."""
        for thread in self._at_work:
            thread.join()
        self.check()
        give_up = time.monotonic() + HEAL_SECONDS
        for place in self.sidecar_places:
            while not self.in_touch(place):
                self.check()
                assert time.monotonic() < give_up, f"sidecar {place} is out of touch\n{self.sidecars[place].tail()}"
                time.sleep(0.1)

    def in_touch(self, place: int) -> bool:
        with wire.uds(self.sockets[place]) as channel:
            request = health_pb2.HealthCheckRequest(service="bursar.ledger")
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=wire.CALL_SECONDS)
            except grpc.RpcError:
                return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def calm(self, seconds: float) -> None:
        """Lets the load go on; meanwhile every refusal must be right."""
        self.tally.calm = True
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            self.check()
            time.sleep(0.05)
        self.tally.calm = False

    def end_load(self) -> None:
        self.stop.set()
        for caller in self.callers:
            if caller.is_alive():
                caller.join()
        self.check()

    def balance(self, address: str, name: str):
        with wire.tcp(address) as channel:
            request = account_pb2.GetBalanceRequest(account=name)
            return account_pb2_grpc.AccountServiceStub(channel).GetBalance(request, timeout=wire.CALL_SECONDS).balance

    def shown(self) -> str:
        harmed = ", ".join(f"{name} {count}" for name, count in sorted(self.harmed.items()))
        return f"{self.made()} runs; {harmed}\n{self.tally}"
