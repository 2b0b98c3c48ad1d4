from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from jupyterhub import orm

from jhk8s_ext.clients.id_database import IdDatabase
from jhk8s_ext.clients.id_import import import_rows
from jhk8s_ext.clients.id_rows import IDS
from jhk8s_ext.clients.id_store import IdStore
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.ids import IdKind, IdRange, IdRow, hashed_id
from tests.support.id_allocator import RANGES, wanted
from tests.support.slapd import free_port

PROJECT = Path(__file__).parents[2]
USER, GROUP = IdKind.USER, IdKind.GROUP


class Table:
    """A table of ids, and what the tests ask of it."""

    def __init__(self, url, timeout_seconds=20):
        self.url = url
        self.database = IdDatabase(url, setting="--url", timeout_seconds=timeout_seconds)
        self.store = IdStore(self.database)

    def assign(self, *wants, **options):
        return self.store.assign(wants, options.pop("ranges", RANGES), **options)

    def number(self, kind, subject, name="", number=None):
        return self.assign(wanted(kind, subject, name, number)).numbers[kind, subject]

    def add(self, *rows, **options):
        return import_rows(self.database, rows, RANGES, **options)

    def count_statements(self, work):
        statements = []

        def note(_connection, _cursor, statement, *_rest):
            statements.append(statement)

        sa.event.listen(self.database._engine, "before_cursor_execute", note)
        work()
        sa.event.remove(self.database._engine, "before_cursor_execute", note)
        return len(statements)


@pytest.fixture
def table(database_url):
    table = Table(database_url)
    yield table
    table.database.close()


@pytest.fixture
def file_table(tmp_path):
    table = Table(f"sqlite:///{tmp_path / 'ids.sqlite'}")
    yield table
    table.database.close()


def row(kind, number, name, subject=""):
    return IdRow(
        kind=kind,
        number=number,
        name=name,
        source="test" if subject else "",
        subject=subject,
        allocated_at="2026-01-31T09:30:00Z",
    )


def short(kind, low, high):
    return {**RANGES, kind: IdRange(low=low, high=high, setting=f"X.{kind.word}_range")}


def test_numbers_are_given_in_turn_and_kept(table):
    assert table.number(USER, "a") == 100000
    assert table.number(USER, "b") == 100001
    assert table.number(GROUP, "a") == 1000000
    assert table.number(USER, "a") == 100000
    # Another process.
    other = Table(table.url)
    assert other.number(USER, "b") == 100001
    assert other.number(USER, "c") == 100002
    other.database.close()


def test_subjects_that_look_alike_are_not_the_same(table):
    subjects = ["ada", "Ada", "adá", "ada ", " ada", "ada\n", "ädä", "😀", "x" * 4096, "x" * 4095]
    granted = table.assign(*(wanted(USER, subject) for subject in subjects))
    assert len(set(granted.numbers.values())) == len(subjects)
    assert [stored.subject for stored in table.store.rows()] == subjects


def test_one_subject_of_two_sources_is_two_accounts(table):
    first = wanted(USER, "1")
    second = replace(first, source="other")
    assert table.assign(first).numbers != table.assign(second).numbers


def test_a_name_follows_the_source(table):
    number = table.number(USER, "1", "ada")
    assert table.number(USER, "1", "lovelace") == number
    [stored] = table.store.rows()
    assert (stored.name, stored.number) == ("lovelace", number)


def test_a_number_is_never_used_again_whatever_is_deleted(table):
    assert table.number(USER, "a") == 100000
    table.number(USER, "b")
    engine = sa.create_engine(table.url)
    with engine.begin() as connection:
        connection.execute(sa.delete(IDS))
    engine.dispose()
    assert table.number(USER, "c") == 100002
    assert table.number(USER, "a") == 100003


def test_a_range_that_is_used_up_is_one_sentence_and_gives_nothing(table):
    ranges = short(GROUP, 2000000, 2000002)
    table.assign(wanted(GROUP, "a"), wanted(GROUP, "b"), ranges=ranges)
    with pytest.raises(
        ConfigError, match=r"^X\.gid_range: 2000000 to 2000002 is used up"
    ) as caught:
        table.assign(wanted(USER, "u"), wanted(GROUP, "c"), wanted(GROUP, "d"), ranges=ranges)
    assert caught.value.setting == "X.gid_range"
    # All or nothing: neither the user nor the group for which there was room.
    assert [stored.subject for stored in table.store.rows()] == ["a", "b"]
    assert table.assign(wanted(GROUP, "c"), ranges=ranges).numbers[GROUP, "c"] == 2000002
    # Who has one keeps it.
    assert table.assign(wanted(GROUP, "a"), ranges=ranges).numbers[GROUP, "a"] == 2000000
    wider = short(GROUP, 2000000, 2000003)
    assert table.assign(wanted(GROUP, "d"), ranges=wider).numbers[GROUP, "d"] == 2000003


