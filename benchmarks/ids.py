"""How fast ids are allocated by processes at once, beside the obvious way to do it.

Run as ``python -m benchmarks.ids``. Eight processes allocate 100,000 ids, ten for each account: a
uid and nine gids. Half-way every tenth row is deleted, and the highest: no number may come back.
The peer is what comes to mind first, SELECT max(id) + 1 and INSERT, tried again on a conflict; it
is measured beside ours with one id for each account.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from jhk8s_ext.clients.id_rows import IDS
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL

PROJECT = Path(__file__).parents[1]
PROCESSES = 8
ACCOUNTS = 10000
GROUPS = 9
SINGLE_IDS = 4000


def main():
    if sys.argv[1:2] == ["naive"]:
        allocate_naively(sys.argv[2], *map(int, sys.argv[3:5]))
        return
    root = Path(tempfile.mkdtemp(prefix="jhk8s-bench-"))
    mariadb = postgresql = None
    try:
        (root / "mariadb").mkdir()
        mariadb = MariaDB(root / "mariadb")
        postgresql = PostgreSQL()
        measure("SQLite", lambda: f"sqlite:///{root / f'{time.monotonic_ns()}.sqlite'}")
        measure("MariaDB", mariadb.make_database)
        measure("PostgreSQL", postgresql.make_database)
    finally:
        if mariadb is not None:
            mariadb.stop()
        if postgresql is not None:
            postgresql.remove()
        shutil.rmtree(root)


def measure(name, make_database):
    numbers, seconds = allocate_all(make_database())
    rate = len(numbers) / seconds
    single_rate, _ = single_ids(make_database(), "tests.support.id_allocator")
    naive_rate, retries = single_ids(make_database(), "benchmarks.ids", "naive")
    print(f"{name}, {PROCESSES} processes, {len(numbers)} ids: no duplicate, no gap used again")
    print(f"  {rate:8.0f} ids/s  {1 + GROUPS} for each account")
    print(f"  {single_rate:8.0f} ids/s  1 for each account")
    print(f"  {naive_rate:8.0f} ids/s  max(id) + 1, 1 for each account, {retries} conflicts")
    print(
        f"  ours to theirs: {rate / naive_rate:.1f} for whole accounts, "
        f"{single_rate / naive_rate:.1f} for single ids",
        flush=True,
    )


def allocate_all(url):
    """Return the numbers of both halves, and how long they took."""
    half = ACCOUNTS // 2
    first, first_seconds = run("tests.support.id_allocator", [url], 0, half, GROUPS)
    deleted = delete_some(url, first)
    second, second_seconds = run("tests.support.id_allocator", [url], half, half, GROUPS)
    numbers = first + second
    assert len(numbers) == ACCOUNTS * (1 + GROUPS)
    assert len(set(numbers)) == len(numbers), "a number was given twice"
    assert deleted
    assert not deleted & set(second), "the number of a deleted row was given again"
    return numbers, first_seconds + second_seconds


def delete_some(url, numbers):
    numbers = sorted(numbers)
    deleted = {*numbers[::10], *numbers[-10:]}
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for start in range(0, len(numbers), 500):
            chunk = [number for number in numbers[start : start + 500] if number in deleted]
            connection.execute(sa.delete(IDS).where(IDS.c.id.in_(chunk)))
    engine.dispose()
    return deleted


def single_ids(url, module, *words):
    """Return ids per second, and how many conflicts there were."""
    numbers, seconds = run(module, [*words, url], 0, SINGLE_IDS, 0)
    assert len(set(numbers)) == SINGLE_IDS
    return SINGLE_IDS / seconds, conflicts(url)


def conflicts(url):
    engine = sa.create_engine(url)
    try:
        if not sa.inspect(engine).has_table("conflicts"):
            return 0
        with engine.connect() as connection:
            return connection.execute(sa.text("SELECT SUM(number) FROM conflicts")).scalar_one()
    finally:
        engine.dispose()


def run(module, words, first, count, groups):
    """Return what processes print that begin together, and the seconds until the last one ends."""
    share = count // PROCESSES
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, *words, str(start), str(share), str(groups)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for start in range(first, first + count, share)
    ]
    for process in running:
        process.stdout.readline()
    start = time.monotonic()
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - start
    assert all(process.returncode == 0 for process in running)
    return [int(word) for output in outputs for word in output.split()], seconds


def allocate_naively(url, first, count):
    """Allocate in the way that comes to mind first."""
    metadata = sa.MetaData()
    ids = sa.Table(
        "naive_ids",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), unique=True),
    )
    table = sa.Table("conflicts", metadata, sa.Column("number", sa.Integer))
    engine = sa.create_engine(url)
    if first == 0:
        metadata.create_all(engine)
    while not sa.inspect(engine).has_table("conflicts"):
        time.sleep(0.05)
    print("ready", flush=True)
    sys.stdin.readline()
    retries = 0
    for account in range(first, first + count):
        while True:
            try:
                with engine.begin() as connection:
                    highest = connection.execute(sa.select(sa.func.max(ids.c.id))).scalar()
                    number = (highest or 99999) + 1
                    connection.execute(sa.insert(ids).values(id=number, name=f"user{account}"))
                break
            except (sa.exc.IntegrityError, sa.exc.OperationalError):
                retries += 1
        print(number)
    while True:
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(table).values(number=retries))
            break
        except sa.exc.OperationalError:
            pass


if __name__ == "__main__":
    main()
