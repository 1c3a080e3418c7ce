"""Two ledgers over one PostgreSQL, a sidecar at each: a ledger is killed, the database restarts and crashes, and nothing
that was acknowledged is lost or charged twice.

`BURSAR_HARMS` says how often each is done (3 unless told), `BURSAR_SEED` repeats a run's choices (not the timing).
"""

import contextlib
import os
import random
import threading
import time
from decimal import Decimal

import grpc
import postgresql
import processes
import pytest
import wire
from conftest import PLAYBOOK
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc
from workload import Account, Caller, Ledger, insist

HARMS = int(os.environ.get("BURSAR_HARMS", "3"))
SEED = os.environ.get("BURSAR_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"

CALLERS_PER_SIDECAR = 3
# Between two harms, the load goes on for so long at most.
CALM_SECONDS_MAX = 1.0
# How long what was acknowledged may take to reach the ledger once all is well.
SETTLE_SECONDS = 60

# What playbook.yaml grants and limits.
HARD_CREDITS = 500
CAPPED_CREDITS = 300
WIDE_CREDITS = 100_000_000


@pytest.fixture
def directory(short_directory, request):
    directory = short_directory / request.node.name[:12]
    directory.mkdir()
    return directory


class Site:
    """Two ledgers that come and go, a sidecar at each."""

    def __init__(self, directory, stack: contextlib.ExitStack):
        print(f"BURSAR_SEED={SEED} BURSAR_HARMS={HARMS}")
        self.random = random.Random(SEED)
        self.directory = directory
        self.database = stack.enter_context(postgresql.PostgreSQL())
        processes.succeed("ledger", "migrate", "--database", self.database.url)
        self.ledgers = [self.ledger(name) for name in ("ledger-a", "ledger-b")]
        # Whichever processes they are in the end.
        stack.callback(lambda: [ledger.__exit__() for ledger in self.ledgers])
        self.addresses = [ledger.ready()["address"] for ledger in self.ledgers]
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(self.addresses[0]))
        self.sidecars = [
            stack.enter_context(processes.sidecar(directory, address, f"sidecar-{place}"))
            for place, address in enumerate(self.addresses)
        ]
        self.sockets = [sidecar.ready()["socket"] for sidecar in self.sidecars]
        self.said = Ledger()
        self.stop = threading.Event()
        self.accounts = [
            self.subscribe("wide", WIDE_CREDITS, scarce=False),
            self.subscribe("hard", HARD_CREDITS, scarce=True),
            self.subscribe("capped", CAPPED_CREDITS, scarce=True),
        ]
        self.callers = [
            Caller(f"{SEED}-{place}-{n}", self.stub(stack, socket), lambda: self.accounts, self.said, self.stop)
            for place, socket in enumerate(self.sockets)
            for n in range(CALLERS_PER_SIDECAR)
        ]

    def ledger(self, name: str, listen: str = "127.0.0.1:0") -> processes.Server:
        return processes.shared_ledger(self.directory, self.database.url, name, listen)

    def stub(self, stack, socket):
        return pb_grpc.EntitlementServiceStub(stack.enter_context(wire.uds(socket)))

    def subscribe(self, plan: str, limit: int, scarce: bool) -> Account:
        # Opened at one ledger, used through both.
        processes.succeed("account", "subscribe", plan, "--plan", plan, "--ledger", processes.url(self.addresses[1]))
        return Account(plan, limit, scarce)

    def kill_a_ledger(self) -> None:
        place = self.random.randrange(len(self.ledgers))
        self.ledgers[place].kill()
        time.sleep(self.random.uniform(0, 0.5))
        self.ledgers[place] = self.ledger(f"ledger-{'ab'[place]}", self.addresses[place])
        self.ledgers[place].ready()

    def check_callers(self) -> None:
        for caller in self.callers:
            if caller.failure is not None:
                raise caller.failure

    def calm(self) -> None:
        """Lets the load go on until it does so again after what was done to it."""
        before = self.said.answers
        give_up = time.monotonic() + SETTLE_SECONDS
        time.sleep(self.random.uniform(0, CALM_SECONDS_MAX))
        while self.said.answers < before + 20:
            self.check_callers()
            assert time.monotonic() < give_up, "no answers any more"
            time.sleep(0.02)

    def balance(self, place: int, account: Account):
        with wire.tcp(self.addresses[place]) as channel:
            request = account_pb2.GetBalanceRequest(account=account.name)
            return account_pb2_grpc.AccountServiceStub(channel).GetBalance(request, timeout=wire.CALL_SECONDS).balance