def test_a_range_that_begins_again_below_gives_nothing_twice(table):
    table.assign(wanted(USER, "a"), ranges=short(USER, 500000, 500009))
    with pytest.raises(ConfigError, match="used up"):
        table.assign(wanted(USER, "b"), ranges=short(USER, 400000, 400009))
    later = table.assign(wanted(USER, "b"), ranges=short(USER, 600000, 600009))
    assert later.numbers[USER, "b"] == 600000


def test_looking_is_not_taking(table):
    granted = table.assign(wanted(USER, "a"), wanted(GROUP, "g"), commit=False)
    assert granted.numbers == {(USER, "a"): 100000, (GROUP, "g"): 1000000}
    assert [(new.kind, new.number) for new in granted.new] == [(USER, 100000), (GROUP, 1000000)]
    assert table.store.rows() == []
    assert table.number(USER, "b") == 100000


def test_a_number_that_a_name_leads_to_is_given_to_the_first_and_refused_to_others(table):
    number = hashed_id(USER, "ada")
    assert table.number(USER, "1", "ada", number) == number
    assert table.number(USER, "1", "ada", number) == number
    granted = table.assign(wanted(USER, "2", "eve", number))
    assert granted.numbers == {}
    assert granted.problems == {
        (USER, "2"): f"uid {number}, to which the name 'eve' leads, is held by '1' of test and "
        "cannot be that of '2' of test too"
    }
    assert [stored.subject for stored in table.store.rows()] == ["1"]


def test_of_two_groups_with_one_name_in_one_login_one_has_its_number(table):
    number = hashed_id(GROUP, "staff")
    granted = table.assign(wanted(GROUP, "a", "staff", number), wanted(GROUP, "b", "staff", number))
    assert granted.numbers == {(GROUP, "a"): number}
    assert "held by 'a' of test" in granted.problems[GROUP, "b"]


def test_who_holds_a_number_keeps_it_when_the_strategy_changes(table):
    assert table.number(USER, "1", "ada") == 100000
    assert table.number(USER, "1", "ada", hashed_id(USER, "ada")) == 100000
    hashed = table.number(USER, "2", "eve", hashed_id(USER, "eve"))
    assert table.number(USER, "2", "eve") == hashed


def test_a_number_that_is_held_is_passed_over(table):
    table.number(USER, "1", "ada", 100001)
    numbers = [table.number(USER, subject) for subject in "abc"]
    assert numbers == [100000, 100002, 100003]
    # More of them than are looked at in one go.
    table.add(*(row(GROUP, 1000000 + n, f"g{n}", f"s{n}") for n in range(2500)))
    assert table.number(GROUP, "x") == 1002500


def test_an_imported_row_without_a_subject_is_for_the_first_account_of_its_name(table):
    table.add(row(USER, 5000, "ada"), row(GROUP, 6000, "staff"))
    # Of that kind only.
    assert table.number(USER, "s", "staff") == 100000
    assert table.number(USER, "1", "ada") == 5000
    assert table.number(USER, "2", "ada") == 100001
    assert table.number(USER, "1", "ada") == 5000
    granted = table.assign(wanted(GROUP, "a", "staff"), wanted(GROUP, "b", "staff"))
    assert granted.numbers == {(GROUP, "a"): 6000, (GROUP, "b"): 1000000}
    stored = next(stored for stored in table.store.rows() if stored.number == 5000)
    assert (stored.source, stored.subject) == ("test", "1")
    assert stored.allocated_at == "2026-01-31T09:30:00Z"


def test_ten_thousand_groups_are_few_statements_and_one_transaction(table):
    groups = [wanted(GROUP, f"cn=group{number},dc=example,dc=edu") for number in range(10000)]
    table.number(USER, "first")  # makes the tables
    renamed = [replace(want, name=f"{want.name} ") for want in groups]
    start = time.monotonic()
    for wants in (groups, groups, renamed):
        assert table.count_statements(lambda wants=wants: table.assign(*wants)) < 120
    assert time.monotonic() - start < 60
    stored = [stored for stored in table.store.rows() if stored.kind is GROUP]
    assert [stored.number for stored in stored] == list(range(1000000, 1010000))
    assert all(stored.name.endswith(" ") for stored in stored)


