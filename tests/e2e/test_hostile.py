"""Callers that break HTTP/2's rules or stretch them: what they get is bounded, and other callers do not notice.

Each attack is played again and again by a process of its own over TCP, while an honest caller authorises and commits over the
Unix socket. The sidecar answers with one thread, which all of them share: nobody is spared by chance.
"""

import collections
import contextlib
import json
import pathlib
import re
import select
import statistics
import subprocess
import sys
import time
from decimal import Decimal

import grpc
import hostile
import http2
import processes
import pytest
import wire
from conftest import PLAYBOOK
from wire import pb, pb_grpc

# Who is honest.
HONEST = "honest"

# What an attack may add to the sidecar's resident memory at its peak.
GROWTH_KIB_MAX = 32 << 10

# Runs of the honest caller in one window, each an authorise and a commit; a window's p99 is that of all its calls.
RUNS_PER_WINDOW = 100
# Windows between two attacks, and during one. Compared are their medians, of 2,000 calls each: those between count for the
# attack before and for the one after. What else the machine does spoils a window, and not the figure.
WINDOWS_CALM = 5
WINDOWS_ATTACKED = 10
# By then buffers and caches are filled.
WINDOWS_WARM = 5

# How much slower the honest caller's slow calls may become,
SLOWER_MAX = 2
# and what is allowed beside: attacker, caller, sidecar and ledger share two cores, so that a call may wait for another
# process's slice of time, some three milliseconds, on its way there and on its way back.
SLICES_SECONDS = 0.006
# Another job on the machine only ever makes calls slower: what is beyond the bound is measured again.
MEASUREMENTS = 3

# The sidecar's own bounds: connections at once, and how long it waits for the preface of HTTP/2.
CONNECTIONS_MAX = 512
PREFACE_SECONDS = 10
# How much later than that it may be noticed.
LATE_SECONDS = 5

# One byte more than a message may have: as much as the longest batch takes.
TOO_LONG = (256 << 10) + 1
# Streams that are asked for beyond those there may be.
MORE_STREAMS = 44

# A socket that has had no room for so long belongs to somebody who has stopped reading; until then the buffers of both
# sides, and no more, have taken what was sent.
STUCK_SECONDS = 0.2
STUCK_BYTES_MAX = 16 << 20


