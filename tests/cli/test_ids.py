from __future__ import annotations

import csv
import io

import pytest

from jhk8s_ext.identity.ids import IdKind
from tests.support.id_allocator import RANGES, open_store, wanted

HEADER = "kind,id,name,source,subject,allocated_at\n"


@pytest.fixture
def filled(oidc):
    store = open_store(f"sqlite:///{oidc.database}")
    store.assign(
        [
            wanted(IdKind.USER, "1", "ada"),
            wanted(IdKind.USER, "2", "eve"),
            wanted(IdKind.GROUP, "g", "data\x1b[31m science, 1"),
        ],
        RANGES,
    )
    store._database.close()
    return oidc


def numbers(outcome):
    return [(row["kind"], int(row["id"])) for row in csv.DictReader(io.StringIO(outcome.out))]


def test_the_list_is_a_table_that_does_nothing_to_a_terminal(jhk8s, filled):
    outcome = jhk8s("ids", "list", "--config", filled.configure())
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["kind", "id"],
        ["user", "100000"],
        ["user", "100001"],
        ["group", "1000000"],
    ]
    assert r"data\x1b[31m science, 1" in lines[3]
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--kind", "group"], ["1000000"]),
        (["--kind", "user"], ["100000", "100001"]),
        (["--name", "ada"], ["100000"]),
        (["--name", "*a*"], ["100000", "1000000"]),
        (["--name", "ad"], []),
        (["--kind", "group", "--name", "ada"], []),
    ],
)
def test_the_list_can_be_narrowed(jhk8s, filled, options, expected):
    outcome = jhk8s("ids", "list", "--config", filled.configure(), *options)
    assert [line.split()[1] for line in outcome.out.splitlines()[1:]] == expected


def test_what_is_exported_can_be_imported_elsewhere(jhk8s, filled, tmp_path):
    config = filled.configure()
    printed = jhk8s("ids", "export", "--config", config)
    assert printed.out.startswith(HEADER)
    assert numbers(printed) == [("user", 100000), ("user", 100001), ("group", 1000000)]
    file = tmp_path / "ids.csv"
    assert jhk8s("ids", "export", "--config", config, file).out == ""
    assert file.read_bytes().decode() == printed.out
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    outcome = jhk8s("ids", "import", "--url", other, file)
    assert (outcome.status, outcome.out) == (0, "3 imported, 0 there already\n")
    assert jhk8s("ids", "export", "--url", other).out == printed.out
    outcome = jhk8s("ids", "import", "--url", other, "-", stdin=printed.out)
    assert outcome.out == "0 imported, 3 there already\n"


def test_imported_numbers_are_not_given_to_others(jhk8s, oidc):
    config = oidc.configure(uid_range=[5000, 5999])
    text = HEADER + "user,5100,ada,,,\ngroup,4000,lab,,,\n"
    assert jhk8s("ids", "import", "--config", config, "-", stdin=text).status == 0
    claims = '{"sub": "of %s", "preferred_username": "%s"}'
    for name, uid in (("eve", 5101), ("ada", 5100)):
        outcome = jhk8s(
            "profile",
            name,
            "--config",
            config,
            "--claims",
            "-",
            "--allocate",
            stdin=claims % (name, name),
        )
        assert f"uid        {uid}\n" in outcome.out, outcome


def test_a_dry_run_says_what_would_be_imported_and_imports_nothing(jhk8s, filled):
    config = filled.configure()
    text = HEADER + "user,5000,zoe,,,\n"
    outcome = jhk8s("ids", "import", "--config", config, "-", "--dry-run", stdin=text)
    assert (outcome.status, outcome.out) == (0, "1 would be imported, 0 there already\n")
    assert len(numbers(jhk8s("ids", "export", "--config", config))) == 3
    outcome = jhk8s("ids", "import", "--config", config, "-", "--dry-run", stdin=text * 2)
    assert outcome.status == 1