def run_allocators(url, processes, count, groups=0):
    """Return the lines of several processes that allocate at once."""
    command = [sys.executable, "-m", "tests.support.id_allocator", url]
    running = [
        subprocess.Popen(
            [*command, str(first), str(count), str(groups)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in processes
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return [list(map(int, line.split())) for output in outputs for line in output.splitlines()]


def test_processes_that_begin_together_on_an_empty_database_share_no_number(database_url):
    lines = run_allocators(database_url, processes=range(0, 240, 60), count=60, groups=3)
    uids = sorted(line[0] for line in lines)
    gids = sorted(gid for line in lines for gid in line[1:])
    # Neither a number twice nor a gap.
    assert uids == list(range(100000, 100240))
    assert gids == list(range(1000000, 1000720))


def test_processes_that_ask_for_the_same_accounts_get_the_same_numbers(database_url):
    lines = run_allocators(database_url, processes=[0, 0, 0, 0], count=40, groups=2)
    assert len(lines) == 160
    assert len(set(map(tuple, lines))) == 40
    assert {number for line in lines for number in line} == {
        *range(100000, 100040),
        *range(1000000, 1000080),
    }


def test_threads_of_one_process_share_no_number(table):
    numbers = []
    threads = [
        threading.Thread(
            target=lambda first=first: numbers.extend(
                table.number(USER, f"u{first}-{count}") for count in range(20)
            )
        )
        for first in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(numbers) == list(range(100000, 100080))


def test_it_lives_beside_a_hub_in_one_database(table):
    # Before the hub's first start, and after.
    table.number(USER, "before")
    sessions = orm.new_session_factory(table.url)
    with sessions() as session:
        session.add(orm.User(name="ada"))
        session.commit()
        session.query(orm.User).all()  # a hub's transaction that is still open
        assert table.number(USER, "after") == 100001
        session.add(orm.User(name="eve"))
        session.commit()
    # A restarted hub finds its own tables in the revision that it wants.
    again = orm.new_session_factory(table.url)
    for factory in (sessions, again):
        factory.kw["bind"].dispose()


def test_a_hub_that_writes_is_waited_for(file_table, tmp_path):
    file_table.number(USER, "a")
    hub = sqlite3.connect(tmp_path / "ids.sqlite", isolation_level=None, check_same_thread=False)
    hub.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.5, lambda: hub.execute("COMMIT"))
    timer.start()
    assert file_table.number(USER, "b") == 100001
    timer.join()
    hub.close()


def test_a_database_that_stays_locked_is_down_within_the_time(file_table, tmp_path):
    file_table.number(USER, "a")
    impatient = Table(file_table.url, timeout_seconds=1)
    hub = sqlite3.connect(tmp_path / "ids.sqlite", isolation_level=None)
    hub.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    with pytest.raises(UpstreamError, match="database is locked"):
        impatient.number(USER, "b")
    assert time.monotonic() - start < 10
    hub.close()
    assert impatient.number(USER, "b") == 100001
    impatient.database.close()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_lock_that_another_holds_for_too_long_is_a_database_that_is_down(request, kind):
    url = request.getfixturevalue(kind).make_database()
    table = Table(url, timeout_seconds=2)
    table.number(USER, "a")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jhk8s_id_counters SET next_id = next_id")
        # Those who have a number need no lock.
        assert table.number(USER, "a") == 100000
        start = time.monotonic()
        with pytest.raises(UpstreamError, match="the database of ids"):
            table.number(USER, "b")
        assert time.monotonic() - start < 20
    assert table.number(USER, "b") == 100001
    engine.dispose()
    table.database.close()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_server_that_restarts_is_used_again(request, kind):
    server = request.getfixturevalue(kind)
    table = Table(server.make_database(), timeout_seconds=5)
    assert table.number(USER, "a") == 100000
    server.stop()
    with pytest.raises(UpstreamError) as caught:
        table.number(USER, "b")
    assert "hub-secret" not in str(caught.value)
    server.start()
    deadline = time.monotonic() + 60
    while True:
        try:
            assert table.number(USER, "b") == 100001
            break
        except UpstreamError:
            assert time.monotonic() < deadline
    table.database.close()


@pytest.mark.parametrize("driver", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_server_that_is_silent_or_not_there_is_down_and_no_secret_is_told(driver):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], free_port()):
            table = Table(f"{driver}://hub:hub-secret@127.0.0.1:{port}/ids", timeout_seconds=1)
            start = time.monotonic()
            with pytest.raises(UpstreamError, match=f"127.0.0.1:{port}/ids") as caught:
                table.number(USER, "a")
            assert "hub-secret" not in str(caught.value)
            assert time.monotonic() - start < 30
            table.database.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite://", "is in memory"),
        ("sqlite:///:memory:", "is in memory"),
        ("sqlite:///file:ids?mode=memory&uri=true", "is in memory"),
        ("no url with hub-secret", "is not a database URL"),
        ("nosuch://hub:hub-secret@host/x", "there is no driver for nosuch"),
        ("sqlite+aiosqlite:///x.sqlite", "there is no driver|is asynchronous"),
        ("mysql+pymysql://hub:hub-secret@host:port/x", "is not a database URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        Table(url)
    assert str(caught.value).startswith("--url: ")
    assert "hub-secret" not in str(caught.value)


def test_a_table_that_is_no_table_of_ids_is_told(file_table, tmp_path):
    (tmp_path / "ids.sqlite").write_text("no database" * 1000)
    with pytest.raises(UpstreamError, match="file is not a database"):
        file_table.number(USER, "a")


def test_nothing_is_made_by_a_list(file_table, tmp_path):
    assert file_table.store.rows() == []
    with sqlite3.connect(tmp_path / "ids.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


def test_an_import_is_added_and_its_numbers_are_not_given_out(table):
    outcome = table.add(row(USER, 100007, "ada", "1"), row(USER, 5000, "eve"), row(GROUP, 7, "g"))
    assert (outcome.added, outcome.unchanged, outcome.problems) == (3, 0, {})
    # Beyond what was imported within the range; what is outside of it moves nothing.
    assert table.number(USER, "2") == 100008
    assert table.number(GROUP, "2") == 1000000
    assert table.number(USER, "1") == 100007


def test_an_import_never_moves_a_counter_back(table):
    for subject in "abc":
        table.number(USER, subject)
    table.add(row(USER, 100001 + 50000, "x", "x"))
    assert table.number(USER, "d") == 150002
    table.add(row(USER, 120000, "y", "y"))
    assert table.number(USER, "e") == 150003


def test_what_is_there_already_is_imported_again_in_silence(table):
    rows = [row(USER, 5000, "ada"), row(GROUP, 6000, "staff", "cn=staff")]
    table.add(*rows)
    table.number(USER, "1", "ada")
    before = table.store.rows()
    outcome = table.add(*rows)
    assert (outcome.added, outcome.unchanged, outcome.problems) == (0, 2, {})
    assert table.store.rows() == before
    outcome = table.add(*before)
    assert (outcome.added, outcome.unchanged, outcome.problems) == (0, 2, {})


def test_an_import_that_contradicts_the_table_adds_nothing(table):
    table.add(row(USER, 5000, "ada", "1"), row(GROUP, 6000, "staff"))
    outcome = table.add(
        row(USER, 5001, "new", "new"),
        row(USER, 5000, "eve", "2"),
        row(USER, 5002, "ada", "1"),
        row(USER, 6000, "staff", "3"),
        row(USER, 5003, "ada"),
        row(GROUP, 6001, "staff"),
    )
    assert outcome.problems == {
        1: "uid 5000 is held by '1' of test",
        2: "'1' of test has uid 5000 already",
        3: "6000 is the gid of the imported 'staff'",
        4: "'1' of test has that name, and uid 5000",
        5: "the imported 'staff' has gid 6000 already",
    }
    assert [stored.number for stored in table.store.rows()] == [5000, 6000]
    assert table.number(USER, "2") == 100000


def test_a_dry_run_of_an_import_adds_nothing(table):
    outcome = table.add(row(USER, 100007, "ada", "1"), commit=False)
    assert outcome.added == 1
    assert table.store.rows() == []
    assert table.number(USER, "2") == 100000


def test_a_number_of_a_user_is_never_that_of_a_group_whatever_the_ranges_become(file_table):
    def ranges(users, groups):
        spans = {USER: users, GROUP: groups}
        return {
            kind: IdRange(low=low, high=high, setting="") for kind, (low, high) in spans.items()
        }

    before, after = ranges((100, 199), (200, 299)), ranges((200, 299), (100, 199))
    granted = file_table.assign(wanted(USER, "cn=ada", "ada"), ranges=before)
    assert granted.numbers[USER, "cn=ada"] == 100
    # The group of this number is Ada's own.
    granted = file_table.assign(wanted(GROUP, "cn=cs101", "cs101"), ranges=after)
    assert granted.numbers[GROUP, "cn=cs101"] == 101
    granted = file_table.assign(wanted(GROUP, "cn=cs102", "cs102", 100), ranges=after)
    assert "is held by 'cn=ada' of test" in granted.problems[GROUP, "cn=cs102"]


def test_a_url_that_is_split_within_its_password_is_refused_without_a_word_of_it():
    with pytest.raises(ConfigError) as caught:
        IdDatabase("postgresql+psycopg://hub:pa@ss@db/ids", setting="--url", timeout_seconds=1)
    assert "pa" not in str(caught.value).replace("password", "").replace("part", "")
    assert "ss@db" not in str(caught.value)
