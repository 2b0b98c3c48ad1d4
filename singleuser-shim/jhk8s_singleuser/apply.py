"""Carry out a plan's steps on the file system, as the user.

Every action can be interrupted anywhere and repeated: a container that is restarted finds the home
that the one before it left.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH112, PTH115, PTH116, PTH120, PTH123, PTH211
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os
import stat

from .exits import StartError
from .plan import (
    ChangeDirectory,
    MakeDirectories,
    MakeHome,
    MakeLink,
    MoveAside,
    UseDirectory,
    WriteNotice,
)
from .spec import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Action, Plan, Step

_HOME_MODE = 0o700
_HOME_PARENT_MODE = 0o755
_NOTICE_MODE = 0o644


class StepError(Exception):
    """An action that the system would allow and that the shim declines, and why."""


def apply_plan(plan: Plan, root: str, report: Callable[[str], None]) -> None:
    """Take the steps of a plan in order.

    Parameters
    ----------
    plan
        What to do. Its command is not started here.
    root
        The directory that stands for ``/``: ``/`` itself, or a test's temporary directory.
    report
        Is called with a sentence for each warning, each thing moved aside and each optional step
        that failed.

    Raises
    ------
    StartError
        Where an essential step failed, with that step's exit code.
    """
    for warning in plan.warnings:
        report(warning)
    for step in plan.steps:
        _take_step(step, root, report)


def _take_step(step: Step, root: str, report: Callable[[str], None]) -> None:
    try:
        _perform(step.action, root.rstrip("/"), report)
    except (OSError, StepError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        sentence = f"{step.origin}: cannot {step.purpose}: {reason}"
        if step.exit_code is not None:
            raise StartError(sentence, step.exit_code) from error
        report(f"{sentence}; the server starts all the same")


def _perform(action: Action, root: str, report: Callable[[str], None]) -> None:
    if isinstance(action, UseDirectory):
        _use_directory(root + action.path)
    elif isinstance(action, MakeHome):
        _make_home(root + action.path, action.uid)
    elif isinstance(action, MakeDirectories):
        _make_directories(root + action.path, action.mode)
    elif isinstance(action, MoveAside):
        _move_out_of_use(root + action.directory, action.name, action.today, report)
    elif isinstance(action, MakeLink):
        home, target = root + action.home, root + action.target
        _make_link(home, action.name, target, action.today, report)
    elif isinstance(action, WriteNotice):
        _write_notice(root + action.path, action.text)
    elif isinstance(action, ChangeDirectory):
        os.chdir(root + action.path)
    else:
        raise TypeError(f"no step is known that does {action!r}")


def _use_directory(path: str) -> None:
    os.stat(f"{path}/.")  # fails where the directory may not be entered
    os.scandir(path).close()  # fails where it may not be listed


def _make_home(path: str, uid: int) -> None:
    _make_directories(os.path.dirname(path), _HOME_PARENT_MODE)
    if _lstat(path) is None:
        _make_directory(path, _HOME_MODE)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise StepError("something that is not a directory is there")
    if status.st_uid != uid:
        raise StepError(f"it is there already and belongs to uid {status.st_uid}")
    if stat.S_IMODE(status.st_mode) != _HOME_MODE:
        os.chmod(path, _HOME_MODE)


def _make_directories(path: str, mode: int) -> None:
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent != path:
        _make_directories(parent, mode)
    try:
        _make_directory(path, mode)
    except FileExistsError:
        # Another server of this user may have been quicker.
        if not os.path.isdir(path):
            raise StepError(f"{path} is not a directory") from None


def _make_directory(path: str, mode: int) -> None:
    """Make a directory with `mode` in one call, whatever the umask.

    A chmod afterwards would be lost to a kill in between, and would take away the setgid bit that
    group directories hand down.
    """
    umask = os.umask(0)
    try:
        os.mkdir(path, mode)
    finally:
        os.umask(umask)


def _move_out_of_use(directory: str, name: str, today: str, report: Callable[[str], None]) -> None:
    """Move aside what the user does not want in this start.

    A link is moved itself, wherever it leads. One on the way is followed inside of `directory`
    alone: nobody expects that something elsewhere is moved. Who changes it meanwhile is the same
    user, and gains nothing.
    """
    if name == ".":
        raise StepError("it is all that lasts")
    parent, _, last = f"{directory}/{name}".rpartition("/")
    try:
        os.lstat(f"{parent}/{last}")
    except (FileNotFoundError, NotADirectoryError):
        return
    real_parent = os.path.realpath(parent)
    if not is_within(real_parent, os.path.realpath(directory)):
        raise StepError(f"{parent} leads out of {directory}")
    path = f"{real_parent}/{last}"
    if _holds_mount(path):
        raise StepError("something is mounted there, which would be moved along")
    try:
        aside = _move_aside(path, today)
    except FileNotFoundError:
        return  # another server of this user was quicker
    report(f"{path} was moved aside for this start and is now {aside!r}")


def _holds_mount(path: str) -> bool:
    """Tell whether something is mounted at a path, or below it."""
    # As proc(5) has it.
    for character in "\\ \t\n":
        path = path.replace(character, f"\\{ord(character):03o}")
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        return any(is_within(line.split(" ")[4], path) for line in file)


def _make_link(
    home: str, name: str, target: str, today: str, report: Callable[[str], None]
) -> None:
    *parents, last = name.split("/")
    directory = home
    for parent in parents:
        directory = f"{directory}/{parent}"
        status = _lstat(directory)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            _make_way(directory, today, report)
            status = None
        if status is None:
            _make_directory(directory, _HOME_MODE)
    link = f"{directory}/{last}"
    status = _lstat(link)
    if status is not None and stat.S_ISLNK(status.st_mode):
        if os.readlink(link) == target:
            return
        os.unlink(link)
    elif status is not None:
        _make_way(link, today, report)
    os.symlink(target, link)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _make_way(path: str, today: str, report: Callable[[str], None]) -> None:
    aside = _move_aside(path, today)
    report(f"{path} was in the way of a link to what lasts and is now {aside!r}")


def _move_aside(path: str, today: str) -> str:
    """Give something a name that nothing else has, and return that."""
    aside = f"{path} (moved {today})"
    count = 1
    while _lstat(aside) is not None:
        count += 1
        aside = f"{path} (moved {today}, {count})"
    os.rename(path, aside)
    return aside


def _write_notice(path: str, text: str) -> None:
    content = text.encode()
    status = _lstat(path)
    if status is not None:
        if not stat.S_ISREG(status.st_mode):
            return  # the user's own; the notice is not worth moving it
        with open(path, "rb") as file:
            if file.read() == content:
                return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, _NOTICE_MODE), "wb") as file:
        file.write(content)
