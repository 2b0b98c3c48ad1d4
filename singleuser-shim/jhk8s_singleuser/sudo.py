"""Whether the user may become root by sudo."""

# ruff: noqa: PTH112
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os

from .system_files import remove_file, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .actions import AllowSudo
    from .context import Context

_FOLDER = "/etc/sudoers.d"
_FILE = f"{_FOLDER}/jhk8s"
_MODE = 0o440  # sudo refuses others
#: Where images have it. PATH may name folders of the user's, in which root has no business.
_PROGRAMS = ("/usr/bin/sudo", "/bin/sudo", "/usr/local/bin/sudo")


def allow_sudo(action: AllowSudo, context: Context) -> None:
    """See `AllowSudo`."""
    path = context.root + _FILE
    if action.uid is None:
        remove_file(path)
        return
    programs = (context.root + program for program in _PROGRAMS)
    if not any(map(os.path.exists, programs)) or not os.path.isdir(context.root + _FOLDER):
        context.notify(f"user.sudo: you may use sudo, but this image has none that reads {_FOLDER}")
        return
    # The uid: no name has to be quoted, and none can be mistaken for another word of sudoers(5).
    rule = f"#{action.uid} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    replace_file(path, rule, _MODE)
