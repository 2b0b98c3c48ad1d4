"""The user's tokens in ``~/.git-credentials``, beside what else is there."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jhk8s_singleuser import git_credentials
from jhk8s_singleuser.actions import BecomeUser, WriteGitCredentials
from jhk8s_singleuser.context import Context, StepError
from jhk8s_singleuser.facts import Facts
from jhk8s_singleuser.git_credentials import merge_lines, write_git_credentials
from jhk8s_singleuser.plan import build_plan
from jhk8s_singleuser.spec import GitCredential
from jhk8s_singleuser.spec_parser import parse_spec

from tests.support.profiles import awkward_text

SHIM = Path(git_credentials.__file__).parents[1]
VARIABLE = "JHK8S_GIT_TOKEN_0"
TOKEN = "t0ken-that-nobody-may-see"
OURS = b"https://ada:" + TOKEN.encode() + b"@git.example.edu\n"
ENVIRON = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


def credential(host="git.example.edu", username="ada", variable=VARIABLE):
    return GitCredential(host=host, username=username, variable=variable)


def write(home, *credentials, store=None, **given_environ):
    """Take the step in a home; return what was reported."""
    action = WriteGitCredentials(
        home=str(home),
        store=None if store is None else str(store),
        credentials=credentials or (credential(),),
    )
    reports = []
    context = Context("", reports.append, {}, given_environ or {VARIABLE: TOKEN})
    write_git_credentials(action, context)
    assert context.environ == {}
    assert context.notices == []
    return reports


def ask_git(file, host, username=""):
    """Ask git's own helper what is stored."""
    done = subprocess.run(
        ["git", "credential-store", "--file", str(file), "get"],
        input=f"protocol=https\nhost={host}\n" + (f"username={username}\n" if username else ""),
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.rstrip("\n").split("\n"))


def tell_git(file, action, host, password):
    """Have git's own helper store, or erase, what is Ada's at a host."""
    subprocess.run(
        ["git", "credential-store", "--file", str(file), action],
        input=f"protocol=https\nhost={host}\nusername=ada\npassword={password}\n\n",
        env=ENVIRON,
        text=True,
        check=True,
    )


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def content(home):
    return (home / ".git-credentials").read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", OURS),
        (b"https://ada:old@git.example.edu\n", OURS),
        (b"https://ada:old@git.example.edu", OURS),
        (b"https://ada:old@git.example.edu/\n", OURS),
        (b"https://%61d%61:old@git.example%2eedu\n", OURS),
        (b"https://ada:@git.example.edu\n", OURS),
        (b"# mine\n\nhttps://a:b@c\n", OURS + b"# mine\n\nhttps://a:b@c\n"),
        (b"https://a:b@c", OURS + b"https://a:b@c"),
        (
            b"https://a:b@c\nhttps://ada:old@git.example.edu\nno line of git's",
            b"https://a:b@c\n" + OURS + b"no line of git's",
        ),
        (2 * b"https://ada:old@git.example.edu\n" + b"x\r\n\r", OURS + b"x\r\n\r"),
        *(
            (line + b"\n", OURS + line + b"\n")
            for line in (
                b"https://grace:theirs@git.example.edu",
                b"https://ada:theirs@git.example.edu:8443",
                b"https://ada:theirs@git.example.edu/a/repository",
                b"https://ada:theirs@GIT.example.edu",
                b"http://ada:theirs@git.example.edu",
                b"https://ada@git.example.edu",
                b"https://git.example.edu",
                b"https://ada/x:theirs@git.example.edu",
                b" https://ada:theirs@git.example.edu",
                b"https://ada:theirs@git.example.edu\r",
                b"\xff\xfe\0",
                b"https://%:%4@%zz%",
            )
        ),
    ],
)
def test_only_the_line_of_this_user_and_host_is_replaced(home, before, after):
    (home / ".git-credentials").write_bytes(before)
    assert write(home) == []
    assert content(home) == after
    assert names_in(home) == [".git-credentials"]
    assert ask_git(home / ".git-credentials", "git.example.edu", "ada")["password"] == TOKEN


