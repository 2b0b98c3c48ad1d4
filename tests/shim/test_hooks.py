"""Hooks of the image: what they leave to the server, and what they cannot do to the start."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from jhk8s_singleuser import hooks
from jhk8s_singleuser.actions import RunHooks
from jhk8s_singleuser.context import Context, StepError
from jhk8s_singleuser.exits import FAILED_HOOK
from jhk8s_singleuser.spec import User

ADA = User(
    name="ada",
    uid=10001,
    gid=10001,
    shell="/bin/bash",
    full_name="Ada Lovelace",
    groups=(),
    extra_gids=(),
    sudo=False,
)
ENVIRON = {
    "HOME": "/home/ada",
    "USER": "ada",
    "LOGNAME": "ada",
    "SHELL": "/bin/bash",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "JUPYTERHUB_API_TOKEN": "correct-horse-battery",
}
ALL_THE_SAME = "; the server starts all the same"
IN_A_NEW_ONE = "; those after it run in a new one"

only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "hooks.d"
    path.mkdir()
    tmp_path.chmod(0o755)
    return path


@pytest.fixture(params=["bash", "sh"])
def shell(request, monkeypatch):
    """Let hooks be taken by bash, or by whatever sh is where there is no bash."""
    found = [each for each in hooks._SHELLS if each[0] == request.param]
    monkeypatch.setattr(hooks, "_SHELLS", (("bash", ()), *found)[-1:])
    return request.param


def provide(folder, **files):
    """Write files; a name's ``_`` stands for a dot, and what begins with #! can be run."""
    for name, text in files.items():
        path = folder / name.replace("_", ".")
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)


class Run:
    """What became of some hooks."""

    def __init__(self, root, folders, environ, **how):
        self.reports = []
        self.context = Context(root, self.reports.append, {**ENVIRON, **environ}, {})
        how = {"as_root": False, "essential": False, **how}
        hooks.run_hooks(RunHooks(folders=folders, user=ADA, **how), self.context)

    @property
    def changes(self):
        """Variables that are new or other than before; None for those that are gone."""
        after = self.context.environ
        return {
            **{name: None for name in ENVIRON if name not in after},
            **{name: value for name, value in after.items() if ENVIRON.get(name) != value},
        }


def run(*folders, environ=(), **how):
    return Run("", tuple(map(str, folders)), dict(environ), **how)


# What hooks leave


def test_what_a_hook_exports_reaches_those_after_it_and_the_server(folder, shell, capfd):
    provide(
        folder,
        a_sh="export MY_VAR=123 OTHER=1\nplain=3\nsay() { echo said; }\nPATH=/bin",
        b_sh='echo "b: $MY_VAR $plain"; export MY_VAR=456 PATH="/opt/bin:$PATH"; unset OTHER; say',
        c="#!/bin/sh\necho c: $MY_VAR ${OTHER-gone}; export LOST=1",
    )
    done = run(folder)
    assert done.reports == []
    assert done.changes == {"MY_VAR": "456", "PATH": "/opt/bin:/bin"}
    assert capfd.readouterr().err.splitlines() == ["b: 123 3", "said", "c: 456 gone"]


def test_what_bash_alone_knows(folder):
    provide(
        folder,
        a_sh="declare -x A=1; declare -ax LIST=(1 2); readonly R=1; export R",
        b_sh="f() { echo f; }; export -f f; [[ $A == 1 ]] && export B=$'x\\ny'",
    )
    done = run(folder)
    assert done.reports == []
    assert done.changes == {"A": "1", "B": "x\ny", "R": "1", "BASH_FUNC_f%%": "() {  echo f\n}"}


