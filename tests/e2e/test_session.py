"""Calls pipelined over one stream: the answers are those of the calls, whatever their order."""

import asyncio
import contextlib
import itertools
import pathlib
import tempfile
import time
from decimal import Decimal

import faults
import grpc
import processes
import pytest
import wire
from conftest import PLAYBOOK
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from wire import account_pb2, account_pb2_grpc, pb, pb_grpc

# More than may wait in one session at once, by the contract.
MANY = 1500

# Well below what a stop allows the calls in work.
STOP_SECONDS = 2

# What differs between two accounts that do the same.
OWN = {"decisionId", "reservation", "account", "requestId", "remaining", "provisional"}
OWN_ENDINGS = ("At", "In", "Of", "Age", "Ends")


class Session:
    """One stream; a call is a coroutine that gives its answer."""

    def __init__(self, channel: grpc.aio.Channel):
        self._stream = pb_grpc.EntitlementServiceStub(channel).Session(timeout=wire.CALL_SECONDS)
        self._sequences = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for response in self._stream:
            self._waiting.pop(response.sequence).set_result(response)

    async def send(self, timeout=None, **request) -> asyncio.Future:
        sequence = next(self._sequences)
        answer = self._waiting[sequence] = asyncio.get_running_loop().create_future()
        await self._stream.write(pb.SessionRequest(sequence=sequence, timeout=timeout, **request))
        return answer

    async def ask(self, **request):
        """The answer, or the fault."""
        response = await (await self.send(**request))
        return getattr(response, response.WhichOneof("answer"))

    async def end(self) -> None:
        """No more requests; the stream ends once all are answered."""
        await self._stream.done_writing()
        await self._reader
        assert not self._waiting
        assert await self._stream.code() == grpc.StatusCode.OK


def over_a_session(site, transport: str, work):
    """Runs `work(session)`; whatever it leaves open is answered."""

    async def run():
        channel = wire.aio_uds(site.socket) if transport == "uds" else wire.aio_tcp(site.sidecar_address)
        async with channel:
            session = Session(channel)
            result = await work(session)
            await session.end()
            return result

    return asyncio.run(run())


def story(account: str):
    """One call of each kind and what it is to be asked, given the answers before; ends with faults."""

    def draft(**more):
        return pb.AuthorizeRequest(account=account, action="draft", quantity="10", **more)

    run = (yield "authorize", draft(request_id=f"first-{account}", run_id="a-run")).reservation
    yield "batch_authorize", pb.BatchAuthorizeRequest(requests=[draft(), draft(ttl=Duration(seconds=-1))])
    yield "progress", pb.ProgressRequest(reservation=run, quantity="4", ahead="6")
    yield "get_reservation", pb.GetReservationRequest(account=account, request_id=f"first-{account}")
    yield "list_reservations", pb.ListReservationsRequest(account=account, run_id="a-run")
    yield "commit", pb.CommitRequest(reservation=run, quantity="7")
    other = (yield "authorize", draft()).reservation
    yield "release", pb.ReleaseRequest(reservation=other)
    yield "record", pb.RecordRequest(account=account, action="draft", quantity="3")
    yield "get_balance", pb.GetBalanceRequest(account=account)
    yield "get_features", pb.GetFeaturesRequest(account=account)
    yield "authorize", pb.AuthorizeRequest(account=account, action="draft", quantity="1000")
    yield "progress", pb.ProgressRequest(reservation=run, quantity="1")
    yield "commit", pb.CommitRequest(reservation="none", quantity="-1")
    yield "authorize", pb.AuthorizeRequest(account=account, action="drat")


def method(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))


def figures(value):
    """An answer without what is the account's or the moment's own."""
    if isinstance(value, dict):
        own = lambda key: key in OWN or key.endswith(OWN_ENDINGS)  # noqa: E731
        return {key: figures(inner) for key, inner in value.items() if not own(key)}
    return [figures(inner) for inner in value] if isinstance(value, list) else value


def told(answer) -> dict:
    if isinstance(answer, grpc.RpcError):
        read = faults.read(answer)
        answer = pb.Fault(code=read.code.value[0], reason=read.reason, message=read.message, metadata=read.metadata)
        fault = figures(MessageToDict(answer))
        return fault | {"fields": read.fields}
    if isinstance(answer, pb.Fault):
        fault = figures(MessageToDict(answer))
        fault.pop("fieldViolations", None)
        return fault | {"fields": [violation.field for violation in answer.field_violations]}
    return figures(MessageToDict(answer))


def test_each_request_is_answered_as_its_own_call_is(site, transport):
    stub = site.entitlement(transport)
    called = []
    steps = story(site.subscribe("hard"))
    with contextlib.suppress(StopIteration):
        kind, request = next(steps)
        while True:
            try:
                answer = getattr(stub, method(kind))(request, timeout=wire.CALL_SECONDS)
            except grpc.RpcError as error:
                answer = error
            called.append((kind, told(answer)))
            kind, request = steps.send(answer)

    async def play(session):
        asked = []
        steps = story(site.subscribe("hard"))
        with contextlib.suppress(StopIteration):
            kind, request = next(steps)
            while True:
                answer = await session.ask(**{kind: request})
                asked.append((kind, told(answer)))
                kind, request = steps.send(answer)
        return asked

    assert over_a_session(site, transport, play) == called
    assert len(called) == len(list(pb.SessionRequest.DESCRIPTOR.oneofs_by_name["request"].fields)) + 5