def test_several_hosts_are_written_at_once(home):
    others = [credential("a.example.edu", variable="A"), credential("b.example.edu:8443", "b", "B")]
    (home / ".git-credentials").write_text("https://b:old@b.example.edu:8443\n")
    write(home, *others, A="1", B="2")
    assert content(home) == (b"https://ada:1@a.example.edu\nhttps://b:2@b.example.edu%3a8443\n")


@pytest.mark.parametrize("token", [TOKEN, "a/b c%:@?#é"])
def test_git_stores_the_same_line_after_each_use(home, token):
    write(home, **{VARIABLE: token})
    before = content(home)
    tell_git(home / ".git-credentials", "store", "git.example.edu", token)
    assert content(home) == before
    # So a start that has nothing new finds nothing to write.
    used = (home / ".git-credentials").stat()
    write(home, **{VARIABLE: token})
    assert (home / ".git-credentials").stat() == used


@pytest.mark.parametrize("host", ["git.example.edu", "git.example.edu:8443"])
def test_a_line_that_git_has_stored_is_replaced(home, host):
    tell_git(home / ".git-credentials", "store", host, "old")
    write(home, credential(host))
    assert ask_git(home / ".git-credentials", host) == {"username": "ada", "password": TOKEN}
    assert len(content(home).splitlines()) == 1


KEY = (b"git.example.edu", b"ada")


@given(st.binary(max_size=200) | st.text("htps:/@%adgi.exmlu\n\r#?", max_size=80).map(str.encode))
def test_whatever_the_file_holds_nothing_else_is_changed(before):
    after = merge_lines(before, {KEY: OURS})
    assert merge_lines(after, {KEY: OURS}) == after
    # None of these is the line of this user and host.
    assert after == OURS + before


@settings(max_examples=50, deadline=None)
@given(awkward_text, awkward_text, st.sampled_from(["h.io", "h.io:1", "10.0.0.5"]))
def test_git_reads_what_is_written(tmp_path_factory, username, token, host):
    # Git's own protocol has lines, so that no user has a name with a line end.
    username = re.sub("[\0\n\r\ud800-\udfff]", "", username) or "x"
    home = tmp_path_factory.mktemp("home")
    reports = write(home, credential(host, username), **{VARIABLE: token})
    token = token.strip()
    if not token or not token.isprintable():
        problem = "no text on one line" if token else "missing"
        assert reports == [f"git_credentials: the token for {host} is {problem}"]
        assert names_in(home) == []
        return
    assert ask_git(home / ".git-credentials", host) == {"username": username, "password": token}
    assert write(home, credential(host, username), **{VARIABLE: "new"}) == []
    assert len(content(home).splitlines()) == 1


def test_a_newline_at_the_end_of_a_secret_is_no_part_of_the_token(home):
    assert write(home, **{VARIABLE: f"{TOKEN}\r\n"}) == []
    assert content(home) == OURS


@pytest.mark.parametrize("token", ["", " \n", "two\nlines", "a\0b", "\x1b[31m"])
def test_without_a_token_nothing_is_written_and_nothing_of_it_is_said(home, token):
    (home / ".git-credentials").write_bytes(OURS)
    (home / ".git-credentials").chmod(0o644)
    [report] = write(home, **{VARIABLE: token})
    assert report.startswith("git_credentials: the token for git.example.edu is ")
    assert "lines" not in report
    assert write(home, OTHER="x") == ["git_credentials: the token for git.example.edu is missing"]
    assert content(home) == OURS
    assert mode(home / ".git-credentials") == 0o644


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize("before", [None, b"", OURS])
def test_it_is_the_users_alone_to_read(home, umask, before):
    file = home / ".git-credentials"
    if before is not None:
        file.write_bytes(before)
        file.chmod(0o666)
    old = os.umask(umask)
    try:
        write(home)
        assert os.umask(umask) == umask
    finally:
        os.umask(old)
    assert mode(file) == 0o600
    assert file.read_bytes() == OURS


