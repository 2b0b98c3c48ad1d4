from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time

import pytest
from jupyterhub.app import JupyterHub
from tornado.web import HTTPError
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.clients.id_database import IdDatabase
from jhk8s_ext.clients.id_import import import_rows
from jhk8s_ext.errors import ConfigError, IdentityError, UpstreamError
from jhk8s_ext.hub.profiles import ProfileAuthenticator
from jhk8s_ext.identity.account import SourceAccount, SourceGroup
from jhk8s_ext.identity.ids import IdKind, IdRow, hashed_id
from tests.support.hub import Handler, StoredUser
from tests.support.profiles import make_profile
from tests.support.slapd import free_port


class Numberless(ProfileAuthenticator):
    """Accounts without numbers: the name is the subject, and the words after it are groups."""

    subject = ""

    async def authenticate(self, handler, data):
        return {"name": data["username"], "auth_state": {}}

    def read_account(self, auth_model):
        name, *groups = auth_model["name"].split("+")
        auth_model["name"] = name
        return SourceAccount(
            source="test",
            subject=self.subject or f"cn={name}",
            uid=None,
            gid=None,
            groups=tuple(SourceGroup(name=group, subject=f"cn={group}") for group in groups),
        )


@pytest.fixture
def make(tmp_path, request):
    def make_authenticator(**options):
        config = Config()
        config.JupyterHub.db_url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
        config.Numberless.update({"enable_auth_state": True, "allow_all": True} | options)
        authenticator = Numberless(parent=JupyterHub(config=config, log=logging.getLogger("hub")))
        request.addfinalizer(lambda: close(authenticator))
        return authenticator

    return make_authenticator


def close(authenticator):
    if authenticator._id_store is not None:
        authenticator._id_store._database.close()
    if authenticator._id_workers is not None:
        authenticator._id_workers.shutdown()


async def log_in(authenticator, name):
    model = await authenticator.get_authenticated_user(None, {"username": name})
    return model["auth_state"]["profile"]


async def test_an_account_without_numbers_is_refused_by_default_and_the_log_says_what_helps(
    make, caplog, tmp_path
):
    with pytest.raises(HTTPError):
        await log_in(make(), "ada")
    assert "has no uid; a uid_strategy other than 'claim' gives it one" in caplog.text
    assert not (tmp_path / "hub.sqlite").exists()


async def test_numbers_come_from_the_hubs_own_database(make, tmp_path):
    profile = await log_in(make(uid_strategy="database", gid_strategy="database"), "ada+cs101")
    assert (profile["uid"], profile["gid"]) == (100000, 100000)
    assert profile["groups"] == [{"name": "ada", "gid": 100000}, {"name": "cs101", "gid": 1000000}]
    with sqlite3.connect(tmp_path / "hub.sqlite") as connection:
        rows = connection.execute("SELECT kind, id, subject FROM jhk8s_ids ORDER BY id").fetchall()
    connection.close()
    assert rows == [("user", 100000, "cn=ada"), ("group", 1000000, "cn=cs101")]


async def test_numbers_come_from_another_database_where_one_is_named(make, tmp_path):
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    options = {"uid_strategy": "database", "uid_range": [5000, 5001], "id_database_url": url}
    assert (await log_in(make(**options), "ada"))["uid"] == 5000
    assert (await log_in(make(**options), "eve"))["uid"] == 5001
    assert not (tmp_path / "hub.sqlite").exists()
    with pytest.raises(HTTPError) as caught:
        await log_in(make(**options), "bob")
    assert caught.value.status_code == 500
    assert (await log_in(make(**options), "ada"))["uid"] == 5000


async def test_hashed_uids_are_those_of_the_name(make):
    profile = await log_in(make(uid_strategy="hash", gid_strategy="hash"), "ada+staff")
    assert profile["uid"] == hashed_id(IdKind.USER, "ada") == 649944873
    assert profile["groups"][1]["gid"] == hashed_id(IdKind.GROUP, "staff")


