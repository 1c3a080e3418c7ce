"""HTTP/2 by hand: frames that no client library would let one send, and a peer that sends them."""

import collections
import socket
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
FRAME_BYTES_MAX = 16 << 10
# What HTTP/2 gives each stream and connection at first.
WINDOW_BYTES = 65_535
INITIAL_WINDOW_SIZE = 4
REFUSED_STREAM, CANCEL = struct.pack(">I", 7), struct.pack(">I", 8)
# What the window of a connection may grow by: all that there is room for.
WIDE = struct.pack(">I", 0x7FFF_FFFF - WINDOW_BYTES)
ERRORS = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 6: "FRAME_SIZE_ERROR", 9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM"}

# How long a server may take to answer or to end a connection; a pass waits for neither.
ANSWER_SECONDS = 10
READ_BYTES = 1 << 16


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(name: int, value: int) -> bytes:
    return frame(SETTINGS, payload=struct.pack(">HI", name, value))


def _text(text: str | bytes) -> bytes:
    """HPACK: a length with a prefix of seven bits, then the bytes as they are."""
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + raw


def header(name: str, value: str, remembered: bool = False) -> bytes:
    return (b"\x40" if remembered else b"\x00") + _text(name) + _text(value)


def call(path: str) -> bytes:
    # The first two: POST and http, from HPACK's own table.
    plain = {":path": path, ":authority": "localhost", "content-type": "application/grpc", "te": "trailers"}
    return b"\x83\x86" + b"".join(header(name, value) for name, value in plain.items())


def opened(stream: int, path: str, end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, call(path))


def data(stream: int, payload: bytes, end: bool = False) -> bytes:
    """The payload, in as many frames as it takes."""
    pieces = [payload[at : at + FRAME_BYTES_MAX] for at in range(0, len(payload), FRAME_BYTES_MAX)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if end else 0]
    return b"".join(frame(DATA, flag, stream, piece) for flag, piece in zip(flags, pieces, strict=True))


def message(content: bytes, claimed: int | None = None) -> bytes:
    """A gRPC message; `claimed` = the length that it says it has."""
    return struct.pack(">BI", 0, len(content) if claimed is None else claimed) + content


def field(number: int, content: str | bytes | int) -> bytes:
    """One field of a protobuf message."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes(groups) + bytes([value])


def odd(count: int) -> range:
    """The first streams that a client may open."""
    return range(1, 2 * count, 2)


class Peer:
    """One connection. It reads only where it is told to, and then answers the server's pings."""

    def __init__(self, address: str, greets: bool = True, window: int = WINDOW_BYTES):
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(ANSWER_SECONDS)
            self.socket.connect(address)
        else:
            host, port = address.removeprefix("http://").rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), ANSWER_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False
        self.goaway = ""
        self.last_stream: int | None = None
        # Frames read, by kind.
        self.seen: collections.Counter[int] = collections.Counter()
        self._read = b""
        self._unsent = memoryview(b"")
        if greets:
            self.send(PREFACE + settings(INITIAL_WINDOW_SIZE, window) + frame(WINDOW_UPDATE, payload=WIDE))
            assert self.until(SETTINGS), f"the server says no settings: {self.state()}"
            self.send(frame(SETTINGS, ACK))
            # By then it has said how wide its own windows are.
            self.barrier()

    def send(self, frames: bytes) -> None:
        """All of it, unless the server ends the connection first; what it said until then can still be read."""
        self.socket.settimeout(ANSWER_SECONDS)
        try:
            self.socket.sendall(frames)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def push(self, frames: bytes) -> int:
        """As much as goes without waiting, of what was left from before or else of these. Gives how many bytes went."""
        if not self._unsent:
            self._unsent = memoryview(frames)
        self.socket.settimeout(0)
        try:
            went = self.socket.send(self._unsent)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True
            return 0
        self._unsent = self._unsent[went:]
        return went

    def next(self, seconds: float) -> tuple[int, int, int, bytes] | None:
        """The next frame: kind, flags, stream, payload. `None`: closed, or none in time."""
        give_up = time.monotonic() + seconds
        while not (taken := self._take()):
            self.socket.settimeout(max(give_up - time.monotonic(), 0))
            try:
                more = self.socket.recv(READ_BYTES)
            except (TimeoutError, BlockingIOError):
                return None
            except ConnectionResetError:
                more = b""
            if not more:
                self.closed = True
                return None
            self._read += more
        return taken

    def _take(self) -> tuple[int, int, int, bytes] | None:
        end = HEAD_BYTES + int.from_bytes(self._read[:3], "big")
        if len(self._read) < max(end, HEAD_BYTES):
            return None
        kind, flags, stream = struct.unpack(">BBI", self._read[3:HEAD_BYTES])
        payload, self._read = self._read[HEAD_BYTES:end], self._read[end:]
        self.seen[kind] += 1
        if kind == GOAWAY:
            self.last_stream, code = struct.unpack(">II", payload[:8])
            self.goaway = f"{ERRORS.get(code, code)} {payload[8:].decode()}".strip()
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, payload=payload))
        return kind, flags, stream, payload

    def until(self, kind: int, flags: int = 0) -> list[tuple[int, int, int, bytes]]:
        """All frames up to one of this kind; none if it does not come."""
        found = []
        while (one := self.next(ANSWER_SECONDS)) is not None:
            found.append(one)
            if one[0] == kind and one[1] & flags == flags:
                return found
        return []

    def barrier(self) -> list[tuple[int, int, int, bytes]]:
        """Waits until the server has read all that was sent before, and gives what it said; nothing if it ended the connection."""
        self.send(frame(PING, payload=bytes(8)))
        return self.until(PING, ACK)

    def attend(self) -> str:
        """Reads what has come, and says how the connection is."""
        while self.next(0) is not None:
            pass
        return self.state()

    def state(self) -> str:
        """`open`, `closed` without a word, or the error that the server named."""
        return self.goaway or ("closed" if self.closed else "open")

    def fate(self) -> str:
        """How the server ends the connection; `open` if it does not."""
        while not self.closed and self.next(ANSWER_SECONDS) is not None:
            pass
        return self.state() if self.closed else "open"

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()
