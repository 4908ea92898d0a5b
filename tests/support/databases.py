"""Databases for tests: a PostgreSQL server of our own, and an empty database of either kind for each test."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from outrider_collector.store.database import open_database

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
SUPERUSER = "outrider"
START_S = 60.0


class Postgres:
    """A running server that only a socket in its own directory leads to."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self._directory, self._programs = directory, programs
        self._made = 0

    def create(self, *, like: str = "template1") -> str:
        """The URL of a new database: an empty one, or a copy of another that nobody has open."""
        self._made += 1
        name = f"test{self._made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://{SUPERUSER}@/{name}?host={self._directory}"

    def run(self, statement: str) -> None:
        """Run SQL as the server's superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def answers(self) -> bool:
        """Whether it takes connections yet."""
        command = [self._programs / "pg_isready", "-q", "-h", self._directory, "-U", SUPERUSER, "-d", "postgres"]
        return not subprocess.run(command).returncode


HASTY = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
"""Its files are thrown away, and no test takes the machine's power."""


@contextlib.contextmanager
def running_postgres(
    *, options: tuple[str, ...] = tuple(word for each in HASTY for word in ("-c", each))
) -> Iterator[Postgres]:
    """Make a cluster in a directory of its own, start it, and remove both; the test's own death stops it, too."""
    programs, user = PROGRAMS[-1], _user()
    directory = Path(tempfile.mkdtemp(prefix="outrider-pg-"))
    try:
        shutil.chown(directory, user)
        make = [programs / "initdb", "-D", directory / "data", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*make, "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL, **_as(user))
        serve = [
            "setpriv",
            "--pdeathsig",
            "QUIT",
            programs / "postgres",
            "-D",
            directory / "data",
            "-k",
            directory,
            "-c",
            "listen_addresses=",
        ]
        with open(directory / "log", "wb") as log:
            server = subprocess.Popen([*serve, *options], stderr=log, stdout=log, **_as(user))
        postgres = Postgres(directory, programs)
        try:
            _wait_for(postgres, server)
            yield postgres
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: what it would write first is removed below
            server.wait(30.0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(postgres: Postgres, server: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + START_S
    while not postgres.answers():
        assert server.poll() is None and time.monotonic() < deadline_s, "PostgreSQL does not start"
        time.sleep(0.05)


def _user() -> str:
    """Who runs the server: it refuses root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _as(user: str) -> dict[str, object]:
    account = pwd.getpwnam(user)
    given: dict[str, object] = {"cwd": "/"}
    if not os.geteuid():
        given |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return given


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a run."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed")
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: a test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("migrated") / "store.sqlite"
    open_database(path).dispose()
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres: Postgres) -> str:
    """The name of such a database on the server."""
    url = postgres.create()
    open_database(url).dispose()
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store whose tables are there already: a copy, which costs less than to make them."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "store.sqlite")
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(like=request.getfixturevalue("migrated_database"))