async def test_a_hash_that_another_account_holds_is_refused_naming_both(make, monkeypatch, caplog):
    # No two short names with one digest are known: let all of them have one.
    monkeypatch.setattr("jhk8s_ext.identity.numbering.hashed_id", lambda kind, name: 123456)
    authenticator = make(uid_strategy="hash")
    assert (await log_in(authenticator, "ada"))["uid"] == 123456
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator, "eve")
    assert caught.value.status_code == 403
    assert "held by 'cn=ada' of test and cannot be that of 'cn=eve' of test too" in caplog.text
    # Another hub process.
    assert (await log_in(make(uid_strategy="hash"), "ada"))["uid"] == 123456


async def test_a_name_that_cannot_be_takes_no_number(make):
    authenticator = make(uid_strategy="database")
    with pytest.raises(HTTPError):
        await log_in(authenticator, "root")
    assert (await log_in(authenticator, "ada"))["uid"] == 100000


async def test_many_logins_at_once_get_numbers_of_their_own_and_never_stall_the_loop(make):
    authenticator = make(uid_strategy="database", gid_strategy="database")
    stalls = []

    async def watch():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - before - 0.01)

    watcher = asyncio.create_task(watch())
    names = [f"user{number}+lab{number % 7}" for number in range(100)]
    profiles = await asyncio.gather(*(log_in(authenticator, name) for name in names))
    watcher.cancel()
    assert sorted(profile["uid"] for profile in profiles) == list(range(100000, 100100))
    assert len({group["gid"] for profile in profiles for group in profile["groups"][1:]}) == 7
    assert max(stalls) < 0.5


async def test_a_database_that_is_locked_for_long_is_503_in_time_and_never_stalls_the_loop(
    make, tmp_path, caplog
):
    authenticator = make(uid_strategy="database", id_timeout=1)
    await log_in(authenticator, "ada")
    hub = sqlite3.connect(tmp_path / "hub.sqlite", isolation_level=None, check_same_thread=False)
    hub.execute("BEGIN EXCLUSIVE")
    # Beyond the time of the login: it is answered all the same.
    timer = threading.Timer(3, lambda: hub.execute("COMMIT"))
    timer.start()
    ticks = 0

    async def watch():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.05)
            ticks += 1

    watcher = asyncio.create_task(watch())
    start = time.monotonic()
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator, "eve")
    watcher.cancel()
    assert caught.value.status_code == 503
    assert time.monotonic() - start < 2.9
    assert ticks >= 10
    assert "the database of ids" in caplog.text
    timer.join()
    hub.close()
    assert (await log_in(authenticator, "eve"))["uid"] == 100001


@pytest.mark.parametrize("driver", ["mysql+pymysql", "postgresql+psycopg"])
async def test_a_database_that_is_down_is_503_and_its_password_is_not_logged(make, caplog, driver):
    url = f"{driver}://hub:hub-secret@127.0.0.1:{free_port()}/ids"
    authenticator = make(uid_strategy="database", id_database_url=url, id_timeout=5)
    authenticator.check_settings()  # no reason not to start
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator, "ada")
    assert caught.value.status_code == 503
    assert "the database of ids" in caplog.text
    assert "hub-secret" not in caplog.text


async def test_the_errors_are_ours(make):
    account = SourceAccount(source="test", subject="\0", uid=None, gid=None, groups=())
    with pytest.raises(IdentityError):
        await make(uid_strategy="hash").assign_ids("ada", account)
    account = SourceAccount(source="test", subject="a", uid=None, gid=None, groups=())
    down = make(uid_strategy="hash", id_database_url=f"mysql+pymysql://127.0.0.1:{free_port()}/x")
    with pytest.raises(UpstreamError):
        await down.assign_ids("ada", account)
    with pytest.raises(ConfigError, match=r"^Numberless\.id_database_url: "):
        await make(uid_strategy="hash", id_database_url="nonsense").assign_ids("ada", account)


