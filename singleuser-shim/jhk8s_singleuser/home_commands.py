"""What the shim does with homes on the volume of all homes, in containers of their own.

::

    --make-home PATH --below DIR --uid N --gid N --mode 0700
    --archive-home PATH --below DIR --uid N --to PATH
    --set-aside-home PATH --below DIR --uid N --to PATH
    --empty-home PATH --below DIR --uid N
    --remove-home PATH --below DIR --uid N

``DIR`` is where the volume is mounted, and each ``PATH`` is relative to it.
"""

from __future__ import annotations

from .exits import BAD_SPEC, StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS = {
    "--make-home": {"--below", "--uid", "--gid", "--mode"},
    "--archive-home": {"--below", "--uid", "--to"},
    "--set-aside-home": {"--below", "--uid", "--to"},
    "--empty-home": {"--below", "--uid"},
    "--remove-home": {"--below", "--uid"},
}
_OCTAL, _DECIMAL = 8, 10


def run_home_command(arguments: Sequence[str]) -> None:
    """Do what the arguments say.

    Raises
    ------
    StartError
        If that is not possible, or they are not as above.
    """
    options = dict(zip(arguments[::2], arguments[1::2]))
    command = arguments[0]
    known = {command, *_OPTIONS.get(command, ())}
    if command not in _OPTIONS or len(arguments) % 2 or options.keys() != known:
        raise StartError(f"{command} got other arguments than it has: {arguments!r}", BAD_SPEC)
    path, uid = _inner_path(options[command]), _number(options["--uid"])
    if command == "--make-home":
        from .homes import NewHome, make_home  # noqa: PLC0415 - only what is needed is read

        gid, mode = _number(options["--gid"]), _number(options["--mode"], _OCTAL)
        make_home(NewHome(below=options["--below"], path=path, uid=uid, gid=gid, mode=mode))
        return
    from . import home_removal as removal  # noqa: PLC0415 - likewise

    home = removal.OldHome(below=options["--below"], path=path, uid=uid)
    if command == "--archive-home":
        removal.archive_home(home, _inner_path(options["--to"]))
    elif command == "--set-aside-home":
        removal.set_aside(home, _inner_path(options["--to"]))
    elif command == "--empty-home":
        removal.empty_home(home)
    else:
        removal.remove_home(home)


def _number(text: str, base: int = _DECIMAL) -> int:
    if not text or text.strip("01234567" if base == _OCTAL else "0123456789"):
        raise StartError(f"{text!r} is not a number, as is needed here", BAD_SPEC)
    return int(text, base)


def _inner_path(text: str) -> str:
    if any(part in {"", ".", ".."} for part in text.split("/")):
        raise StartError(f"{text!r} is not a path inside the volume of homes", BAD_SPEC)
    return text