def test_what_is_as_it_should_be_is_left_alone(home):
    write(home)
    home.chmod(0o500)
    before = (home / ".git-credentials").stat()
    (home / ".git-credentials.lock").touch()  # of somebody's: there is nothing to wait for
    begin = time.monotonic()
    assert write(home) == []
    assert time.monotonic() - begin < git_credentials._LOCK_SECONDS
    assert (home / ".git-credentials").stat() == before


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store"
    (path / "config").mkdir(parents=True)
    return path


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_into_the_store_stays_and_what_it_leads_to_is_written(home, store, exists, relative):
    file, link = store / "config/credentials", home / ".git-credentials"
    if exists:
        file.write_text("# mine\n")
    link.symlink_to("../store/config/credentials" if relative else file)
    write(home, store=store)
    assert link.is_symlink()
    assert file.read_bytes() == OURS + (b"# mine\n" if exists else b"")
    assert mode(file) == 0o600
    assert not file.is_symlink()
    assert names_in(store / "config") == ["credentials"]
    assert names_in(home) == [".git-credentials"]


def test_a_link_inside_of_the_home_is_followed(home):
    (home / "dotfiles").mkdir()
    (home / "dotfiles/again").symlink_to("credentials")
    (home / ".git-credentials").symlink_to("dotfiles/again")
    write(home)
    assert (home / "dotfiles/credentials").read_bytes() == OURS
    assert (home / "dotfiles/again").is_symlink()


def fifo(home):
    os.mkfifo(home / ".git-credentials")


def folder(home):
    (home / ".git-credentials").mkdir()


def link_out(home):
    (home.parent / "shared").mkdir()
    (home / ".git-credentials").symlink_to("../shared/credentials")


def link_to_neighbour(home):
    (home.parent / "home2").mkdir()
    (home / ".git-credentials").symlink_to("../home2/credentials")


def link_over_folder(home):
    (home.parent / "shared").mkdir()
    (home / "shared").symlink_to("../shared")
    (home / ".git-credentials").symlink_to("shared/credentials")


def loop(home):
    (home / "a").symlink_to(".git-credentials")
    (home / ".git-credentials").symlink_to("a")


def link_to_folder(home):
    (home / "folder").mkdir()
    (home / ".git-credentials").symlink_to("folder")


