"""The real binary, started and stopped.

A server says on its standard output, in one JSON line, when and where it is ready; what it logs goes to a file that is
shown when something fails.
"""

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BURSAR_BIN", ROOT / "target" / "debug" / "bursar"))

# Generous, since two cores may be busy with a build; `bursar dev` promises two seconds and has its own test.
READY_SECONDS = 30
STOP_SECONDS = 30
LOG_LINES_SHOWN = 15
LOG_LINE_CHARACTERS = 300


class NotReady(Exception):
    """The process ended, or said nothing in time; the message holds the end of its log."""


class Server:
    """One running `bursar` process."""

    def __init__(self, arguments: list[str], log: pathlib.Path):
        if not BINARY.exists():
            raise FileNotFoundError(f"no binary at {BINARY}: build it, or set BURSAR_BIN")
        self.arguments = arguments
        self.log = log
        self._lines: queue.Queue[str] = queue.Queue()
        with open(log, "ab") as stderr:
            self.process = subprocess.Popen(
                [str(BINARY), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(),
            )
        # A thread of its own: the pipe must be drained while the test does something else.
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def ready(self) -> dict:
        """Waits for the ready line and gives what it says."""
        try:
            line = self._lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            raise NotReady(f"{self} said nothing in {READY_SECONDS} s\n{self.tail()}") from None
        if not line:
            raise NotReady(f"{self} ended with {self.process.wait()}\n{self.tail()}")
        said = json.loads(line)
        assert said.get("ready") is True, f"{self} said {line!r}"
        return said

    def kill(self) -> None:
        """SIGKILL: no warning, nothing flushed by the process itself."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """SIGTERM: drains, flushes, returns its leases. Gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        status = self.process.wait(timeout=STOP_SECONDS)
        self._reader.join(timeout=STOP_SECONDS)
        return status

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(["  the end of its log:", *("  | " + line[:LOG_LINE_CHARACTERS] for line in lines[-LOG_LINES_SHOWN:])])

    def __str__(self) -> str:
        return "`bursar " + " ".join(self.arguments) + "`"

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.kill()


def _environment() -> dict[str, str]:
    # Settings of whoever runs the tests must not reach the server under test.
    return {name: value for name, value in os.environ.items() if not name.startswith(("BURSAR_", "OTEL_"))}


def dev(directory: pathlib.Path) -> Server:
    arguments = ["dev", "--json", "--data-dir", str(directory / "data"), "--socket", str(directory / "bursar.sock")]
    return Server([*arguments, "--listen", "127.0.0.1:0"], directory / "dev.log")


def ledger(directory: pathlib.Path, options: tuple[str, ...] = ()) -> Server:
    arguments = ["ledger", "--json", "--data-dir", str(directory / "ledger"), "--listen", "127.0.0.1:0"]
    return Server([*arguments, *options], directory / "ledger.log")


def shared_ledger(
    directory: pathlib.Path, database: str, name: str, listen: str = "127.0.0.1:0", options: tuple[str, ...] = ()
) -> Server:
    """A ledger over a database that others share; `listen` names the address of one that comes back."""
    arguments = ["ledger", "--json", "--database", database, "--listen", listen]
    return Server([*arguments, *options], directory / f"{name}.log")


def sidecar(directory: pathlib.Path, ledger_address: str, name: str = "sidecar", options: tuple[str, ...] = ()) -> Server:
    """A sidecar whose data and socket are named by `name`: the same name again is the same sidecar, restarted."""
    arguments = ["sidecar", "--json", "--data-dir", str(directory / name), "--socket", str(directory / f"{name}.sock")]
    arguments += ["--listen", "127.0.0.1:0", "--ledger", url(ledger_address), *options]
    return Server(arguments, directory / f"{name}.log")


def url(address: str) -> str:
    return address if address.startswith(("http://", "https://")) else f"http://{address}"


def run(*arguments: str) -> subprocess.CompletedProcess:
    """A command that ends by itself, with its output."""
    return subprocess.run(
        [str(BINARY), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        env=_environment(),
        check=False,
    )


def begin(*arguments: str) -> subprocess.Popen:
    """A command that runs beside the test, its output kept."""
    return subprocess.Popen(
        [str(BINARY), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


def succeed(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 0, f"`bursar {' '.join(arguments)}` ended with {done.returncode}:\n{done.stderr}{done.stdout}"
    return done.stdout


@contextlib.contextmanager
def log_shown_on_failure(server: Server):
    """Shows the end of the server's log where the test below it fails."""
    try:
        yield server
    except BaseException:
        print(f"{server}\n{server.tail()}")
        raise
