"""Hooks of the image: files that prepare the server's environment, as Jupyter Docker Stacks has it.

All of them share one shell, as there: what one exports or unsets counts for those after it and for
the server. The shim itself stays where it is and what it is, whatever a hook does to its shell.
"""

# ruff: noqa: PTH113, PTH115, PTH208
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os
import stat

from .context import StepError
from .hook_shell import run_shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .actions import RunHooks
    from .context import Context
    from .hook_shell import Ended, Telling

#: What hooks do not change: who the user is, and what belongs to the shell they run in.
_KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_")
#: What tells them whom they work for, by the names of Jupyter Docker Stacks.
_FOR_HOOKS = ("NB_USER", "NB_UID", "NB_GID")
_DROPPED = ("JHK8S_", "_jhk8s_", "SUDO_")
_ROOTS = {"HOME": "/root", "USER": "root", "LOGNAME": "root"}
_SHELL_PLACES = ("/bin", "/usr/bin", "/usr/local/bin")
#: Nothing but the caller's environment reaches a bash with -p: no BASH_ENV, no file of the user's.
_SHELLS = (("bash", ("-p",)), ("sh", ()))
_LAST_LINES = 5
_LAST_CHARACTERS = 800
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSW", "KEY", "CREDENTIAL")
_SECRET_CHARACTERS = 8  # to look for anything shorter would tear words apart
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # what the kernel follows


def run_hooks(action: RunHooks, context: Context) -> None:
    """See `RunHooks`."""
    hooks = tuple(_find_hooks(action, context))
    if not hooks:
        return
    shell = _find_shell(action, context)
    environ = _build_environ(action, context)
    while hooks:
        turn = _Turn(hooks, environ, action, context)
        ended = run_shell(shell, hooks, "/" if action.as_root else "", environ, turn.listen)
        turn.close(ended)
        hooks, environ = hooks[turn.count :], turn.environ
        _take_over(environ, context)


