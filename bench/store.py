"""Pages of findings out of a million, on both stores: `python -m bench.store [--json]`.

SQLite lies in a temporary directory; PostgreSQL is a server of our own there on its own socket, with shared_buffers of
512 MB and all else as it comes, and is left out where it is not installed.
"""

import argparse
import os
import pwd
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Engine, func, select

from bench.rows import Row, percentile, show
from bench.store_filling import FAMILIES, NOW_NS, fill, make_finding
from outrider_collector.store.counting import count_store
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.filtering import FindingFilter
from outrider_collector.store.findings import save_findings
from outrider_collector.store.listing import ListQuery, list_findings
from outrider_collector.store.stored import read_changes
from outrider_collector.store.tables import findings

COUNT: Final = 1_000_000
ROUNDS: Final = 20
TARGET_MS: Final = 100.0
DAY_NS: Final = 86_400_000_000_000
SAVED: Final = 2_000
PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

Ask = Callable[[int], ListQuery]


def asked(**given: object) -> ListQuery:
    """A page of 100."""
    sort = given.pop("sort", "last_seen")
    return ListQuery(filter=FindingFilter(**given), sort=sort)  # type: ignore[arg-type]


PAGES: Final[tuple[tuple[str, Ask], ...]] = (
    ("everything", lambda _: asked()),
    ("by severity", lambda _: asked(sort="severity")),
    ("new and HIGH", lambda _: asked(states=("new",), severities=("HIGH",))),
    ("one service", lambda n: asked(family=FAMILIES[n])),
    ("a rare service, new", lambda n: asked(family=FAMILIES[100 + n], states=("new",))),
    ("service, container, severity", lambda n: asked(family=FAMILIES[n], container="part-3", severities=("MEDIUM",))),
    ("account and cluster", lambda n: asked(account=f"10000000000{n % 10}", cluster=f"cluster-{n % 5}")),
    ("one executable", lambda n: asked(executable=f"/tmp/build-{n}/python3")),
    ("one image", lambda n: asked(image=f"registry/service-{n}:1.{n}")),
    ("one task", lambda n: asked(task=f"arn:aws:ecs:eu-west-1:100000000000:task/cluster-0/{n:032x}")),
    ("type by prefix, many", lambda _: asked(type_prefix="Execution:")),
    ("type by prefix, few, HIGH", lambda _: asked(type_prefix="CryptoCurrency:", severities=("HIGH",))),
    ("an assignee's, by severity", lambda n: asked(assignee=f"person-{n % 17}", sort="severity")),
    ("a day a month ago, new, HIGH", lambda n: asked(
        since_ns=NOW_NS - (30 + n) * DAY_NS, until_ns=NOW_NS - (29 + n) * DAY_NS, states=("new",), severities=("HIGH",)
    )),
    ("a word that few have", lambda _: asked(text="xmrig")),
    ("a word that one has", lambda n: asked(text=f"job{n + 1234}")),
    ("a word that a tenth has", lambda _: asked(text="perl")),
    ("a word that all have", lambda _: asked(text="program")),
    ("a path", lambda n: asked(text=f"/tmp/build-{n}/curl")),
    ("a word that a tenth has, new, one service", lambda n: asked(text="curl", states=("new",), family=FAMILIES[n])),
    ("a word that few have, by severity", lambda _: asked(text="xmrig", sort="severity")),
)  # fmt: skip


def measure_pages(engine: Engine, name: str) -> Iterator[Row]:
    """Each kind of page, a new value each time."""
    for what, ask in PAGES:
        took_ms = [timed_ms(partial(page, engine, ask(number))) for number in range(ROUNDS)]
        yield row(f"{name}: {what}", took_ms, target=TARGET_MS)
    yield row(f"{name}: the thousandth page of everything", deep_pages(engine), target=TARGET_MS)


def page(engine: Engine, query: ListQuery) -> str:
    """Ask for a page, and give the next one's cursor."""
    with engine.connect() as connection:
        return list_findings(connection, query).next


def deep_pages(engine: Engine) -> list[float]:
    """What a page takes after a thousand others."""
    cursor, took_ms = "", []
    for number in range(200):
        query = ListQuery(limit=500, cursor=cursor) if number < 190 else ListQuery(cursor=cursor)
        began = time.perf_counter()
        cursor = page(engine, query)
        if number >= 190:
            took_ms.append((time.perf_counter() - began) * 1e3)
    return took_ms


