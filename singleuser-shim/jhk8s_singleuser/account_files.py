"""The text of passwd(5) and group(5) with one more account: from the old text to the new.

The rules, for accounts as for groups:

- The user's own entry has its name and its id, whatever the image says.
- Another entry of that name is kept under another one, ``NAME-ID``.
- Another entry of that id is kept, after the user's: who looks for the id finds the user.
- Everything else stays as it is and where it is, lines that nobody can read included.

What is written is left as it is when it is read again. Entries are read as glibc reads them.
"""

from __future__ import annotations

import re

from .context import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .spec import Group, User

#: Nobody has this password, and PAM finds the account good without /etc/shadow, where it has no
#: line: with the usual "x" sudo refuses it.
_NO_PASSWORD = "*"  # noqa: S105 - for want of one

_USER_ID = 2  # the number of the field
_GROUP_ID = 2
_MEMBERS = 3
# What glibc's strtoul(3) takes, up to the end of the field.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
_HIGHEST_NUMBER = 2**32 - 1
_BLANKS = " \t\n\v\f\r"
#: With these a line is a comment, or asks NIS for entries.
_NO_FIRST_CHARACTERS = "#+-"


def add_user(text: str, user: User, home: str) -> tuple[str, str | None]:
    """Add the user to the text of /etc/passwd.

    Parameters
    ----------
    text
        Of the file.
    user
        Of the start spec.
    home
        The home directory.

    Returns
    -------
    str
        The new text.
    str or None
        What an account that had the user's name is called now, if there is one.

    Raises
    ------
    StepError
        If a field cannot stand in the file, or the user's name is that of root.
    """
    _check_name("user.name", user.name)
    for where, field in (
        ("home.path", home),
        ("user.shell", user.shell),
        ("user.full_name", user.full_name),
    ):
        _check_field(where, field, ":\n")
    lines = _split(text)
    names = {_name(line) for line in lines} | {user.name}
    kept: list[str] = []
    called_now = None
    is_taken = False
    for line in lines:
        entry = _parse(line, (_USER_ID, _USER_ID + 1))
        if entry is None or entry[0] != user.name:
            kept.append(line)
        elif entry[1] == user.uid:
            is_taken = True  # the user's own, or what stands for it
        else:
            name = _other_name("user.name", entry, names)
            kept.append(_renamed(line, name))
            if not is_taken and called_now is None:
                called_now = name
    fields = (user.name, _NO_PASSWORD, user.uid, user.gid, user.full_name, home, user.shell)
    own = ":".join(map(str, fields))
    place = _place(kept, (_USER_ID, _USER_ID + 1), {user.uid})
    return _join([*kept[:place], own, *kept[place:]]), called_now


def add_groups(text: str, user: User, called_now: str | None) -> str:
    """Add the user's groups to the text of /etc/group, with the user as a member of each.

    Parameters
    ----------
    text
        Of the file.
    user
        Of the start spec.
    called_now
        What an account of the image that had the user's name is called now: members of that name
        are that account.

    Returns
    -------
    str
        The new text.

    Raises
    ------
    StepError
        If a name cannot stand in the file, or is that of root's group.
    """
    for index, group in enumerate(user.groups):
        _check_name(f"user.groups[{index}].name", group.name)
    lines = _split(text)
    if called_now is not None:
        lines = [_with_member_renamed(line, user, called_now) for line in lines]
    own = {(group.name, group.gid): group for group in user.groups}
    own_names = {group.name: f"user.groups[{i}].name" for i, group in enumerate(user.groups)}
    names = {_name(line) for line in lines} | own_names.keys()
    old: dict[tuple[str, int], list[str]] = {key: [] for key in own}
    kept: list[str] = []
    for line in lines:
        entry = _parse(line, (_GROUP_ID,))
        if entry in old:
            old[entry].append(line)
        elif entry is not None and entry[0] in own_names:
            kept.append(_renamed(line, _other_name(own_names[entry[0]], entry, names)))
        else:
            kept.append(line)
    new = [_group_line(group, old[key], user.name) for key, group in own.items()]
    place = _place(kept, (_GROUP_ID,), {group.gid for group in user.groups})
    return _join([*kept[:place], *new, *kept[place:]])


def _group_line(group: Group, old: Sequence[str], username: str) -> str:
    password = old[0].split(":")[1] if old else _NO_PASSWORD
    members = dict.fromkeys([*(name for line in old for name in _members(line)), username])
    return f"{group.name}:{password}:{group.gid}:{','.join(members)}"


def _with_member_renamed(line: str, user: User, name: str) -> str:
    entry = _parse(line, (_GROUP_ID,))
    members = _members(line)
    # Of a group that is the user's already, the user is the member.
    if entry is None or user.name not in members or _is_own(entry, user.groups):
        return line
    fields = line.split(":")
    fields[_MEMBERS] = ",".join(name if each == user.name else each for each in members)
    return ":".join(fields)


def _is_own(entry: tuple[str, int], groups: Sequence[Group]) -> bool:
    return any((group.name, group.gid) == entry for group in groups)


def _members(line: str) -> list[str]:
    fields = line.split(":")
    names = fields[_MEMBERS].split(",") if len(fields) > _MEMBERS else []
    return [name.strip(_BLANKS) for name in names if name.strip(_BLANKS)]


def _split(text: str) -> list[str]:
    lines = text.split("\n")  # and at nothing else: str.splitlines knows ten ends of a line
    return lines if lines[-1] else lines[:-1]


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _name(line: str) -> str:
    return line.lstrip(_BLANKS).partition(":")[0]


def _parse(line: str, numbers: Sequence[int]) -> tuple[str, int] | None:
    """Return the name and the id of an entry, None where the line is none.

    Parameters
    ----------
    line
        Of the file.
    numbers
        Which fields are ids; the first of them is the entry's own.
    """
    line = line.lstrip(_BLANKS)
    fields = line.split(":")
    if not line or line[0] in _NO_FIRST_CHARACTERS or len(fields) <= numbers[-1]:
        return None
    texts = [fields[index] for index in numbers]
    if not all(_NUMBER.fullmatch(text) and 0 <= int(text) <= _HIGHEST_NUMBER for text in texts):
        return None
    return fields[0], int(texts[0])


def _place(lines: Sequence[str], numbers: Sequence[int], ids: set[int]) -> int:
    """Find where an entry is met before any other of these ids, and before NIS is asked."""
    for index, line in enumerate(lines):
        entry = _parse(line, numbers)
        if line.lstrip(_BLANKS)[:1] in {"+", "-"} or (entry is not None and entry[1] in ids):
            return index
    return len(lines)


def _renamed(line: str, name: str) -> str:
    return f"{name}:{line.partition(':')[2]}"


def _other_name(where: str, entry: tuple[str, int], taken: set[str]) -> str:
    name, number = entry
    if number == 0:
        raise StepError(f"{where}: {name!r} is the name of root in this image")
    candidate = f"{name}-{number}"
    count = 1
    while candidate in taken:
        count += 1
        candidate = f"{name}-{number}-{count}"
    taken.add(candidate)
    return candidate


def _check_name(where: str, name: str) -> None:
    _check_field(where, name, ":,\n")
    if name[0] in _NO_FIRST_CHARACTERS or name[0].isspace():
        raise StepError(f"{where}: {name!r} begins with {name[0]!r}, which an account file forbids")


def _check_field(where: str, field: str, forbidden: str) -> None:
    for character in forbidden:
        if character in field:
            raise StepError(
                f"{where}: {field!r} holds {character!r}, which ends a field of an account file"
            )
