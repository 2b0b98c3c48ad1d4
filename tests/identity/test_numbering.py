import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import (
    ProfileSettings,
    SourceAccount,
    SourceGroup,
    build_profile,
)
from jhk8s_ext.identity.ids import IdKind, IdLimits, IdRange
from jhk8s_ext.identity.numbering import (
    GrantedIds,
    IdStrategy,
    Numbering,
    number_account,
    wanted_ids,
)

USER, GROUP = IdKind.USER, IdKind.GROUP
SETTINGS = ProfileSettings(
    home_template="/home/{username}",
    default_shell="/bin/sh",
    limits=IdLimits(uid_floor=1000, gid_floor=1000),
)


def numbering(users="claim", groups="claim"):
    return Numbering(
        strategies={USER: IdStrategy(users), GROUP: IdStrategy(groups)},
        ranges={
            USER: IdRange(low=100000, high=999999, setting="X.uid_range"),
            GROUP: IdRange(low=1000000, high=1999999, setting="X.gid_range"),
        },
        settings={USER: "X.uid_strategy", GROUP: "X.gid_strategy"},
    )


def account(uid=None, gid=None, groups=(), subject="cn=ada"):
    return SourceAccount(source="test", subject=subject, uid=uid, gid=gid, groups=tuple(groups))


def group(name, gid=None, subject="", problem=""):
    return SourceGroup(name=name, subject=subject or f"cn={name}", gid=gid, problem=problem)


def grant(account, rule, taken=(), username="ada"):
    """Answer as a table of ids does that gives consecutive numbers."""
    wanted = wanted_ids(username, account, rule)
    numbers, problems = {}, {}
    for place, want in enumerate(wanted):
        if want.subject in taken:
            problems[want.kind, want.subject] = f"{want.subject} is taken"
        else:
            low = rule.ranges[want.kind].low
            numbers[want.kind, want.subject] = want.number or low + place
    return GrantedIds(numbers=numbers, problems=problems)


def profile(account, rule, **options):
    ids = number_account(account, rule, grant(account, rule, **options))
    return build_profile("ada", account, ids, SETTINGS)


def test_claimed_numbers_are_asked_of_nobody():
    asked = account(10001, 10001, [group("cs101", 20101)])
    assert wanted_ids("ada", asked, numbering()) == ()
    built = profile(asked, numbering())
    assert (built.profile.uid, built.profile.gids) == (10001, (10001, 20101))


@pytest.mark.parametrize("strategy", ["hash", "database"])
def test_the_sources_numbers_are_ignored_with_other_strategies(strategy):
    groups = [group("cs101", 20101), group("odd", problem="gid 'x' is not a number")]
    rule = numbering(strategy, strategy)
    built = profile(account(10001, 10002, groups), rule)
    assert built.profile.uid != 10001
    # The primary group is the account's own.
    assert built.profile.gid == built.profile.uid
    assert not {10001, 10002, 20101} & set(built.profile.gids)
    assert len(built.profile.groups) == 3
    assert built.warnings == ()


def test_the_number_of_a_name_is_that_of_the_username_and_of_the_groups_name():
    [user, staff] = wanted_ids("ada", account(groups=[group("staff")]), numbering("hash", "hash"))
    # printf %s ada | md5sum, modulo 2^30, plus 2000; and of staff modulo 2^30 - 4096.
    assert user.number == int("8c8d357b5e872bbacd45197626bd5759", 16) % 2**30 + 2000
    assert staff.number == (
        int("1253208465b1efa876f982d8a9e73eef", 16) % (2**30 - 4096) + 2**30 + 2000
    )


def test_only_what_is_not_claimed_is_asked():
    asked = account(10001, 10001, [group("cs101", 20101)])
    assert [want.kind for want in wanted_ids("ada", asked, numbering("database"))] == [USER]
    assert [want.kind for want in wanted_ids("ada", asked, numbering("claim", "hash"))] == [GROUP]


def test_an_account_without_a_uid_is_told_what_would_give_it_one():
    with pytest.raises(IdentityError, match=r"^'cn=ada' of test has no uid; a uid_strategy"):
        profile(account(), numbering())
    with pytest.raises(IdentityError, match="has no uid"):
        profile(account(), numbering("claim", "database"))