def test_defaults_need_no_database(make):
    authenticator = Numberless()
    authenticator.enable_auth_state = True
    authenticator.check_settings()
    make().check_settings()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {
                "uid_strategy": "database",
                "gid_strategy": "database",
                "gid_range": [999999, 2000000],
            },
            (
                "Numberless.uid_range gives 100000 to 999999 and Numberless.gid_range gives 999999 "
                "to 2000000: they may not overlap"
            ),
        ),
        (
            {"uid_strategy": "hash", "gid_strategy": "database"},
            (
                "Numberless.uid_strategy gives 2000 to 1073743823 and Numberless.gid_range gives "
                "1000000 to 1999999: they may not overlap"
            ),
        ),
        (
            {"uid_strategy": "database", "uid_range": [500, 9999]},
            "Numberless.uid_range: 500 to 9999 begins below Numberless.uid_floor, 1000",
        ),
        (
            {"gid_strategy": "database", "gid_floor": 2000000},
            "Numberless.gid_range: 1000000 to 1999999 begins below Numberless.gid_floor, 2000000",
        ),
        ({"uid_strategy": "hash", "id_database_url": "sqlite://"}, "is in memory"),
        ({"uid_strategy": "hash", "id_database_url": "no url"}, "is not a database URL"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(make, options, problem):
    authenticator = make(**options)
    with pytest.raises(TraitError) as caught:
        authenticator.check_settings()
    assert problem in str(caught.value)


def test_ranges_that_touch_are_fine(make):
    make(
        uid_strategy="hash", gid_strategy="database", gid_range=[1073743824, 1073743825]
    ).check_settings()
    # A range of a kind that is claimed is not in use.
    make(uid_strategy="database", gid_range=[100000, 200000]).check_settings()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"uid_range": [9999, 5000]}, "is no first and last number within 1 to 2147483647"),
        ({"uid_range": [0, 5000]}, "is no first and last number"),
        ({"gid_range": [5000, 2**31]}, "is no first and last number"),
        ({"gid_range": [60000, 70000]}, "holds 65534, which belongs to nobody"),
        ({"gid_range": [60000]}, "gid_range"),
        ({"uid_strategy": "random"}, "uid_strategy"),
    ],
)
def test_values_that_cannot_be_are_refused(make, options, problem):
    with pytest.raises(TraitError, match=problem):
        make(**options)


def test_a_hub_in_memory_cannot_remember(request):
    config = Config()
    config.JupyterHub.db_url = "sqlite:///:memory:"
    config.Numberless.update({"enable_auth_state": True, "uid_strategy": "database"})
    in_memory = Numberless(parent=JupyterHub(config=config))
    with pytest.raises(TraitError, match=r"JupyterHub\.db_url: is in memory"):
        in_memory.check_settings()


async def test_without_a_hub_there_is_no_database_to_use():
    alone = Numberless(enable_auth_state=True, uid_strategy="database")
    account = SourceAccount(source="test", subject="a", uid=None, gid=None, groups=())
    with pytest.raises(ConfigError, match="there is no hub here whose database could be used"):
        await alone.assign_ids("ada", account)


async def test_who_is_refused_a_name_takes_no_number_that_waits_for_it(make, tmp_path):
    authenticator = make(uid_strategy="database")
    [waiting] = [
        IdRow(kind=IdKind.USER, number=5001, name="ada", source="", subject="", allocated_at="")
    ]
    database = IdDatabase(
        f"sqlite:///{tmp_path / 'hub.sqlite'}", setting="--url", timeout_seconds=10
    )
    import_rows(database, [waiting], authenticator.numbering().ranges)
    database.close()
    ada = make_profile(source="test", subject="cn=ada")
    handler = Handler(StoredUser("ada", {"profile": ada.to_auth_state()}))

    async def log_in_as(subject):
        authenticator.subject = subject
        return await authenticator.get_authenticated_user(handler, {"username": "ada"})

    with pytest.raises(HTTPError) as caught:
        await log_in_as("cn=ada,ou=elsewhere")
    assert caught.value.status_code == 403
    assert (await log_in_as("cn=ada"))["auth_state"]["profile"]["uid"] == 5001
