"""The network between sidecars and ledgers: one link per sidecar, which can be cut, slowed, torn and led elsewhere. A link
may stand for several ledgers, as Kubernetes' services do.

TCP loses nothing in the middle of a stream: what a cut holds up arrives late once it is healed, or never, where the
connection is torn then. A process of its own, so that nobody waits for the callers' work:

    python proxy.py HOST:PORT…      a link to each; says the links' addresses in one JSON line,
                                    then obeys one JSON list per line: [LINK, ORDER, ARGUMENTS…]
"""

import asyncio
import itertools
import json
import subprocess
import sys
import threading

# What one read of a socket takes at most.
CHUNK = 65536


class Link:
    """Connections to a ledger, or to several in turn; `gates` stop what goes there (`to`) and what comes back (`from`)."""

    def __init__(self, upstream: str):
        self.upstreams = [upstream]
        self.turns = itertools.count()
        self.gates = {"to": asyncio.Event(), "from": asyncio.Event()}
        self.seconds = 0.0
        self.writers: set[asyncio.StreamWriter] = set()
        self.heal()

    def cut(self, *ways: str) -> None:
        for way in ways:
            self.gates[way].clear()

    def heal(self) -> None:
        self.seconds = 0.0
        for gate in self.gates.values():
            gate.set()

    def slow(self, seconds: float) -> None:
        """Each piece takes so long, both ways."""
        self.seconds = seconds

    def tear(self) -> None:
        """Ends each connection without a word; what was under way is lost."""
        for writer in list(self.writers):
            writer.transport.abort()

    def lead(self, upstream: str) -> None:
        """New connections go there, and the others are torn."""
        self.upstreams = [upstream]
        self.tear()

    def offer(self, *upstreams: str) -> None:
        """New connections go to these in turn; the others stay."""
        self.upstreams = list(upstreams)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        far = None
        try:
            await self.gates["to"].wait()
            host, _, port = self.upstreams[next(self.turns) % len(self.upstreams)].rpartition(":")
            far_reader, far = await asyncio.open_connection(host, int(port))
            self.writers.add(far)
            ways = [self.carry(reader, far, "to"), self.carry(far_reader, writer, "from")]
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        except OSError:
            # Nobody is there: the connection ends, as it does where a process has died.
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    self.writers.discard(end)
                    end.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        try:
            while data := await reader.read(CHUNK):
                if self.seconds:
                    await asyncio.sleep(self.seconds)
                await self.gates[way].wait()
                writer.write(data)
                await writer.drain()
            # The end, too, is not heard across a cut.
            await self.gates[way].wait()
        except OSError:
            pass


async def serve(upstreams: list[str]) -> None:
    links = [Link(upstream) for upstream in upstreams]
    servers = [await asyncio.start_server(link.accept, "127.0.0.1", 0) for link in links]
    print(json.dumps(["{}:{}".format(*server.sockets[0].getsockname()) for server in servers]), flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        link, order, *arguments = json.loads(line)
        getattr(links[link], order)(*arguments)
        print(line.decode().strip(), flush=True)


class Network:
    """The process, as tests use it."""

    def __init__(self, upstreams: list[str]):
        self._process = subprocess.Popen(
            [sys.executable, __file__, *upstreams], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self.addresses: list[str] = json.loads(self._process.stdout.readline())

    def order(self, link: int, order: str, *arguments) -> None:
        """Done when this returns."""
        line = json.dumps([link, order, *arguments])
        with self._lock:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline().strip()
        assert said == line, f"the network answered {said!r} to {line!r}"

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_) -> None:
        with self._process:
            self._process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
