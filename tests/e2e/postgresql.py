"""A PostgreSQL of its own, by `tests/postgresql`, which says how; alone or with a synchronous standby."""

import pathlib
import re
import subprocess

import processes

SCRIPT = processes.ROOT / "tests" / "postgresql"


def script(*arguments: str) -> str:
    return subprocess.run([str(SCRIPT), *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


class PostgreSQL:
    """Started in a directory of its own; stopped and removed in the end."""

    def __init__(self, *arguments: str):
        self.directory, self.url = script(*(arguments or ["start"])).split()

    @property
    def authority(self) -> pathlib.Path:
        """The certificate of its authority, where it was started with `tls`."""
        return pathlib.Path(self.directory) / "ca.pem"

    @property
    def address(self) -> str:
        return re.search(r"@([^/]*)/", self.url)[1]

    def crash(self) -> None:
        """Stops it as a crash would, and starts it again."""
        script("restart", self.directory, "immediate")

    def restart(self) -> None:
        script("restart", self.directory, "fast")

    def ask(self, statement: str) -> list[list[str]]:
        """Rows as texts."""
        return [line.split("|") for line in script("ask", self.directory, statement).splitlines()]

    def __enter__(self) -> "PostgreSQL":
        return self

    def __exit__(self, *_) -> None:
        subprocess.run([str(SCRIPT), "stop", self.directory], check=False)


class Pair:
    """A server and its synchronous standby: no commit is answered before both have it."""

    def __init__(self):
        self.leader = PostgreSQL("start")
        try:
            self.standby = PostgreSQL("follow", self.leader.directory)
        except BaseException:
            self.leader.__exit__()
            raise
        # Whichever of the two takes writes.
        both = f"{self.leader.address},{self.standby.address}"
        self.url = f"{self.leader.url.replace(self.leader.address, both)}?target_session_attrs=read-write"
        self.failovers = 0

    def crash(self) -> None:
        self.leader.crash()

    def restart(self) -> None:
        self.leader.restart()

    def fail_over(self) -> None:
        """The leader's machine dies, the standby leads, and a new one comes up where the leader was."""
        # A leader that has just come back may know what its standby does not yet, and answers from it. Whoever fails over
        # makes sure of this, too.
        self.leader.ask("SELECT pg_logical_emit_message(true, 'tests', 'here')")
        dead, self.leader = self.leader, self.standby
        script("kill", dead.directory)
        script("promote", self.leader.directory)
        dead.__exit__()
        port = dead.address.rpartition(":")[2]
        self.standby = PostgreSQL("follow", self.leader.directory, port)
        self.failovers += 1

    def ask(self, statement: str) -> list[list[str]]:
        return self.leader.ask(statement)

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_) -> None:
        self.standby.__exit__()
        self.leader.__exit__()