def link_to_device(home):
    (home / ".git-credentials").symlink_to("/dev/null")


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (fifo, "is not a regular file"),
        (folder, "is not a regular file"),
        (link_to_folder, "is not a regular file"),
        (loop, "is not a regular file"),
        (link_out, "is a link out of the home, to .*/shared/credentials"),
        (link_to_neighbour, "is a link out of the home"),
        (link_over_folder, "is a link out of the home"),
        (link_to_device, "is a link out of the home, to /dev/null"),
    ],
)
def test_what_is_no_file_of_the_users_is_left_alone(home, store, arrange, reason):
    arrange(home)
    before = snapshot(home.parent)
    with pytest.raises(StepError, match=reason):
        write(home, store=store)
    assert snapshot(home.parent) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_elses_is_left_alone(home):
    file = home / ".git-credentials"
    file.write_text("theirs")
    os.chown(file, 4711, 4711)
    with pytest.raises(StepError, match="belongs to uid 4711"):
        write(home)
    assert snapshot(home) == {".git-credentials": b"theirs"}


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if stat.S_ISREG(path.lstat().st_mode)
        else stat.S_IFMT(path.lstat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount for another user")
@pytest.mark.parametrize("before", [None, "# mine\nhttps://ada:old@git.example.edu\n"])
def test_a_full_home_keeps_the_old_file_and_the_server_starts(container, direct, before):
    direct["git_credentials"] = [{**vars(credential())}]
    container.write_spec(direct)
    container.provide(container.home)
    file = container.home / ".git-credentials"
    script = (
        f"mount -t tmpfs -o size=64k,mode=0777 none {container.home} && "
        + (f"printf %s '{before}' > {file} && chown 10001:10001 {file} && " if before else "")
        + f'dd if=/dev/zero of={container.home}/big 2>/dev/null; exec "$@"'
    )
    identity = ("unshare", "--mount", "sh", "-c", script, "sh", *container.identity)
    done = replace(container, identity=identity).start(
        "sh", "-c", f"ls -A {container.home}; cat {file}", **{VARIABLE: TOKEN}
    )
    assert done.stdout == ("big\n" if before is None else f".git-credentials\nbig\n{before}")
    assert (
        f"git_credentials: cannot write {container.home}/.git-credentials: No space left on "
        "device; the server starts all the same" in done.stderr
    )
    assert TOKEN not in done.stderr


#: The step in a process of its own, which something ends or holds up on the way.
PROGRAM = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from jhk8s_singleuser import git_credentials
from jhk8s_singleuser.actions import WriteGitCredentials
from jhk8s_singleuser.context import Context
from jhk8s_singleuser.spec import GitCredential

home, host, token, count, after = json.loads(sys.argv[2])
left = count

def kill_around(real):
    def change(*args):
        global left
        left -= 1
        if left != 0:
            return real(*args)
        if after:
            real(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    return change

if count:
    for name in ("open", "fchmod", "fdopen", "fsync", "rename", "unlink"):
        setattr(os, name, kill_around(getattr(os, name)))
credential = GitCredential(host=host, username="ada", variable="T")
git_credentials.write_git_credentials(
    WriteGitCredentials(home=home, store=None, credentials=(credential,)),
    Context("", print, {}, {"T": token}),
)
"""


def start_program(home, *, host="git.example.edu", token=TOKEN, count=0, after=False, **options):
    arguments = json.dumps([str(home), host, token, count, after])
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SHIM), arguments]
    return subprocess.Popen(command, **options)


BEFORE = b"# mine\nhttps://ada:old@git.example.edu\nhttps://a:b@c"
AFTER = b"# mine\n" + OURS + b"https://a:b@c"


@pytest.mark.parametrize("before", [None, BEFORE])
@pytest.mark.parametrize("after", [False, True])
def test_a_start_after_one_that_was_killed_anywhere(tmp_path, monkeypatch, before, after):
    monkeypatch.setattr(git_credentials, "_LOCK_SECONDS", 0.01)
    expected = OURS if before is None else AFTER
    for count in range(1, 20):
        home = tmp_path / str(count)
        home.mkdir()
        file = home / ".git-credentials"
        if before is not None:
            file.write_bytes(before)
        process = start_program(home, count=count, after=after)
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        found = file.read_bytes() if file.exists() else None
        assert found in (before, expected), "neither the old file nor the new one"
        assert write(home) == []
        assert file.read_bytes() == expected
        assert names_in(home) == [".git-credentials"]
    # The lock is opened, made private, written, made sure of, and put in place; where there was a
    # file, that is read before and after.
    assert count == (6 if before is None else 10)


def test_a_start_after_one_that_was_killed_in_the_middle_of_writing(home, monkeypatch):
    monkeypatch.setattr(git_credentials, "_LOCK_SECONDS", 0.01)
    long = b"# x\n" * 5000
    (home / ".git-credentials").write_bytes(long)
    limit = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL);"
    )
    arguments = json.dumps([str(home), "git.example.edu", TOKEN, 0, False])
    command = [sys.executable, "-I", "-S", "-c", limit + PROGRAM, str(SHIM), arguments]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGXFSZ
    assert content(home) == long
    assert (home / ".git-credentials.lock").stat().st_size == 9000
    write(home)
    assert content(home) == OURS + long
    assert names_in(home) == [".git-credentials"]


def test_a_lock_that_nobody_holds_any_more_is_taken_away(home):
    (home / ".git-credentials").write_bytes(BEFORE)
    (home / ".git-credentials.lock").write_bytes(b"half a li")
    begin = time.monotonic()
    write(home)
    assert 2 <= time.monotonic() - begin < git_credentials._WAIT_SECONDS
    assert content(home) == AFTER
    assert names_in(home) == [".git-credentials"]


def test_whoever_holds_the_lock_is_waited_for(home):
    file, lock = home / ".git-credentials", home / ".git-credentials.lock"
    file.write_bytes(BEFORE)
    lock.write_bytes(BEFORE + b"\nhttps://new:1@host\n")
    holder = threading.Timer(0.5, lambda: lock.rename(file))
    holder.start()
    write(home)
    holder.join()
    assert content(home) == AFTER + b"\nhttps://new:1@host\n"


def test_a_lock_that_is_always_another_ones_is_not_waited_for_for_ever(home, monkeypatch):
    monkeypatch.setattr(git_credentials, "_WAIT_SECONDS", 0.3)
    lock = home / ".git-credentials.lock"
    lock.touch()
    with pytest.raises(StepError, match="is held by others"):
        write(home)
    assert lock.exists()


def test_servers_that_start_at_once_and_git_lose_nothing_of_each_other(home):
    (home / ".git-credentials").write_bytes(BEFORE)
    hosts = [f"h{number}.example.edu" for number in range(6)]
    processes = [start_program(home, host=host) for host in hosts]
    for number in range(6):
        tell_git(home / ".git-credentials", "store", f"g{number}.example.edu", "p")
    assert [process.wait() for process in processes] == [0] * len(processes)
    lines = content(home).splitlines()
    assert {f"https://ada:{TOKEN}@{host}".encode() for host in hosts} < set(lines)
    assert {f"https://ada:p@g{number}.example.edu".encode() for number in range(6)} < set(lines)
    # Git ends the last line.
    assert set(BEFORE.splitlines()) < set(lines)
    assert len(lines) == 15
    assert names_in(home) == [".git-credentials"]


@pytest.fixture
def everything():
    specs = Path(__file__).parents[1] / "data/start_spec"
    return json.loads((specs / "everything.json").read_text())


def test_a_plan_holds_no_token_and_root_writes_nothing(everything):
    facts = Facts(uid=0, gid=0, groups=frozenset(), today="2026-11-21")
    plan = build_plan(parse_spec(everything), {VARIABLE: TOKEN}, facts, ("true",))
    assert TOKEN not in repr(plan)
    kinds = [type(step.action) for step in plan.steps]
    assert kinds.index(BecomeUser) < kinds.index(WriteGitCredentials)
    step = plan.steps[kinds.index(WriteGitCredentials)]
    assert step.exit_code is None
    assert step.action.store == "/mnt/home/ada"


def test_the_server_finds_the_line_and_no_token_in_its_environment(container, linked):
    linked["git_credentials"] = [{**vars(credential())}]
    container.write_spec(linked)
    container.provide(container.store)
    done = container.start(
        "sh",
        "-c",
        "cat ~/.git-credentials; env; tr '\\0' '\\n' < /proc/$$/environ",
        **{VARIABLE: TOKEN},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines(keepends=True)
    assert lines[0].encode() == OURS
    assert TOKEN not in "".join(lines[1:])
    assert VARIABLE not in done.stdout
    assert mode(container.home / ".git-credentials") == 0o600


def test_a_real_git_gets_the_token_with_the_configuration_of_the_pod(home):
    if shutil.which("git") is None:
        pytest.fail("git is needed")
    write(home)
    config = home / "system"
    config.write_text('[credential "https://git.example.edu"]\n\thelper = "store"\n')
    done = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=git.example.edu\n\n",
        env={"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_SYSTEM": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"username=ada\npassword={TOKEN}\n" in done.stdout