def charged(stub, run) -> int:
    """What a run was charged, as its sidecar or the ledger says."""
    if run.known:
        request = pb.GetReservationRequest(reservation=run.handle)
    else:
        request = pb.GetReservationRequest(account=run.account.name, request_id=run.request.request_id)
    try:
        found = insist(stub.GetReservation, request).run
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        found = None
    charge = int(found.charged or 0) if found else 0
    charges, _ = run.expected()
    assert charge in charges, f"{charge} is none of {sorted(charges)}\n{run}"
    return charge


def test_ledgers_share_accounts_and_lose_nothing(directory, eventually):
    with contextlib.ExitStack() as stack:
        site = Site(directory, stack)
        try:
            load(site, eventually)
            audit(site, eventually)
        except BaseException:
            for server in (*site.ledgers, *site.sidecars):
                print(f"{server}\n{server.tail()}")
            raise
        finally:
            # Threads first: they must not meet channels that are closed.
            site.stop.set()
            for caller in site.callers:
                if caller.is_alive():
                    caller.join()


def load(site: Site, eventually) -> None:
    for caller in site.callers:
        caller.start()
    for _ in range(HARMS):
        for harm in (site.kill_a_ledger, site.database.restart, site.database.crash):
            site.calm()
            harm()
    site.calm()
    site.stop.set()
    for caller in site.callers:
        caller.join()
    site.check_callers()
    # A clean stop drains what a sidecar has not reported yet; one that is out of touch would keep it on its disk.
    for sidecar, socket in zip(site.sidecars, site.sockets, strict=True):
        eventually(lambda: in_touch(socket), SETTLE_SECONDS)
        assert sidecar.stop() == 0, sidecar.tail()


def in_touch(socket) -> bool:
    with wire.uds(socket) as channel:
        request = health_pb2.HealthCheckRequest(service="bursar.ledger")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=wire.CALL_SECONDS)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def audit(site: Site, eventually) -> None:
    runs = [run for caller in site.callers for run in caller.runs]
    sums = {account.name: 0 for account in site.accounts}
    with processes.sidecar(site.directory, site.addresses[0], "auditor") as auditor:
        with wire.uds(auditor.ready()["socket"]) as channel:
            stub = pb_grpc.EntitlementServiceStub(channel)
            for run in runs:
                sums[run.account.name] += charged(stub, run)
        assert auditor.stop() == 0, auditor.tail()
    for account in site.accounts:
        for place in range(len(site.ledgers)):
            eventually(lambda: Decimal(site.balance(place, account).spent or 0) == sums[account.name])
            balance = site.balance(place, account)
            spent, held, debt = (Decimal(amount or 0) for amount in (balance.spent, balance.held, balance.debt))
            assert debt == 0, f"{account}\n{balance}"
            assert spent + held <= account.limit, f"{account}\n{balance}"
    print(f"{len(runs)} runs, {site.said.repeats} repeats, refusals {site.said.refusals}, charges {sums}")
    assert runs and site.said.repeats > 0


def test_a_database_that_does_not_fit_is_refused(directory):
    with postgresql.PostgreSQL() as database:
        with processes.shared_ledger(directory, database.url, "unmigrated") as ledger:
            with pytest.raises(processes.NotReady):
                ledger.ready()
            assert "bursar ledger migrate" in ledger.log.read_text() + ledger.tail()
        assert "version 3 now" in processes.succeed("ledger", "migrate", "--database", database.url)
        assert "nothing to do" in processes.succeed("ledger", "migrate", "--database", database.url)
        with processes.shared_ledger(directory, database.url, "migrated") as ledger:
            ledger.ready()
            assert ledger.stop() == 0
        shown = processes.succeed("config", "show", "ledger", "--database", database.url)
        assert "postgres://" in shown and ":bursar@" not in shown
        assert ":bursar@" not in "".join(path.read_text() for path in directory.glob("*.log"))


def test_tls_trusts_the_named_authority_alone(directory):
    with postgresql.PostgreSQL("start", "tls") as database, postgresql.PostgreSQL("start", "tls") as other:
        trusting = ("--database-ca", str(database.authority))
        migrate = ("ledger", "migrate", "--database", database.url)
        for refused, why in (((), "pg_hba.conf"), (("--database-ca", str(other.authority)), "certificate")):
            done = processes.run(*migrate, *refused)
            assert done.returncode != 0 and why in done.stderr, done
        processes.succeed(*migrate, *trusting)
        with processes.shared_ledger(directory, database.url, "tls", options=trusting) as ledger:
            address = ledger.ready()["address"]
            sessions = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'bursar'"
            assert database.ask(f"SELECT DISTINCT ssl {sessions}") == [["t"]]
            processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(address))
            assert ledger.stop() == 0