def test_problems_are_told_with_their_lines_and_nothing_is_imported(jhk8s, filled):
    config = filled.configure()
    text = HEADER + "user,5000,zoe,,,\nuser,0,low,,,\nuser,5000,twice,,,\nuser,100005,fine,,,\n"
    outcome = jhk8s("ids", "import", "--config", config, "-", stdin=text)
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.splitlines() == [
        "-, line 3: uid 0 is below uid_floor, 1000",
        "-, line 4: id 5000 is in line 2 too",
        "jhk8s: nothing was imported",
    ]
    text = HEADER + "user,5000,zoe,,,\nuser,100000,other,,,\n"
    outcome = jhk8s("ids", "import", "--config", config, "-", stdin=text)
    assert outcome.status == 1
    assert outcome.err.startswith("-, line 3: uid 100000 is held by '1' of test\n")
    assert len(numbers(jhk8s("ids", "export", "--config", config))) == 3


def test_the_other_kinds_numbers_are_those_of_the_configuration(jhk8s, oidc):
    config = oidc.configure(gid_range=[2000000, 2000009])
    text = HEADER + "user,2000005,zoe,,,\n"
    outcome = jhk8s("ids", "import", "--config", config, "-", stdin=text)
    assert outcome.status == 1
    assert "GenericProfileAuthenticator.gid_range" in outcome.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"kind\n"])
def test_a_file_that_is_no_csv_is_refused(jhk8s, filled, tmp_path, content):
    (tmp_path / "ids.csv").write_bytes(content)
    outcome = jhk8s("ids", "import", "--config", filled.configure(), tmp_path / "ids.csv")
    assert outcome.status in (1, 2)
    assert "ids.csv" in outcome.err


def test_a_spreadsheets_byte_order_mark_and_line_ends_are_fine(jhk8s, filled):
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + "user,5000,zoe,,,\r\n"
    outcome = jhk8s("ids", "import", "--config", filled.configure(), "-", stdin=text)
    assert outcome.out == "1 imported, 0 there already\n"


def test_a_database_that_nobody_has_used_lists_nothing_and_stays_empty(jhk8s, oidc):
    outcome = jhk8s("ids", "list", "--config", oidc.configure())
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert oidc.database.stat().st_size == 0


@pytest.mark.parametrize("action", ["list", "export"])
def test_a_file_in_the_wrong_folder_is_not_made(jhk8s, oidc, action):
    oidc.database.unlink()
    outcome = jhk8s("ids", action, "--config", oidc.configure())
    assert outcome.status == 2
    assert f"there is no file '{oidc.database}'; run the command in the hub's folder" in outcome.err
    assert not oidc.database.exists()


def test_a_database_that_is_down_is_its_own_status_and_tells_no_password(jhk8s):
    outcome = jhk8s("ids", "list", "--url", "mysql+pymysql://hub:hub-secret@127.0.0.1:1/ids")
    assert outcome.status == 3
    assert "the database of ids (mysql 127.0.0.1:1/ids) failed" in outcome.err
    assert "hub-secret" not in outcome.err


@pytest.mark.parametrize("url", ["hub-secret", "sqlite://", "nosuch://hub:hub-secret@host/x"])
def test_a_url_that_is_none_is_a_usage_error(jhk8s, url):
    outcome = jhk8s("ids", "list", "--url", url)
    assert outcome.status == 2
    assert outcome.err.startswith("jhk8s: --url: ")
    assert "hub-secret" not in outcome.err


@pytest.mark.parametrize(
    "arguments", [[], ["ids"], ["ids", "import"], ["ids", "list", "--kind", "x"], ["nothing"]]
)
def test_a_command_line_that_cannot_be_is_a_usage_error(jhk8s, arguments):
    outcome = jhk8s(*arguments)
    assert outcome.status == 2
    assert "Usage: jhk8s" in outcome.err


def test_help_is_no_error(jhk8s):
    outcome = jhk8s("ids", "import", "--help")
    assert outcome.status == 0
    assert "--dry-run" in outcome.out


def test_a_dry_run_makes_no_database(jhk8s, tmp_path):
    database, file = tmp_path / "ids.sqlite", tmp_path / "ids.csv"
    file.write_text("kind,id,name,source,subject,allocated_at\n")
    url = f"--url=sqlite:///{database}"
    outcome = jhk8s("ids", "import", file, "--dry-run", url)
    assert (outcome.status, database.exists()) == (2, False)
    assert f"there is no file '{database}'" in outcome.err
    assert jhk8s("ids", "import", file, url).status == 0
    assert database.exists()