def test_an_account_whose_number_is_anothers_is_refused():
    with pytest.raises(IdentityError, match=r"^cn=ada is taken$"):
        profile(account(), numbering("hash"), taken=["cn=ada"])


def test_a_group_whose_number_is_anothers_is_left_out_with_a_warning():
    built = profile(
        account(10001, groups=[group("a"), group("b")]),
        numbering("claim", "hash"),
        taken=["cn=b"],
    )
    assert [joined.name for joined in built.profile.groups] == ["ada", "a"]
    assert built.warnings == ("ada does not get group 'cn=b': cn=b is taken",)


@pytest.mark.parametrize(
    ("name", "subject"),
    [("a", "cn=\0"), ("a\0", "cn=a"), ("a", "\ud800"), ("a", "x" * 5000), ("", "cn=a")],
)
def test_a_group_that_no_database_can_hold_is_left_out_with_a_warning(name, subject):
    asked = account(10001, groups=[group(name, subject=subject)])
    built = profile(asked, numbering("claim", "database"))
    assert [joined.name for joined in built.profile.groups] == ["ada"]
    [warning] = built.warnings
    assert "cannot be kept in a table of ids" in warning


@pytest.mark.parametrize("subject", ["cn=\0", "\udfff", "x" * 5000, ""])
def test_an_account_that_no_database_can_hold_is_refused(subject):
    with pytest.raises(IdentityError, match="cannot be kept in a table of ids"):
        wanted_ids("ada", account(subject=subject), numbering("database"))


@pytest.mark.parametrize("strategy", ["database", "hash"])
def test_a_claimed_uid_among_the_gids_that_are_given_is_refused(strategy):
    rule = numbering("claim", strategy)
    low = rule.space(GROUP).low
    with pytest.raises(IdentityError, match=rf"^uid {low} is among the numbers of groups, {low}"):
        profile(account(low), rule)
    assert profile(account(low - 1), rule).profile.uid == low - 1


@pytest.mark.parametrize("strategy", ["database", "hash"])
def test_a_claimed_gid_among_the_uids_that_are_given_lets_nobody_in(strategy):
    rule = numbering(strategy, "claim")
    high = rule.space(USER).high
    built = profile(account(groups=[group("theirs", high), group("fine", high + 1)]), rule)
    assert [joined.name for joined in built.profile.groups] == ["ada", "fine"]
    assert f"gid {high} is among the numbers of users" in built.warnings[0]
    # Nor as the primary group.
    with pytest.raises(IdentityError, match=f"gid {high} is among the numbers of users"):
        profile(account(gid=high), rule)


def test_a_held_number_that_has_come_among_the_other_kinds_is_refused():
    rule = numbering("database", "database")
    held = GrantedIds(numbers={(USER, "cn=ada"): 1000005}, problems={})
    with pytest.raises(IdentityError, match=r"among the numbers of groups.*X\.gid_range"):
        number_account(account(), rule, held)


TEXT = st.text(max_size=8) | st.sampled_from(["\0", "\ud800", "{0}", "a\nb", "staff"])


NUMBER = st.none() | st.integers(-5, 2**32)
GROUPS = st.lists(
    st.builds(SourceGroup, name=TEXT, subject=TEXT, gid=NUMBER, problem=TEXT), max_size=5
)
STRATEGY = st.sampled_from(["claim", "hash", "database"])


@given(st.builds(numbering, STRATEGY, STRATEGY), st.builds(account, NUMBER, NUMBER, GROUPS, TEXT))
def test_any_account_becomes_a_profile_without_a_shared_number_or_is_refused_by_us(rule, asked):
    try:
        made = profile(asked, rule).profile
    except IdentityError:
        return
    for kind, numbers in ((USER, {made.uid}), (GROUP, set(made.gids) - {made.uid})):
        space = rule.space(kind.other)
        assert space is None or not any(number in space for number in numbers)
        if (own := rule.space(kind)) is not None:
            assert all(number in own for number in numbers)