def test_a_fault_is_one_requests_and_the_stream_goes_on(site, transport):
    account = site.subscribe("hard")

    async def ask(session):
        run = pb.AuthorizeRequest(account=account, action="draft")
        return [
            await session.ask(),
            await session.ask(authorize=pb.AuthorizeRequest(account="", action="draft")),
            await session.ask(authorize=run, timeout=Duration(seconds=-1)),
            await session.ask(authorize=run, timeout=Duration(seconds=5)),
        ]

    unknown, invalid, timeless, held = over_a_session(site, transport, ask)
    assert unknown.code == grpc.StatusCode.UNIMPLEMENTED.value[0] and unknown.message
    assert (invalid.code, invalid.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_ACCOUNT")
    assert timeless.reason == "INVALID_TIMEOUT"
    assert held.decision == pb.DECISION_ALLOWED


def test_many_runs_are_in_flight_at_once(site, transport, eventually):
    account = site.subscribe("wide")

    async def run(session):
        authorize = pb.AuthorizeRequest(account=account, action="draft", quantity="2")
        held = [await session.send(authorize=authorize) for _ in range(MANY)]
        runs = [(await answer).authorize.reservation for answer in held]
        assert len(set(runs)) == MANY and "" not in runs
        commits = [await session.send(commit=pb.CommitRequest(reservation=run, quantity="1")) for run in runs]
        return [(await answer).commit for answer in commits]

    done = over_a_session(site, transport, run)
    assert {(answer.state, Decimal(answer.charged)) for answer in done} == {(pb.STATE_SETTLED, 1)}
    eventually(lambda: Decimal(site.ledger_balance(account).spent or "0") == MANY)


def test_a_client_that_asks_faster_than_it_is_answered_is_slowed_down(site):
    # The shortest requests, each a question to the ledger: an HTTP/2 server may take so many short frames for an attack.
    request = pb.GetFeaturesRequest(account="a")

    async def ask(session):
        asked = [await session.send(get_features=request) for _ in range(4 * MANY)]
        return {(await answer).fault.reason for answer in asked}

    assert over_a_session(site, "uds", ask) <= {"ACCOUNT_UNKNOWN", "NOT_READY"}


def test_a_frame_that_is_no_message_ends_the_stream(site, transport):
    call = site.channels[transport].stream_stream("/bursar.v1.EntitlementService/Session")
    with pytest.raises(grpc.RpcError) as raised:
        list(call(iter([b"\xff\xff"]), timeout=wire.CALL_SECONDS))
    assert raised.value.code() == grpc.StatusCode.INTERNAL


@pytest.fixture
def alone(short_directory):
    """A ledger and a sidecar that a test may stop and kill."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=short_directory))
    with processes.ledger(directory) as ledger:
        address = ledger.ready()["address"]
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", processes.url(address))
        with processes.sidecar(directory, address) as sidecar:
            yield directory, address, sidecar


def test_an_open_session_does_not_keep_the_sidecar_from_stopping(alone):
    _, _, sidecar = alone
    socket = sidecar.ready()["socket"]

    async def stop():
        async with wire.aio_uds(socket) as channel:
            stream = pb_grpc.EntitlementServiceStub(channel).Session(timeout=wire.CALL_SECONDS)
            await stream.write(pb.SessionRequest(sequence=1))
            assert (await stream.read()).sequence == 1
            began = time.monotonic()
            stopped = asyncio.get_running_loop().run_in_executor(None, sidecar.stop)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                while await stream.read() is not grpc.aio.EOF:
                    pass
            assert await stopped == 0
            return raised.value, time.monotonic() - began

    ended, took = asyncio.run(stop())
    assert ended.code() == grpc.StatusCode.UNAVAILABLE
    assert faults.read(ended).reason == "NOT_READY"
    assert took < STOP_SECONDS


def test_a_commit_that_was_answered_survives_a_kill(alone, eventually):
    directory, address, sidecar = alone
    ledger = account_pb2_grpc.AccountServiceStub(channel := wire.tcp(address))
    subscribe = account_pb2.SubscribeRequest(account="acme", plan="wide", request_id="subscribe")
    ledger.Subscribe(subscribe, timeout=wire.CALL_SECONDS)
    socket = sidecar.ready()["socket"]

    async def run():
        async with wire.aio_uds(socket) as aio:
            session = Session(aio)
            authorize = pb.AuthorizeRequest(account="acme", action="draft")
            held = [await session.send(authorize=authorize) for _ in range(MANY)]
            runs = [(await answer).authorize.reservation for answer in held]
            commits = [await session.send(commit=pb.CommitRequest(reservation=run)) for run in runs]
            for answer in commits:
                assert (await answer).commit.state == pb.STATE_SETTLED
            sidecar.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await session.end()

    asyncio.run(run())
    with processes.sidecar(directory, address) as again:
        again.ready()
        balance = account_pb2.GetBalanceRequest(account="acme")
        spent = lambda: Decimal(ledger.GetBalance(balance, timeout=wire.CALL_SECONDS).balance.spent or "0")  # noqa: E731
        eventually(lambda: spent() == MANY)
        assert again.stop() == 0
    channel.close()