def measure_rest(engine: Engine, name: str) -> Iterator[Row]:
    """The feed, the counts, and findings written beside a million others."""

    def changes(number: int) -> None:
        with engine.connect() as connection:
            assert len(read_changes(connection, number * 1000, limit=100)) == 100

    def counts() -> None:
        with engine.connect() as connection:
            count_store(connection)

    yield row(f"{name}: 100 changes of the feed", [timed_ms(lambda n=n: changes(n)) for n in range(ROUNDS)])
    yield row(f"{name}: counts for metrics", [timed_ms(counts) for _ in range(5)])
    for what in ("new", "repeated"):
        rates = [saved_per_s(engine, number, what) for number in range(3)]
        written = single(
            f"{name}: {what} findings written, 100 in a transaction", round(statistics.median(rates)), "1/s"
        )
        yield written | {"spread": [round(min(rates)), round(max(rates))]}


def saved_per_s(engine: Engine, number: int, what: str) -> float:
    """Findings a second; `what` is in their ids, so that each is told once."""
    chance = random.Random(number)
    found = [
        msgspec.structs.replace(make_finding(n, chance), id=f"{what}-{number}-{n}", rule=f"measured {number}")
        for n in range(SAVED)
    ]
    began = time.perf_counter()
    for begin in range(0, SAVED, 100):
        with writing(engine) as connection:
            save_findings(connection, NOW_NS, found[begin : begin + 100])
    return SAVED / (time.perf_counter() - began)


def timed_ms(what: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1e3


def row(what: str, took_ms: list[float], *, target: float | None = None) -> Row:
    """The median, and from the fastest to the 95th of a hundred."""
    spread = [round(min(took_ms), 1), round(percentile(took_ms, 0.95), 1)]
    return single(what, round(statistics.median(took_ms), 1), "ms") | {"spread": spread, "target": target}


def single(what: str, value: float, unit: str) -> Row:
    """A figure that is what it is."""
    return {"what": what, "value": value, "unit": unit, "spread": "", "target": None}


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A server of our own; gives the URL of its database."""
    user = "postgres" if not os.geteuid() else pwd.getpwuid(os.geteuid()).pw_name
    directory.mkdir()
    shutil.chown(directory, user)
    become = ["setpriv", f"--reuid={user}", "--clear-groups", f"--regid={pwd.getpwnam(user).pw_gid}"]
    become = become if not os.geteuid() else []
    make = [
        PROGRAMS[-1] / "initdb",
        "-D",
        directory / "data",
        "-A",
        "trust",
        "-U",
        "bench",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    subprocess.run([*become, *make], check=True, stdout=subprocess.DEVNULL, cwd="/")
    serve = [PROGRAMS[-1] / "postgres", "-D", directory / "data", "-k", directory, "-c", "listen_addresses="]
    options = ["-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"]
    with open(directory.with_suffix(".log"), "wb") as log:
        server = subprocess.Popen([*become, *serve, *options], stdout=log, stderr=log, cwd="/")
    ready = [PROGRAMS[-1] / "pg_isready", "-q", "-h", directory]
    try:
        while subprocess.run(ready).returncode:
            assert server.poll() is None, directory.with_suffix(".log").read_text()
            time.sleep(0.1)
        yield f"postgresql://bench@/postgres?host={directory}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def filled(name: str, url: str, count: int) -> tuple[Engine, list[Row]]:
    """A store with so many findings, and how long that took."""
    engine = open_database(url)
    began = time.perf_counter()
    fill(engine, count)
    took_s = round(time.perf_counter() - began)
    with engine.connect() as connection:
        there = connection.execute(select(func.count()).select_from(findings)).scalar_one()
    return engine, [single(f"{name}: filled in", took_s, "s"), single(f"{name}: findings", there, "")]


def measure(count: int) -> Iterator[Row]:
    """Both stores: filled side by side, as nothing is measured then, and measured one after the other."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        place = Path(scratch)
        place.chmod(0o755)
        urls = {"SQLite": f"sqlite:///{place / 'store.sqlite'}"}
        if PROGRAMS:
            urls["PostgreSQL"] = servers.enter_context(postgres(place / "postgres"))
        with ThreadPoolExecutor() as pool:
            filling = [(name, pool.submit(filled, name, url, count)) for name, url in urls.items()]
        for name, each in filling:
            engine, rows = each.result()
            yield from rows
            yield from measure_pages(engine, name)
            yield from measure_rest(engine, name)
            engine.dispose()
        yield single("SQLite: on disk", round((place / "store.sqlite").stat().st_size / 2**30, 2), "GiB")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--findings", type=int, default=COUNT)
    given = parser.parse_args()
    show(list(measure(given.findings)), as_json=given.json)


if __name__ == "__main__":
    main()