class Rig:
    """A ledger and a sidecar that are attacked, and somebody who calls the sidecar all the while."""

    def __init__(self, directory: pathlib.Path, stack: contextlib.ExitStack):
        self.directory = directory
        self.stack = stack
        self.ledger = stack.enter_context(processes.ledger(directory))
        self.addresses = {"ledger": self.ledger.ready()["address"]}
        url = processes.url(self.addresses["ledger"])
        processes.succeed("playbook", "publish", str(PLAYBOOK), "--ledger", url)
        for account in (HONEST, hostile.ACCOUNT):
            processes.succeed("account", "subscribe", account, "--plan", "wide", "--ledger", url)
        self.figures = "no attack was measured"
        self.starts = 0
        self.start()

    def __str__(self) -> str:
        return self.figures

    def start(self) -> None:
        """A sidecar that has not been attacked yet, warm and in calm."""
        self.starts += 1
        options = ("--threads", "1")
        sidecar = processes.sidecar(self.directory, self.addresses["ledger"], f"sidecar-{self.starts}", options)
        self.sidecar = self.stack.enter_context(sidecar)
        said = sidecar.ready()
        self.addresses |= {"uds": said["socket"], "tcp": said["address"]}
        # They say nothing, or half of the preface, and nothing more. Opened now: they may stay for a while.
        self.silent = [self.stack.enter_context(http2.Peer(said[by], greets=False)) for by in ("socket", "address")]
        self.silent[0].send(http2.PREFACE[: len(http2.PREFACE) // 2])
        self.opened = time.monotonic()
        self.stub = pb_grpc.EntitlementServiceStub(self.stack.enter_context(wire.uds(said["socket"])))
        self.calls(WINDOWS_WARM)
        self.calm = self.calls(WINDOWS_CALM)

    def start_anew(self) -> None:
        """The next one: memory that an attack has left free would hide what another takes. The attacked one ends cleanly."""
        for peer in self.silent:
            # The sidecar would wait for what it has to say.
            peer.socket.close()
        assert self.sidecar.stop() == 0
        self.start()

    def run(self) -> tuple[float, float]:
        """Authorises and commits; gives how long each took."""
        began = time.perf_counter()
        request = pb.AuthorizeRequest(account=HONEST, action="draft", quantity="1")
        held = self.stub.Authorize(request, timeout=wire.CALL_SECONDS)
        between = time.perf_counter()
        assert held.decision == pb.DECISION_ALLOWED, held
        done = self.stub.Commit(pb.CommitRequest(reservation=held.reservation), timeout=wire.CALL_SECONDS)
        assert done.state == pb.STATE_SETTLED, done
        return between - began, time.perf_counter() - between

    def calls(self, windows: int) -> list[float]:
        """The p99 of each window, in seconds."""
        slow = []
        for _ in range(windows):
            took = sorted(seconds for _ in range(RUNS_PER_WINDOW) for seconds in self.run())
            slow.append(took[len(took) * 99 // 100])
        return slow

    def memory_kib(self, name: str) -> int:
        """`VmRSS`, or `VmHWM`: the most that it has been."""
        status = pathlib.Path(f"/proc/{self.sidecar.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1])

    def forget_peak(self) -> None:
        pathlib.Path(f"/proc/{self.sidecar.process.pid}/clear_refs").write_text("5")

    def attacked(self, name: str) -> collections.Counter[str]:
        """Plays the attack while the honest caller calls, which all succeed, and gives what the attack's steps said."""
        for measurement in range(1, MEASUREMENTS + 1):
            before, memory = self.calm, self.memory_kib("VmRSS")
            self.forget_peak()
            with Attacker(name, self.addresses["tcp"]) as attacker:
                during = self.calls(WINDOWS_ATTACKED)
                said = attacker.stop()
            grown = self.memory_kib("VmHWM") - memory
            self.calm = self.calls(WINDOWS_CALM)
            calm, slow = statistics.median(before + self.calm), statistics.median(during)
            self.figures = (
                f"{name}: p99 {calm * 1000:.1f} ms in calm, {slow * 1000:.1f} ms under attack; "
                f"memory {grown / 1024:+.1f} MiB; {dict(said)}"
            )
            print(self.figures)
            assert grown <= GROWTH_KIB_MAX, self
            if slow <= SLOWER_MAX * calm + SLICES_SECONDS:
                break
            assert measurement < MEASUREMENTS, self
        return said


class Attacker:
    """An attack, in a process of its own."""

    def __init__(self, name: str, address: str):
        program = [sys.executable, hostile.__file__, name, address]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"the attacker ended with {self.process.wait()}"
        return json.loads(line)

    def stop(self) -> collections.Counter[str]:
        """Ends it after the step that it is in, and gives what the steps said."""
        self.process.stdin.close()
        said = self._read()
        assert self.process.wait(timeout=wire.CALL_SECONDS) == 0
        return collections.Counter(said)

    def __enter__(self) -> "Attacker":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def rig(short_directory):
    directory = short_directory / "hostile"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        yield Rig(directory, stack)


# How a server ends a connection that breaks the rules.
FATES = {
    "resets": "ENHANCE_YOUR_CALM too_many_resets",
    "windows_that_overflow": "ENHANCE_YOUR_CALM too_many_internal_resets",
    "streams_that_depend_on_themselves": "ENHANCE_YOUR_CALM too_many_internal_resets",
    "refused_streams": "ENHANCE_YOUR_CALM too_many_internal_resets",
    "a_window_update_of_nothing": "PROTOCOL_ERROR",
    "a_reset_of_no_stream": "PROTOCOL_ERROR",
    "data_of_no_stream": "PROTOCOL_ERROR",
    "continuations": "ENHANCE_YOUR_CALM too_many_continuations",
    "long_continuations": "ENHANCE_YOUR_CALM too_many_continuations",
    "empty_continuations": "ENHANCE_YOUR_CALM too_many_continuations",
    "a_ping_among_continuations": "PROTOCOL_ERROR",
    "header_bombs": "ENHANCE_YOUR_CALM header_list_way_too_large",
    "empty_data": "ENHANCE_YOUR_CALM too_many_data_frames",
    "a_long_frame": "FRAME_SIZE_ERROR",
}


@pytest.mark.parametrize("server", ["uds", "tcp", "ledger"])
@pytest.mark.parametrize("name", hostile.FATAL)
def test_a_connection_that_breaks_the_rules_is_ended(rig, server, name):
    with http2.Peer(rig.addresses[server]) as peer:
        peer.send(hostile.FATAL[name])
        assert peer.fate() == FATES[name]
        # What it had to do until then.
        assert peer.seen[http2.RST_STREAM] <= hostile.FLOOD


@pytest.mark.parametrize("server", ["uds", "tcp", "ledger"])
def test_who_does_not_speak_http2_is_sent_away(rig, server):
    said = hostile.strangers(rig.addresses[server])
    assert [next(said) for _ in hostile.STRANGERS] == [f"{name}: ended" for name in hostile.STRANGERS]


@pytest.mark.parametrize("server", ["uds", "tcp", "ledger"])
def test_there_are_no_more_streams_than_may_be(rig, server):
    streams = http2.odd(hostile.STREAMS + MORE_STREAMS)
    with http2.Peer(rig.addresses[server]) as peer:
        peer.send(b"".join(http2.opened(stream, hostile.CHECK) for stream in streams))
        resets = [(stream, why) for kind, _, stream, why in peer.barrier() if kind == http2.RST_STREAM]
        assert resets == [(stream, http2.REFUSED_STREAM) for stream in streams[hostile.STREAMS :]]


@pytest.mark.parametrize("server", ["uds", "tcp"])
@pytest.mark.parametrize("method", ["Authorize", "Commit", "GetBalance"])
def test_a_message_that_is_too_long_is_refused(rig, server, method):
    channel = wire.uds(rig.addresses[server]) if server == "uds" else wire.tcp(rig.addresses[server])
    with channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(f"/{hostile.SERVICE}/{method}")(bytes(TOO_LONG), timeout=wire.CALL_SECONDS)
    assert raised.value.code() == grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize("server", ["uds", "ledger"])
@pytest.mark.parametrize("kind", [http2.PING, http2.SETTINGS])
def test_who_reads_no_answers_is_read_no_further(rig, server, kind):
    frames = http2.frame(kind, payload=bytes(8) if kind == http2.PING else b"") * hostile.FLOOD
    with http2.Peer(rig.addresses[server]) as peer:
        went = 0
        while select.select([], [peer.socket], [], STUCK_SECONDS)[1]:
            went += peer.push(frames)
            assert went < STUCK_BYTES_MAX
        assert peer.state() == "open"


# What the steps of an attack say, of those that leave little behind.
SAID = {
    "resets": {"resets"},
    # A thousand calls may be given up beyond those that were let be answered.
    "lumps_of_resets": {"open", "ENHANCE_YOUR_CALM"},
    "made_resets": {"windows_that_overflow", "streams_that_depend_on_themselves", "refused_streams"},
    "headers": {"continuations", "long_continuations", "empty_continuations", "header_bombs"},
    "empty_data": {"empty_data"},
    "pings": {"open, open"},
    "settings": {"open, open"},
    "too_large": {"headers: refused, open", "message: refused, open"},
    "strangers": {f"{name}: ended" for name in hostile.STRANGERS},
}


@pytest.mark.parametrize("attack", SAID)
def test_other_callers_do_not_notice(rig, attack):
    expected = {f"{said}: {FATES[said]}" if said in FATES else said for said in SAID[attack]}
    assert rig.attacked(attack).keys() == expected


@pytest.mark.parametrize("attack", ["idle_connections", "silent_connections"])
def test_connections_beyond_the_limit_are_refused(rig, eventually, attack):
    def taken():
        with http2.Peer(rig.addresses["tcp"], greets=False) as peer:
            return peer.next(wire.CALL_SECONDS) is not None

    (said,) = rig.attacked(attack)
    allowed, refused, still_open = map(int, re.findall(r"\d+", said))
    assert allowed + refused == hostile.IDLE
    assert 0 < still_open <= CONNECTIONS_MAX
    # They are gone: there is room again.
    eventually(taken)


def test_who_never_greets_is_sent_away(rig):
    give_up = rig.opened + PREFACE_SECONDS + LATE_SECONDS
    for peer in rig.silent:
        while peer.next(max(give_up - time.monotonic(), 0)) is not None:
            pass
        assert peer.closed


@pytest.mark.parametrize(("attack", "said"), [("half_open", "open, open"), ("deaf", "open, open, open")])
def test_streams_that_stand_still_take_little_memory(rig, attack, said):
    rig.start_anew()
    # Nothing ends them while the peer answers pings.
    assert rig.attacked(attack).keys() == {said}


def test_runs_that_nobody_ends_give_their_credits_back(rig, eventually):
    def balance():
        return rig.stub.GetBalance(pb.GetBalanceRequest(account=hostile.ACCOUNT), timeout=wire.CALL_SECONDS)

    rig.start_anew()
    before = balance()
    assert rig.attacked("abandoned").keys() == {f"{hostile.RUNS} held"}
    eventually(lambda: Decimal(balance().held or 0) == 0)
    assert balance().available == before.available
