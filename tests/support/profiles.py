"""Profiles, drawn or made to order."""

import re

from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity import Group, Profile
from jhk8s_ext.identity.ids import MAX_ID
from jhk8s_ext.identity.names import check_username, sanitise_group_names

#: Characters that mean something to a file format, a template or a terminal.
AWKWARD = "\n\r\0\t:,;{}$%'\"\\/ \x1b\x85\u2028\u202e&"


def make_profile(**changes):
    """Return Ada's profile, with changes."""
    fields = {
        "username": "ada",
        "uid": 10001,
        "gid": 10001,
        "groups": (Group("ada", 10001), Group("cs101", 20101)),
        "home": "/home/ada",
        "shell": "/bin/bash",
        "full_name": "Ada Lovelace",
        "email": "ada@example.edu",
        "source": "ldap",
        "subject": "uid=ada,ou=people,dc=example,dc=edu",
    }
    return Profile(**fields | changes)


def make_groups(count):
    """Return Ada's own group and many more."""
    others = (Group(f"course-{number:05}", 20000 + number) for number in range(1, count))
    return (Group("ada", 10001), *others)


def is_username(name):
    try:
        check_username(name)
    except IdentityError:
        return False
    return True


ids = st.integers(min_value=1, max_value=MAX_ID)
awkward_text = st.text(st.sampled_from(AWKWARD) | st.characters(), max_size=60)
usernames = st.from_regex(re.compile(r"[a-z0-9_][a-z0-9_.-]{0,31}"), fullmatch=True).filter(
    is_username
)
path_segments = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="/:"), min_size=1, max_size=20
).filter(lambda segment: segment not in (".", ".."))


@st.composite
def profiles(draw):
    """Draw any profile whatever."""
    username = draw(usernames)
    named = draw(st.lists(st.tuples(awkward_text, ids), min_size=1, max_size=8))
    groups = sanitise_group_names(named)
    return Profile(
        username=username,
        uid=draw(ids),
        gid=next(iter(groups)),
        groups=tuple(Group(name, gid) for gid, name in groups.items()),
        home=f"/{draw(path_segments)}/{draw(path_segments)}",
        shell=f"/{draw(path_segments)}",
        full_name=draw(awkward_text),
        email=draw(awkward_text),
        source=draw(st.text(min_size=1, max_size=10)),
        subject=draw(st.text(min_size=1, max_size=60)),
    )
