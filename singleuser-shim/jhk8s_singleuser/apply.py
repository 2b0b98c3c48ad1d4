"""Carry out a plan's steps on the file system, in order."""

from __future__ import annotations

import errno
import json
import os

from .actions import (
    AllowSudo,
    BecomeUser,
    ChangeDirectory,
    CopySkeleton,
    MakeDirectories,
    MakeHome,
    MakeLink,
    MoveAside,
    RunHooks,
    SetUmask,
    TryWriting,
    UseDirectory,
    WriteAccounts,
    WriteFiles,
    WriteGitCredentials,
    WriteNotice,
)
from .context import Context, StepError
from .directories import make_all, make_home, try_writing, use_directory
from .exits import (
    HOME_FULL,
    HOME_MISSING,
    HOME_NOT_PERMITTED,
    HOME_OVER_QUOTA,
    StartError,
)
from .links import make_link, move_out_of_use
from .notice import write_notice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .actions import Action, Plan, Step

_NOTICES = "JHK8S_NOTICES"
#: Action to the number of an error to an exit code that says more than the step's own.
_EXIT_CODES: dict[type, dict[int, int]] = {
    UseDirectory: {
        errno.ENOENT: HOME_MISSING,
        errno.ENOTDIR: HOME_MISSING,
        errno.EACCES: HOME_NOT_PERMITTED,
        errno.EPERM: HOME_NOT_PERMITTED,
    },
    MakeHome: {errno.ENOSPC: HOME_FULL, errno.EDQUOT: HOME_OVER_QUOTA},
}
_NOTICES_CHARACTERS = 8000  # the kernel takes 128 KiB in one variable, and a page less


def apply_plan(
    plan: Plan,
    root: str,
    report: Callable[[str], None],
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
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
    given
        The environment of the container, for steps that need what the server does not get.

    Returns
    -------
    dict
        The server's environment: the plan's, as the steps have changed it. ``JHK8S_NOTICES`` is a
        JSON list of the sentences that the user should read in the server's page.

    Raises
    ------
    StartError
        Where an essential step failed, with that step's exit code.
    """
    context = Context(root.rstrip("/"), report, dict(plan.environ), given)
    for warning in plan.warnings:
        context.notify(warning)
    for step in plan.steps:
        _take_step(step, context)
    if context.without_room:
        from .elsewhere import keep_elsewhere  # noqa: PLC0415 - hardly any start needs it

        keep_elsewhere(context)
    if context.notices:
        context.environ[_NOTICES] = _dump_notices(context.notices)
    return context.environ


def _dump_notices(notices: list[str]) -> str:
    """Write as many as fit, from the first one on, and how many others there are."""
    text = ""
    for count in range(len(notices) + 1):
        left = len(notices) - count
        longer = json.dumps([*notices[:count], *([f"{left} more in the log"] if left else [])])
        if len(longer) > _NOTICES_CHARACTERS:
            break
        text = longer
    return text


def _take_step(step: Step, context: Context) -> None:
    try:
        _perform(step.action, context)
    except (OSError, StepError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        sentence = f"{step.origin}: cannot {step.purpose}: {reason}"
        if step.exit_code is not None:
            raise StartError(sentence, _exit_code(step, step.exit_code, error)) from error
        context.notify(f"{sentence}; the server starts all the same")


def _exit_code(step: Step, own: int, error: OSError | StepError) -> int:
    """Tell apart what an administrator does something else about."""
    codes = _EXIT_CODES.get(type(step.action), {})
    return codes.get(error.errno or 0, own) if isinstance(error, OSError) else own


def _perform(action: Action, context: Context) -> None:
    perform = _PERFORMERS.get(type(action))
    if perform is None:
        raise TypeError(f"no step is known that does {action!r}")
    perform(action, context)


def _change_directory(action: ChangeDirectory, context: Context) -> None:
    os.chdir(context.root + action.path)


def _set_umask(action: SetUmask, _: Context) -> None:
    os.umask(action.umask)


# What most starts do without is imported by those that do not: reading a module takes a
# millisecond of every start.


def _write_accounts(action: WriteAccounts, context: Context) -> None:
    from .accounts import write_accounts  # noqa: PLC0415

    write_accounts(action, context)


def _allow_sudo(action: AllowSudo, context: Context) -> None:
    from .sudo import allow_sudo  # noqa: PLC0415

    allow_sudo(action, context)


def _become_user(action: BecomeUser, context: Context) -> None:
    from .identity import become_user  # noqa: PLC0415

    become_user(action, context)


def _run_hooks(action: RunHooks, context: Context) -> None:
    from .hooks import run_hooks  # noqa: PLC0415

    run_hooks(action, context)


def _copy_skeleton(action: CopySkeleton, context: Context) -> None:
    from .files import copy_skeleton  # noqa: PLC0415

    copy_skeleton(action, context)


def _write_files(action: WriteFiles, context: Context) -> None:
    from .files import write_files  # noqa: PLC0415

    write_files(action, context)


def _write_git_credentials(action: WriteGitCredentials, context: Context) -> None:
    from .git_credentials import write_git_credentials  # noqa: PLC0415

    write_git_credentials(action, context)


_PERFORMERS: dict[type, Callable[..., None]] = {
    UseDirectory: use_directory,
    TryWriting: try_writing,
    MakeHome: make_home,
    MakeDirectories: make_all,
    MoveAside: move_out_of_use,
    MakeLink: make_link,
    WriteNotice: write_notice,
    ChangeDirectory: _change_directory,
    SetUmask: _set_umask,
    WriteAccounts: _write_accounts,
    AllowSudo: _allow_sudo,
    BecomeUser: _become_user,
    RunHooks: _run_hooks,
    CopySkeleton: _copy_skeleton,
    WriteFiles: _write_files,
    WriteGitCredentials: _write_git_credentials,
}