VALUES = [
    "",
    " a  b ",
    "'\"`$(false)\\",
    "x\ny=z\n",
    "=",
    "ä€🐍",
    os.fsdecode(b"\xff\xfe"),
    "x" * 99_999,
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_any_value_comes_through(folder, shell, value):
    provide(folder, a_sh="export B=1", b_sh='export COPY="$VALUE"')
    done = run(folder, environ={"VALUE": value})
    assert done.reports == []
    assert done.changes == {"VALUE": value, "COPY": value, "B": "1"}


def test_names_that_no_shell_knows_stay(folder, shell):
    provide(folder, a_sh="export A=1")
    environ = {"a.b": "1", "BASH_FUNC_module%%": "() { :; }", "2": "x"}
    assert run(folder, environ=environ).changes == {**environ, "A": "1"}


def test_who_the_user_is_and_what_is_the_shells_stays(folder, shell):
    provide(folder, a_sh="export HOME=/ USER=x LOGNAME=x SHELL=/x PWD=/ OLDPWD=/ SHLVL=7 NB_USER=x")
    assert run(folder).changes == {}
    before = {"PWD": "/here", "SHLVL": "1", "OLDPWD": "/there", "NB_UID": "1000"}
    assert run(folder, environ=before).changes == before


def test_our_own_variables_and_those_of_sudo_are_dropped(folder, shell):
    provide(folder, a_sh="set -a; JHK8S_X=1; SUDO_USER=x; KEPT=1")
    assert run(folder).changes == {"KEPT": "1"}


def test_a_hook_knows_whom_it_works_for(folder, capfd):
    provide(folder, a="#!/bin/sh\necho $NB_USER $NB_UID $NB_GID $HOME $USER $#")
    run(folder, environ={"NB_USER": "jovyan"})
    assert capfd.readouterr().err == "ada 10001 10001 /home/ada ada 0\n"


def test_a_sourced_hook_has_no_arguments(folder, shell, capfd):
    provide(folder, a_sh="echo $#; set -- x y", b_sh="echo $#")
    run(folder)
    assert capfd.readouterr().err == "0\n0\n"


# Which files


def test_the_order_is_that_of_the_names(folder, tmp_path, capfd):
    second = tmp_path / "second"
    second.mkdir()
    for name in ("10-b.sh", "9-a.sh", "B.sh", "a.sh", "é.sh"):
        (folder / name).write_text(f"echo {name}")
    (second / "0.sh").write_text("echo second")
    run(folder, tmp_path / "missing", second)
    said = capfd.readouterr().err.split()
    assert said == ["10-b.sh", "9-a.sh", "B.sh", "a.sh", "é.sh", "second"]


ODD_NAMES = ["a b.sh", "-x.sh", "new\nline.sh", "'q\"`$(touch pwned).sh", "*.sh", "ä.sh", "\\.sh"]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("runs", [False, True])
def test_odd_names(tmp_path, shell, capfd, name, runs):
    folder = tmp_path / name.replace(".sh", "")
    folder.mkdir()
    hook = folder / (name.replace(".sh", "") if runs else name)
    hook.write_text("#!/bin/sh\necho taken; exit 3\n" if runs else "echo taken; return 3\n")
    hook.chmod(0o755)
    (report,) = run(folder).reports
    assert capfd.readouterr().err == "taken\n"
    assert (
        report == f"the hook {str(hook)!r} failed with status 3; it said last: taken{ALL_THE_SAME}"
    )
    assert not list(tmp_path.rglob("pwned"))
    assert "\n" not in report


def test_a_name_that_is_no_text(folder, capfd):
    (folder / os.fsdecode(b"\xff.sh")).write_text("echo taken")
    assert run(folder).reports == []
    assert capfd.readouterr().err == "taken\n"


def test_other_files_are_left_out(folder):
    provide(folder, readme_txt="x", data="echo x")
    for name in (".hidden.sh", "..data.sh"):
        (folder / name).write_text("echo no")
    (folder / "sub").mkdir()
    (folder / "sub.sh").mkdir()
    (folder / "gone.sh").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.sh")
    done = run(folder)
    assert done.reports == [
        f"'{folder}/{name}' is neither a .sh file nor executable, and is left out"
        for name in ("data", "gone.sh", "pipe.sh", "readme.txt", "sub", "sub.sh")
    ]
    assert done.context.notices == []


def test_a_link_to_a_hook_is_followed(folder, tmp_path, capfd):
    (tmp_path / "elsewhere").write_text("echo taken")
    (folder / "a.sh").symlink_to(tmp_path / "elsewhere")
    assert run(folder).reports == []
    assert capfd.readouterr().err == "taken\n"


def test_without_hooks_no_shell_is_started(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "run_shell", lambda *_: pytest.fail("a shell was started"))
    done = run(folder, tmp_path / "missing")
    assert (done.reports, done.changes) == ([], {})


@pytest.mark.parametrize("essential", [False, True])
def test_a_folder_that_is_none(folder, tmp_path, essential, capfd):
    (tmp_path / "file").touch()
    provide(folder, a_sh="echo taken")
    sentence = f"the hooks in '{tmp_path}/file' cannot be listed: Not a directory"
    if essential:
        with pytest.raises(StepError, match=f"^{re.escape(sentence)}$"):
            run(tmp_path / "file", folder, essential=True)
        return
    done = run(tmp_path / "file", folder)
    assert done.reports == done.context.notices == [sentence + ALL_THE_SAME]
    assert capfd.readouterr().err == "taken\n"


# What hooks cannot do


def test_the_shim_stays_where_and_what_it_is(folder, shell, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    provide(folder, a_sh="cd /; umask 0; ulimit -n 20; export A=1", b_sh="pwd >&2")
    umask = os.umask(0o027)
    try:
        run(folder)
        assert os.umask(umask) == 0o027
    finally:
        os.umask(umask)
    assert Path.cwd() == tmp_path
    assert "A" not in os.environ


def test_nobody_is_asked(folder, shell):
    provide(folder, a_sh='read -r answer; export ANSWER="none$answer"', b="#!/bin/sh\ncat")
    assert run(folder).changes == {"ANSWER": "none"}


def test_no_file_of_the_users_is_sourced(folder, tmp_path, capfd):
    (tmp_path / "rc").write_text("echo the user's")
    provide(folder, a_sh="echo hook")
    names = ("BASH_ENV", "ENV")
    run(folder, environ=dict.fromkeys(names, str(tmp_path / "rc")))
    assert capfd.readouterr().err == "hook\n"


def test_signals_are_as_usual(folder, capfd):
    provide(folder, a_sh="set -o pipefail; yes | head -n 1 >/dev/null; echo $?; set +o pipefail")
    run(folder)
    assert capfd.readouterr().err == "141\n"


ENDS = {
    "exit 0": ("exit", True, ""),
    "exit 3": ("exit 3", True, "failed with status 3"),
    "errexit": ("set -e; false; export NOT=1", True, "failed with status 1"),
    "errexit in return": ("set -e; return 5", True, "failed with status 5"),
    "nounset": ("set -u; : $missing; export NOT=1", True, "failed with status"),
    "exec": ("exec sh -c 'exit 7'", False, "failed with status 7"),
    "exec 0": ("exec true", False, ""),
    "kill": ("kill -9 $$", False, "was ended by signal 9"),
    "a trap of its own": ("trap 'echo bye' EXIT; exit 4", False, "failed with status 4"),
    "no memory": ("ulimit -v 9000", False, ""),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_hook_that_ends_the_shell_ends_no_other(folder, shell, end):
    script, is_kept, failure = ENDS[end]
    provide(
        folder,
        a_sh="export A=1; unset SHELL; echo a >> $LIST",
        b_sh=f"export B=1; {script}",
        c_sh="export C=$A; echo c >> $LIST",
        d="#!/bin/sh\necho d >> $LIST",
    )
    done = run(folder, environ={"LIST": str(folder.parent / "list")})
    del done.context.environ["LIST"]
    assert done.changes == {"A": "1", "C": "1", **({"B": "1"} if is_kept else {})}
    hook = f"the hook '{folder}/b.sh' "
    loss = "" if is_kept else ", and what it exported is lost"
    assert done.reports[-1] == (f"{hook}has ended the shell that hooks share{loss}{IN_A_NEW_ONE}")
    assert (folder.parent / "list").read_text().split() == ["a", "c", "d"]
    if failure:
        assert done.reports[0].startswith(hook + failure)
        assert done.context.notices == done.reports[:1]
    else:
        assert done.context.notices == []
        assert len(done.reports) == 1


@pytest.mark.parametrize(
    ("name", "script", "how"),
    [
        ("b.sh", "return 3", "failed with status 3"),
        ("b.sh", "false", "failed with status 1"),
        ("b.sh", "no-such-command", "failed with status 127; it said last: "),
        ("b.sh", "if then", "failed with status "),
        ("b", "#!/bin/sh\nexit 3", "failed with status 3"),
        ("b", "#!/bin/sh\nkill -9 $$", "failed with status 137"),
        ("b", "#!/no/such/interpreter", "failed with status 12"),
        ("b", "#!/bin/sh\nbreak; continue; exit 9", "failed with status 9"),
    ],
)
def test_a_hook_that_fails_stops_no_other(folder, shell, name, script, how):
    provide(folder, a_sh="export A=1", **{name.replace(".", "_"): script}, c_sh="export C=1")
    done = run(folder)
    assert done.changes == {"A": "1", "C": "1"}
    assert done.reports[0].startswith(f"the hook '{folder}/{name}' {how}")
    assert done.reports[0].endswith(ALL_THE_SAME)
    assert done.context.notices == done.reports[:1]


def test_what_a_hook_sets_for_itself_does_not_end_the_next(folder, shell):
    provide(folder, a_sh="set -e; export A=1", b_sh="false; export B=1", c_sh="export C=1")
    done = run(folder)
    assert done.reports == []
    assert done.changes == {"A": "1", "B": "1", "C": "1"}


@pytest.mark.parametrize("script", ["break", "continue", "break 9"])
def test_a_hook_does_not_leave_the_others_out(folder, shell, script):
    provide(folder, a_sh="export A=1", b_sh=f"export B=1; {script}", c_sh="export C=1")
    assert run(folder).changes == {"A": "1", "B": "1", "C": "1"}


# What is shown


def test_what_hooks_say_goes_to_the_log_in_order(folder, shell, capfd):
    provide(
        folder,
        a_sh="echo out; echo err >&2; printf 'no end'",
        b="#!/bin/sh\necho; echo b; exit 1",
        c_sh="echo c",
    )
    reports = []

    def report(sentence):
        os.write(2, f"REPORT {sentence}\n".encode())
        reports.append(sentence)

    context = Context("", report, dict(ENVIRON), {})
    hooks.run_hooks(
        RunHooks(folders=(str(folder),), user=ADA, as_root=False, essential=False), context
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["out", "err", "no end", "b", f"REPORT {reports[0]}", "c"]
    assert reports == [f"the hook '{folder}/b' failed with status 1; it said last: b{ALL_THE_SAME}"]


def test_the_last_lines_are_shown(folder, capfd):
    lines = "".join(f"line {number}\\n" for number in range(9))
    provide(folder, a_sh="echo other", b_sh=f"printf '{lines}\\n\\033[31mred\\t\\n'; return 1")
    (report,) = run(folder).reports
    assert "it said last: line 5 | line 6 | line 7 | line 8 | [31mred" in report
    assert "line 4" not in report
    assert "other" not in report


def test_what_is_shown_is_bounded(folder, shell, capfd):
    provide(folder, a_sh="head -c 3000000 /dev/zero | tr '\\0' x; return 1", b_sh="export B=1")
    done = run(folder)
    assert done.changes == {"B": "1"}
    assert len(done.reports[0]) < 1200
    assert capfd.readouterr().err == "x" * 3_000_000


def test_no_secret_of_the_servers_is_shown(folder):
    provide(
        folder,
        a_sh='echo "$JUPYTERHUB_API_TOKEN and $DB_PASSWORD and $KEY_ID and $COLOR"; return 1',
    )
    environ = {"DB_PASSWORD": "s3cret-of-mine", "KEY_ID": "short", "COLOR": "ultramarine"}
    (report,) = run(folder, environ=environ).reports
    assert "it said last: *** and *** and short and ultramarine" in report


def test_nothing_is_shown_of_a_secret_that_begins_with_another(folder):
    provide(folder, a_sh='echo "$LONG_TOKEN"; return 1')
    environ = {"A_TOKEN": "abcdefgh", "LONG_TOKEN": "abcdefgh-ijkl"}
    (report,) = run(folder, environ=environ).reports
    assert report.endswith(f"it said last: ***{ALL_THE_SAME}")


def test_an_essential_hook_that_fails_ends_it(folder, shell, tmp_path):
    provide(
        folder,
        a_sh="export A=1",
        b_sh="echo no licence >&2; return 3",
        c_sh=f"touch {tmp_path}/c",
        d=f"#!/bin/sh\ntouch {tmp_path}/d",
    )
    with pytest.raises(StepError) as caught:
        run(folder, essential=True)
    assert str(caught.value) == (
        f"the hook '{folder}/b.sh' failed with status 3; it said last: no licence"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hooks.d"]


def test_an_essential_hook_that_ends_the_shell_ends_it(folder, shell, tmp_path):
    provide(folder, a_sh="kill -9 $$", b_sh=f"touch {tmp_path}/b")
    with pytest.raises(StepError, match=r"was ended by signal 9$"):
        run(folder, essential=True)
    assert not (tmp_path / "b").exists()


def test_an_image_without_a_shell(folder, monkeypatch):
    monkeypatch.setattr(hooks, "_SHELLS", (("no-such-shell", ()),))
    provide(folder, a_sh="echo")
    with pytest.raises(StepError, match=r"^this image has neither bash nor sh$"):
        run(folder)


def test_an_image_without_bash(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "_SHELL_PLACES", ())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    (tmp_path / "bin/bash").touch()  # and not executable
    provide(folder, a_sh="export A=1")
    path = f"relative:{tmp_path}/bin"
    done = run(folder, environ={"PATH": path})
    assert done.reports == [f"this image has no bash: its hooks are taken by {tmp_path}/bin/sh"]
    assert done.changes == {"A": "1", "PATH": path}


# What they leave running


def test_what_is_left_running_holds_no_start_and_is_still_heard(folder, shell, capfd):
    provide(folder, a_sh="(sleep 1; echo late; sleep 0.3; echo later >&2) &\nexport A=1")
    begin = time.monotonic()
    assert run(folder).changes == {"A": "1"}
    assert time.monotonic() - begin < 0.9
    heard = ""
    while "later" not in heard and time.monotonic() - begin < 20:
        time.sleep(0.1)
        heard += capfd.readouterr().err
    assert heard.splitlines() == ["late", "later"]


# As root


@pytest.fixture
def places(folder, tmp_path):
    """Return a root folder under which all is root's, with a hook that says whether it ran."""
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    shutil.move(folder, root / "opt/hooks.d")
    provide(root / "opt/hooks.d", a_sh=f"touch {tmp_path}/ran; export A=1")
    return root


def run_as_root(root):
    return Run(str(root), ("/opt/hooks.d",), {}, as_root=True)


@only_root
def test_hooks_of_root_know_the_user_and_have_roots_home(places, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    provide(places / "opt/hooks.d", b="#!/bin/sh\npwd; echo $HOME $USER $LOGNAME $NB_USER $NB_UID")
    done = run_as_root(places)
    assert capfd.readouterr().err == "/\n/root root root ada 10001\n"
    assert done.changes == {"A": "1"}
    assert (tmp_path / "ran").exists()


@only_root
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda opt: os.chown(opt / "hooks.d", 10001, 0), "'{opt}/hooks.d' belongs to uid 10001"),
        (lambda opt: (opt / "hooks.d").chmod(0o775), "'{opt}/hooks.d' can be changed by others"),
        (lambda opt: (opt / "hooks.d").chmod(0o1777), "'{opt}/hooks.d' can be changed by others"),
        (lambda opt: opt.chmod(0o757), "'{opt}' can be changed by others than root"),
        (lambda opt: os.chown(opt, 10001, 10001), "'{opt}' belongs to uid 10001 and not to root"),
        (
            lambda opt: os.chown(opt / "hooks.d/a.sh", 10001, 0),
            "'{opt}/hooks.d/a.sh' belongs to uid 10001",
        ),
        (
            lambda opt: (opt / "hooks.d/a.sh").chmod(0o646),
            "'{opt}/hooks.d/a.sh' can be changed by others",
        ),
        (
            lambda opt: (opt / "hooks.d/b.sh").symlink_to("../../home/x.sh"),
            "'{root}/home' belongs to uid 10001",
        ),
        (
            lambda opt: (opt / "hooks.d/b.sh").symlink_to("../chain"),
            "'{root}/home' belongs to uid 10001",
        ),
        (
            lambda opt: os.lchown(opt / "hooks.d/link", 10001, 0),
            "'{opt}/hooks.d/link' belongs to uid 10001",
        ),
        (
            lambda opt: (opt / "hooks.d/b.sh").symlink_to("b.sh"),
            "'{opt}/hooks.d/b.sh' leads through too many links",
        ),
    ],
)
def test_root_runs_nothing_that_others_can_change(places, tmp_path, spoil, problem):
    home = places / "home"
    home.mkdir()
    (home / "x.sh").write_text("touch pwned")
    os.chown(home, 10001, 10001)
    (places / "opt/chain").symlink_to("../home/x.sh")
    (places / "opt/hooks.d/link").symlink_to("a.sh")
    opt = places / "opt"
    spoil(opt)
    with pytest.raises(StepError) as caught:
        run_as_root(places)
    assert str(caught.value).startswith(problem.format(opt=opt, root=places))
    assert not (tmp_path / "ran").exists()


@only_root
def test_root_looks_at_nothing_below_what_is_not_roots(places, monkeypatch):
    home = places / "home"
    home.mkdir()
    os.chown(home, 10001, 10001)
    (places / "opt/hooks.d/b.sh").symlink_to(home / "deep/x.sh")
    looked = []
    for name in ("lstat", "stat", "readlink", "listdir", "access"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, real=real, **k: looked.append(path) or real(path, *a, **k)
        )
    with pytest.raises(StepError):
        run_as_root(places)
    assert [path for path in looked if str(path).startswith(f"{home}/")] == []


@only_root
def test_root_takes_no_shell_of_the_users(places, tmp_path):
    """Images have ~/.local/bin first in PATH."""
    own = tmp_path / "home/.local/bin"
    own.mkdir(parents=True)
    for name in ("bash", "sh"):
        (own / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
        (own / name).chmod(0o755)
    path = f"{own}:{ENVIRON['PATH']}"
    done = Run(str(places), ("/opt/hooks.d",), {"PATH": path}, as_root=True)
    assert done.changes == {"A": "1", "PATH": path}
    assert (tmp_path / "ran").exists()
    assert not (tmp_path / "pwned").exists()


@only_root
def test_a_missing_folder_is_none_for_root_either(places):
    shutil.rmtree(places / "opt")
    done = run_as_root(places)
    assert (done.reports, done.changes) == ([], {})


@only_root
def test_root_follows_links_of_roots(places, tmp_path):
    (places / "opt/elsewhere").mkdir()
    shutil.move(places / "opt/hooks.d/a.sh", places / "opt/elsewhere/x")
    (places / "opt/hooks.d/a.sh").symlink_to("../hooks.d/../elsewhere/./x")
    assert run_as_root(places).changes == {"A": "1"}


# Through a start


def with_hooks(container, document, when="before", **changes):
    folder = container.root / f"{when}.d"
    folder.mkdir()
    document["hooks"].update({when: [str(folder)]}, **changes)
    return folder


def test_a_start_with_hooks(container, direct):
    container.provide(container.home)
    before = with_hooks(container, direct, "before")
    after = with_hooks(container, direct, "after")
    provide(before, a_sh="echo before: $(pwd) ${JHK8S_START_SPEC-none} $KEPT; export FOUND=1")
    provide(after, a_sh='echo after: $(pwd) $(id -u) $FOUND $HOME; export PATH="$HOME/bin:$PATH"')
    container.write_spec(direct)
    bin_folder = container.home / "bin"
    container.provide(bin_folder)
    (bin_folder / "server").write_text("#!/bin/sh\necho server $FOUND\n")
    (bin_folder / "server").chmod(0o755)
    done = container.start("server", KEPT="kept")
    uid = os.getuid() or 10001
    assert done.stderr.splitlines() == [
        "before: / none kept",
        f"after: {container.home} {uid} 1 {container.home}",
    ]
    assert (done.returncode, done.stdout) == (0, "server 1\n")


def test_a_failing_hook_is_told_to_the_user(container, direct):
    container.provide(container.home)
    provide(with_hooks(container, direct), a_sh="return 3")
    container.write_spec(direct)
    done = container.start("sh", "-c", 'echo "$JHK8S_NOTICES"')
    sentence = f"the hook '{container.root}/before.d/a.sh' failed with status 3{ALL_THE_SAME}"
    assert (done.returncode, done.stderr) == (0, f"jhk8s-start: {sentence}\n")
    assert json.loads(done.stdout) == [sentence]


def test_an_essential_hook_ends_the_start(container, direct):
    container.provide(container.home)
    folder = with_hooks(container, direct, essential=True)
    provide(folder, a_sh="echo no licence server; return 3")
    container.write_spec(direct)
    done = container.start("true")
    sentence = (
        f"hooks.before: cannot run the hooks in {folder}: the hook '{folder}/a.sh' failed with "
        "status 3; it said last: no licence server"
    )
    assert (done.returncode, done.stdout) == (FAILED_HOOK, "")
    assert done.stderr == f"no licence server\njhk8s-start: {sentence}\n"
    assert container.termination_log.read_text() == sentence


@only_root
def test_a_hook_that_the_user_may_not_read(container, direct):
    container.provide(container.home)
    folder = with_hooks(container, direct)
    provide(folder, a_sh="export A=1", b_sh="export B=1")
    (folder / "a.sh").chmod(0o600)
    container.write_spec(direct)
    done = container.start("sh", "-c", 'echo "$A$B"')
    assert done.stdout == "1\n"
    assert "Permission denied" in done.stderr
    assert f"the hook '{folder}/a.sh' failed with status 1" in done.stderr


def test_the_script_is_a_good_one():
    script = hooks.__file__.replace("hooks.py", "hooks.sh")
    subprocess.run(["sh", "-n", script], check=True)
    if shutil.which("shellcheck"):  # `make lint` has it, for certain
        subprocess.run(["shellcheck", script], check=True)
