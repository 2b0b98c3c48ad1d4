"""What becomes of an image's account files: by the rules, and as the C library reads the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jhk8s_singleuser.account_files import add_groups, add_user
from jhk8s_singleuser.context import StepError
from jhk8s_singleuser.spec import Group, User

from tests.support.account_entries import read_group, read_passwd

ADA = User(
    name="ada",
    uid=10001,
    gid=10001,
    shell="/bin/bash",
    full_name="Ada Lovelace",
    groups=(Group(name="ada", gid=10001), Group(name="cs101", gid=20101)),
    extra_gids=(),
    sudo=False,
)
OWN = "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash"
OWN_GROUPS = ["ada:*:10001:ada", "cs101:*:20101:ada"]


def ada(**changes):
    return User(**{**vars(ADA), **changes})


def lines(*given):
    return "".join(f"{line}\n" for line in given)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", [OWN]),
        # Missing final newline, an empty line.
        ("root:x:0:0::/:/bin/sh", ["root:x:0:0::/:/bin/sh", OWN]),
        ("root:x:0:0::/:/bin/sh\n\n", ["root:x:0:0::/:/bin/sh", "", OWN]),
        # The image has the user, as somebody else has made the account.
        (lines("ada:x:10001:100:A:/x:/bin/zsh", "bob:x:1:1:::"), ["bob:x:1:1:::", OWN]),
        # Another uid.
        (lines("ada:x:1000:100:A:/x:/bin/zsh"), ["ada-1000:x:1000:100:A:/x:/bin/zsh", OWN]),
        (lines("ada:x:1000:100"), ["ada-1000:x:1000:100", OWN]),
        (lines(" ada:x:1000:100"), ["ada-1000:x:1000:100", OWN]),
        (
            lines("ada:x:1000:100::", "ada:x:1000:1::", "ada-1000-2:x:7:7::"),
            ["ada-1000:x:1000:100::", "ada-1000-3:x:1000:1::", "ada-1000-2:x:7:7::", OWN],
        ),
        (
            lines("ada-1000:x:5:5::", "ada:x:1000:100::"),
            ["ada-1000:x:5:5::", "ada-1000-2:x:1000:100::", OWN],
        ),
        # The uid under another name, in all the ways in which a number can be written.
        (
            lines("root:x:0:0::/:", "jovyan:x:10001:100::/home/jovyan:", "bob:x:1:1:::"),
            ["root:x:0:0::/:", OWN, "jovyan:x:10001:100::/home/jovyan:", "bob:x:1:1:::"],
        ),
        (lines("jovyan:x: 10001:100"), [OWN, "jovyan:x: 10001:100"]),
        (lines("jovyan:x:+0010001:100"), [OWN, "jovyan:x:+0010001:100"]),
        # What is no entry to the C library is none here.
        (lines("ada:x:1_000:1::", "ada:x::1::"), ["ada:x:1_000:1::", "ada:x::1::", OWN]),
        (lines("ada:x:1000", "ada", ":"), ["ada:x:1000", "ada", ":", OWN]),
        (lines("ada:x:1000:", "ada:x:1000:x"), ["ada:x:1000:", "ada:x:1000:x", OWN]),
        (lines("ada:x:٣:1::"), ["ada:x:٣:1::", OWN]),
        (lines("#ada:x:1:1::", "  # ada:x:10001:1"), ["#ada:x:1:1::", "  # ada:x:10001:1", OWN]),
        (lines("a\x0bb:x:1:1::\x85\u2028"), ["a\x0bb:x:1:1::\x85\u2028", OWN]),
        # NIS is asked after us.
        (lines("a:x:1:1:::", "+::::::"), ["a:x:1:1:::", OWN, "+::::::"]),
        (lines("-bob", "+", "a:x:1:1:::"), [OWN, "-bob", "+", "a:x:1:1:::"]),
        (lines("+ada:x:10001:1::"), [OWN, "+ada:x:10001:1::"]),
    ],
)
def test_passwd(old, new):
    text, _ = add_user(old, ADA, "/home/ada")
    assert text == lines(*new)
    assert add_user(text, ADA, "/home/ada") == (text, None)


@pytest.mark.parametrize(
    ("old", "called_now"),
    [
        (lines("bob:x:1:1:::"), None),
        (lines("ada:x:10001:1:::"), None),
        (lines("ada:x:1000:1:::"), "ada-1000"),
        (lines("ada:x:1000:1:::", "ada:x:1001:1:::"), "ada-1000"),
        # The first one of a name has it.
        (lines("ada:x:10001:1:::", "ada:x:1000:1:::"), None),
    ],
)
def test_who_had_the_users_name(old, called_now):
    assert add_user(old, ADA, "/home/ada")[1] == called_now


@pytest.mark.parametrize(
    ("old", "called_now", "new"),
    [
        ("", None, OWN_GROUPS),
        (lines("users:x:100:", "root:x:0:"), None, ["users:x:100:", "root:x:0:", *OWN_GROUPS]),
        # The image's own group of that name and gid: its members stay.
        (lines("cs101:!:20101:bob,eve"), None, ["ada:*:10001:ada", "cs101:!:20101:bob,eve,ada"]),
        (
            lines("cs101:x:20101", "cs101:y:20101: bob , ,ada,bob"),
            None,
            ["ada:*:10001:ada", "cs101:x:20101:bob,ada"],
        ),
        # The name with another gid, the gid with another name, and both at once.
        (lines("cs101:x:50:bob"), None, ["cs101-50:x:50:bob", *OWN_GROUPS]),
        (lines("cs101:x:50"), None, ["cs101-50:x:50", *OWN_GROUPS]),
        (lines("x:x:7:", "lab:x:20101:bob"), None, ["x:x:7:", *OWN_GROUPS, "lab:x:20101:bob"]),
        (
            lines("ada:x:20101:bob", "cs101:x:10001:bob"),
            None,
            [*OWN_GROUPS, "ada-20101:x:20101:bob", "cs101-10001:x:10001:bob"],
        ),
        (
            lines("cs101-50:x:1:", "cs101:x:50:"),
            None,
            ["cs101-50:x:1:", "cs101-50-2:x:50:", *OWN_GROUPS],
        ),
        # Memberships of an account that has another name now go with it.
        (
            lines("users:x:100:bob,ada", "cs101:x:20101:ada"),
            "ada-1000",
            ["users:x:100:bob,ada-1000", "ada:*:10001:ada", "cs101:x:20101:ada"],
        ),
        (lines("users:x:100:adam"), "ada-1000", ["users:x:100:adam", *OWN_GROUPS]),
        (lines("users:x:100:bob,ada"), None, ["users:x:100:bob,ada", *OWN_GROUPS]),
        # Nothing to us.
        (
            lines("cs101:x:x:", "cs101", "#", ""),
            None,
            ["cs101:x:x:", "cs101", "#", "", *OWN_GROUPS],
        ),
        (lines("a:x:1:", "+:::", "b:x:2:"), None, ["a:x:1:", *OWN_GROUPS, "+:::", "b:x:2:"]),
    ],
)
def test_group(old, called_now, new):
    text = add_groups(old, ADA, called_now)
    assert text == lines(*new)
    assert add_groups(text, ADA, None) == text
    # A start that was killed between the two files does it again.
    assert add_groups(text, ADA, called_now) == text


def test_a_name_that_one_of_our_groups_has_is_given_to_no_other():
    user = ada(groups=(Group(name="lab", gid=20001), Group(name="lab-50", gid=20002)))
    assert add_groups("lab:x:50:\n", user, None).splitlines() == [
        "lab-50-2:x:50:",
        "lab:*:20001:ada",
        "lab-50:*:20002:ada",
    ]


BAD = "which ends a field of an account file"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a:b"}, f"user.name: 'a:b' holds ':', {BAD}"),
        ({"name": "a\nb"}, f"user.name: 'a\\nb' holds '\\n', {BAD}"),
        ({"name": "a,b"}, f"user.name: 'a,b' holds ',', {BAD}"),
        ({"name": "+ada"}, "user.name: '+ada' begins with '+', which an account file forbids"),
        ({"name": "-ada"}, "user.name: '-ada' begins with '-', which an account file forbids"),
        ({"name": "#ada"}, "user.name: '#ada' begins with '#', which an account file forbids"),
        ({"name": " ada"}, "user.name: ' ada' begins with ' ', which an account file forbids"),
        ({"name": "root"}, "user.name: 'root' is the name of root in this image"),
        ({"shell": "/bin/a:b"}, f"user.shell: '/bin/a:b' holds ':', {BAD}"),
        ({"shell": "/bin/sh\n"}, f"user.shell: '/bin/sh\\n' holds '\\n', {BAD}"),
        ({"full_name": "A:0"}, f"user.full_name: 'A:0' holds ':', {BAD}"),
        ({"home": "/home/a:b"}, f"home.path: '/home/a:b' holds ':', {BAD}"),
        ({"groups": ("ok", "a,b")}, f"user.groups[1].name: 'a,b' holds ',', {BAD}"),
        ({"groups": ("a:b",)}, f"user.groups[0].name: 'a:b' holds ':', {BAD}"),
        ({"groups": ("a\n",)}, f"user.groups[0].name: 'a\\n' holds '\\n', {BAD}"),
        ({"groups": ("+",)}, "user.groups[0].name: '+' begins with '+', which an account file"),
        ({"groups": ("ok", "root")}, "user.groups[1].name: 'root' is the name of root in this"),
    ],
)
def test_what_would_break_a_file_is_refused(changes, problem):
    home = changes.pop("home", "/home/ada")
    if "groups" in changes:
        changes["groups"] = tuple(Group(name=name, gid=20101) for name in changes["groups"])
    user = ada(**changes)

    def write():
        add_user("root:x:0:0::/root:/bin/sh\n", user, home)
        add_groups("root:x:0:\n", user, None)

    with pytest.raises(StepError) as caught:
        write()
    assert str(caught.value).startswith(problem)


names = st.sampled_from(["ada", "bob", "cs101", "ada-1000", "cs101-50", "lab", "", "ada-1000-2"])
numbers = st.sampled_from(
    ["0", "50", "1000", "10001", "20101", " 10001", "+1000", "-1", "-0", "4294967296", "x", ""]
)
members = st.lists(st.sampled_from(["ada", "bob", "eve", "", " ada"]), max_size=3).map(",".join)
junk = st.one_of(
    st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), max_size=12),
    st.binary(max_size=6)
    .filter(lambda found: not set(found) & {0, 10})
    .map(lambda found: found.decode(errors="surrogateescape")),
    st.sampled_from(["+", "-bob", "+ada:::", "# ada:x:10001:1", "", "  ", "ada"]),
)
blanks = st.sampled_from(["", "", "", " ", "\t"])
passwd_lines = st.one_of(
    st.builds("{}{}:x:{}:{}::/:/bin/sh".format, blanks, names, numbers, numbers), junk
)
group_lines = st.one_of(st.builds("{}{}:x:{}:{}".format, blanks, names, numbers, members), junk)
ends = st.sampled_from(["", "\n"])


def called_root(entries):
    """Return what the image calls root: nobody else may be called so."""
    return {name for name, entry in entries if getattr(entry, "uid", entry.gid) == 0}


@given(st.lists(passwd_lines, max_size=8), ends)
def test_whatever_the_image_has_the_user_is_found_and_nothing_is_lost(given_lines, end):
    old = "\n".join(given_lines) + (end if given_lines else "")
    if "ada" in called_root(read_passwd(old)):
        with pytest.raises(StepError):
            add_user(old, ADA, "/home/ada")
        return
    new, called_now = add_user(old, ADA, "/home/ada")
    assert add_user(new, ADA, "/home/ada") == (new, None)
    after = read_passwd(new)
    by_name = next(entry for name, entry in after if name == "ada")
    by_uid = next(entry for _, entry in after if entry.uid == 10001)
    for found in (by_name, by_uid):
        assert (found.name, found.uid, found.gid) == ("ada", 10001, 10001)
        assert (found.full_name, found.home) == ("Ada Lovelace", "/home/ada")
        assert (found.password, found.shell) == ("*", "/bin/bash")
    assert [name for name, _ in after].count("ada") == 1
    # Every other entry is there, under its name or another, in the old order.
    before = [each for each in read_passwd(old) if each[1].uid != 10001 or each[0] != "ada"]
    others = [each for each in after if each[0] != "ada"]
    assert [entry.uid for _, entry in before] == [entry.uid for _, entry in others]
    for (name, entry), (name_now, _) in zip(before, others, strict=True):
        assert name_now == name or (name == "ada" and name_now.startswith(f"ada-{entry.uid}"))
    if called_now is not None:
        assert called_now in [name for name, _ in others]
    # So is every line that is no entry.
    kept = new.split("\n")
    for line in given_lines:
        if not list(read_passwd(line + "\n")):
            assert line in kept


@given(st.lists(group_lines, max_size=8), ends, st.sampled_from([None, "ada-1000"]))
def test_whatever_the_image_has_every_group_is_found_and_no_member_lost(
    given_lines, end, called_now
):
    old = "\n".join(given_lines) + (end if given_lines else "")
    if {"ada", "cs101"} & called_root(read_group(old)):
        with pytest.raises(StepError):
            add_groups(old, ADA, called_now)
        return
    new = add_groups(old, ADA, called_now)
    assert add_groups(new, ADA, None) == new
    assert add_groups(new, ADA, called_now) == new
    after = read_group(new)
    for group in ADA.groups:
        by_name = next(entry for name, entry in after if name == group.name)
        by_gid = next(entry for _, entry in after if entry.gid == group.gid)
        for found in (by_name, by_gid):
            assert (found.name, found.gid) == (group.name, group.gid)
            assert "ada" in found.members
        assert [name for name, _ in after].count(group.name) == 1
    # Of each gid the members are the same, but for the user and who had the user's name.
    for gid in {entry.gid for _, entry in after}:
        was = members_of(old, gid)
        now = members_of(new, gid)
        is_ours = gid in {10001, 20101}
        if called_now is None:
            assert now == was | ({"ada"} if is_ours else set())
        else:
            assert now - {"ada", called_now} == was - {"ada", called_now}
            assert is_ours or "ada" not in now


def members_of(text, gid):
    found = read_group(text)
    return {member for _, entry in found if entry.gid == gid for member in entry.members}
