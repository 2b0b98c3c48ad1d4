"""The user's account in the image's own files."""

from __future__ import annotations

from .account_files import add_groups, add_user
from .system_files import read_file, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .actions import WriteAccounts
    from .context import Context


def write_accounts(action: WriteAccounts, context: Context) -> None:
    """See `WriteAccounts`; `account_files` has the rules.

    A file that says already what it should is not written.
    """
    etc = f"{context.root}/etc"
    passwd, group = read_file(f"{etc}/passwd"), read_file(f"{etc}/group")
    new_passwd, called_now = add_user(passwd or "", action.user, action.home)
    new_group = add_groups(group or "", action.user, called_now)
    # The groups first: as long as passwd is the old one, the next start knows whose account was
    # renamed, and gives the memberships to the same one.
    for path, old, new in (
        (f"{etc}/group", group, new_group),
        (f"{etc}/passwd", passwd, new_passwd),
    ):
        if new != old:
            replace_file(path, new)