def _find_hooks(action: RunHooks, context: Context) -> Iterator[str]:
    for folder in action.folders:
        path = context.root + folder
        if action.as_root:
            _check_is_roots(path, context.root)
        try:
            names = os.listdir(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            _fail(f"the hooks in {path!r} cannot be listed: {error.strerror}", action, context)
            continue
        for name in sorted(names, key=os.fsencode):
            # As a shell's * has it; and Kubernetes keeps some of its own in a mounted ConfigMap.
            if name.startswith("."):
                continue
            hook = f"{path}/{name}"
            if action.as_root:
                _check_is_roots(hook, context.root)
            if os.path.isfile(hook) and (name.endswith(".sh") or os.access(hook, os.X_OK)):
                yield hook
            else:
                context.report(f"{hook!r} is neither a .sh file nor executable, and is left out")


def _check_is_roots(path: str, root: str) -> None:
    """Refuse what somebody other than root could change, or put something else in its place.

    From the top downwards, link by link, so that nothing is looked at below a folder that is not
    root's. Folders above `root`, which are a test's, are left out.
    """
    place, links = root, 0
    names = path[len(root) :].split("/")[::-1]
    while names:
        name = names.pop()
        if name == "..":
            place = place.rpartition("/")[0]
        if name in {"", ".", ".."}:
            continue
        here = f"{place}/{name}"
        try:
            status = os.lstat(here)
        except FileNotFoundError:
            return  # nothing to be run
        if status.st_uid != 0:
            raise StepError(f"{here!r} belongs to uid {status.st_uid} and not to root")
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise StepError(f"{path!r} leads through too many links")
            target = os.readlink(here)
            place = "" if target.startswith("/") else place
            names += target.split("/")[::-1]
            continue
        if status.st_mode & _BY_OTHERS:
            raise StepError(f"{here!r} can be changed by others than root")
        place = here


def _find_shell(action: RunHooks, context: Context) -> tuple[str, ...]:
    # PATH may name folders of the user's, such as ~/.local/bin, and root runs nothing of those.
    places = () if action.as_root else context.environ.get("PATH", "").split(":")
    folders = (*places, *_SHELL_PLACES)
    for name, options in _SHELLS:
        for folder in folders:
            path = f"{folder}/{name}"
            if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
                if name != _SHELLS[0][0]:
                    context.report(f"this image has no bash: its hooks are taken by {path}")
                return (path, *options)
    raise StepError("this image has neither bash nor sh")


def _build_environ(action: RunHooks, context: Context) -> dict[str, str]:
    user, environ = action.user, context.environ
    # A program that root runs reads its configuration from HOME, and the user's is the user's.
    owner = _ROOTS if action.as_root else {"HOME": context.root + environ["HOME"]}
    about = (user.name, str(user.uid), str(user.gid))
    return {**environ, **owner, **dict(zip(_FOR_HOOKS, about))}


def _take_over(found: Mapping[str, str], context: Context) -> None:
    """Give the server the environment that hooks have left."""
    before = dict(context.environ)
    context.environ.clear()
    for name, value in found.items():
        if not name.startswith(_DROPPED):
            context.environ[name] = value
    for name in (*_KEPT, *_FOR_HOOKS):
        context.environ.pop(name, None)
    for name, value in before.items():
        # No shell can change a name such as "a.b", and some do not hand it on.
        if name in _KEPT or name in _FOR_HOOKS or not (name.isascii() and name.isidentifier()):
            context.environ.setdefault(name, value)


class _Turn:
    """What one shell does with the hooks that are left.

    ``count`` is how many of them it has taken, ``environ`` what they have left.
    """

    def __init__(
        self, hooks: Sequence[str], environ: dict[str, str], action: RunHooks, context: Context
    ) -> None:
        self.count = 0
        self.environ = environ
        self._hooks = hooks
        self._action = action
        self._context = context
        self._has_exited = False
        self._refusal: StepError | None = None

    def listen(self, telling: Telling) -> bool:
        """Take note of a hook that was taken, and say whether to go on."""
        self.count = telling.index + 1
        self.environ = telling.environ
        self._has_exited = telling.has_exited
        try:
            self._judge(self._hooks[telling.index], telling.status, telling.said)
        except StepError as error:
            self._refusal = error
            return False
        if telling.has_exited:
            self._tell_of_exit(self._hooks[telling.index], "")
        return True

    def close(self, ended: Ended) -> None:
        """Take note of how the shell has ended.

        Raises
        ------
        StepError
            Where a hook has failed, and none shall.
        """
        if self._refusal is not None:
            raise self._refusal
        if self.count < len(self._hooks) and not self._has_exited:
            # By exec, a signal or a trap of its own: nothing was told.
            hook = self._hooks[self.count]
            self.count += 1
            self._judge(hook, ended.status, ended.said)
            self._tell_of_exit(hook, ", and what it exported is lost")

    def _judge(self, hook: str, status: int, said: bytes) -> None:
        if status == 0:
            return
        how = f"failed with status {status}" if status > 0 else f"was ended by signal {-status}"
        lines = _last_lines(said, self._context.environ)
        _fail(
            f"the hook {hook!r} {how}" + (f"; it said last: {lines}" if lines else ""),
            self._action,
            self._context,
        )

    def _tell_of_exit(self, hook: str, loss: str) -> None:
        self._context.report(
            f"the hook {hook!r} has ended the shell that hooks share{loss}; those after it run in "
            "a new one"
        )


def _fail(sentence: str, action: RunHooks, context: Context) -> None:
    if action.essential:
        raise StepError(sentence)
    context.notify(f"{sentence}; the server starts all the same")


def _last_lines(said: bytes, environ: Mapping[str, str]) -> str:
    """Make one line of the last ones, without what looks like a secret of the server's."""
    text = said.decode(errors="replace")
    # The longest first: one may be how another begins, whose rest would stay.
    for name, value in sorted(environ.items(), key=lambda pair: -len(pair[1])):
        is_secret = any(word in name.upper() for word in _SECRET_WORDS)
        if is_secret and len(value) >= _SECRET_CHARACTERS:
            text = text.replace(value, "***")
    lines = ("".join(filter(str.isprintable, line)).strip() for line in text.splitlines())
    return " | ".join([line for line in lines if line][-_LAST_LINES:])[-_LAST_CHARACTERS:]
