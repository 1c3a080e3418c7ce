"""A PostgreSQL of its own, by `tests/postgresql`, which says how."""

import subprocess

import processes

SCRIPT = processes.ROOT / "tests" / "postgresql"


class PostgreSQL:
    """Started in a directory of its own; stopped and removed in the end."""

    def __init__(self):
        started = subprocess.run([str(SCRIPT), "start"], stdout=subprocess.PIPE, text=True, check=True)
        self.directory, self.url = started.stdout.split()

    def crash(self) -> None:
        """Stops it as a crash would, and starts it again."""
        subprocess.run([str(SCRIPT), "restart", self.directory, "immediate"], check=True)

    def restart(self) -> None:
        subprocess.run([str(SCRIPT), "restart", self.directory, "fast"], check=True)

    def __enter__(self) -> "PostgreSQL":
        return self

    def __exit__(self, *_) -> None:
        subprocess.run([str(SCRIPT), "stop", self.directory], check=False)
