import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.identity.id_csv import format_csv, parse_csv
from jhk8s_ext.identity.ids import MAX_TEXT_LENGTH, IdKind, IdLimits, IdRange, IdRow

USER, GROUP = IdKind.USER, IdKind.GROUP
LIMITS = IdLimits(uid_floor=1000, gid_floor=1000)
SPACES = {
    USER: IdRange(low=100000, high=999999, setting="X.uid_range"),
    GROUP: IdRange(low=1000000, high=1999999, setting="X.gid_range"),
}
HEADER = "kind,id,name,source,subject,allocated_at\n"


def parse(text):
    return parse_csv(text, LIMITS, SPACES)


def test_a_row_of_each_kind():
    parsed = parse(HEADER + "user,5000,ada,ldap,cn=ada,2026-01-31T09:30:00Z\ngroup,6000,lab,,,\n")
    assert parsed.problems == {}
    assert parsed.lines == (2, 3)
    assert parsed.rows == (
        IdRow(
            kind=USER,
            number=5000,
            name="ada",
            source="ldap",
            subject="cn=ada",
            allocated_at="2026-01-31T09:30:00Z",
        ),
        IdRow(kind=GROUP, number=6000, name="lab", source="", subject="", allocated_at=""),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("person,5000,ada,,,", "kind 'person' is neither 'user' nor 'group'"),
        ("user,0x10,ada,,,", "id '0x10' is not a number"),
        ("user,-5,ada,,,", "id '-5' is not a number"),
        ("user,\u0665,ada,,,", "id '\u0665' is not a number"),
        ("user,99999999999,ada,,,", "id '99999999999' is not a number"),
        ("user,0,ada,,,", "uid 0 is below uid_floor, 1000"),
        ("group,999,lab,,,", "gid 999 is below gid_floor, 1000"),
        ("user,65534,ada,,,", "uid 65534 is reserved and belongs to nobody"),
        ("group,2147483648,lab,,,", "gid 2147483648 is above 2147483647"),
        ("user,5000,Ada Lovelace,,,", "username 'Ada Lovelace' is not a POSIX account name"),
        ("user,5000,root,,,", "username 'root' is a system account's"),
        ("group,5000,,,,", "name '' cannot be kept"),
        ("user,5000,ada,ldap,,", "source and subject are not both there, or both empty"),
        ("user,5000,ada,,cn=ada,", "source and subject are not both there, or both empty"),
        ("user,5000,ada,ldap,cn=ada,today", "allocated_at 'today' is not as 2026-01-31T09:30:00Z"),
        ("user,5000,ada", "there are 3 columns in place of 6"),
        ("user,5000,ada,,,,", "there are 7 columns in place of 6"),
        ("user,1000000,ada,,,", "uid 1000000 is among the numbers of groups, 1000000 to 1999999"),
        ("group,999999,lab,,,", "gid 999999 is among the numbers of users, 100000 to 999999"),
        (f"group,5000,{'x' * (MAX_TEXT_LENGTH + 1)},,,", "cannot be kept"),
    ],
)
def test_a_row_that_cannot_be_is_told_with_its_line(line, problem):
    parsed = parse(f"{HEADER}user,4000,first,,,\n{line}\nuser,4001,last,,,\n")
    assert [row.name for row in parsed.rows] == ["first", "last"]
    assert list(parsed.problems) == [3]
    assert problem in parsed.problems[3]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("user,4000,eve,,,", "id 4000 is in line 2 too"),
        ("group,4000,lab,,,", "id 4000 is in line 2 too"),
        ("user,4002,other,ldap,cn=ada,", "'cn=ada' of ldap is in line 2 too"),
        ("user,4002,bob,,,", "the imported 'bob' is in line 3 too"),
    ],
)
def test_rows_that_contradict_each_other_are_told(line, problem):
    parsed = parse(f"{HEADER}user,4000,ada,ldap,cn=ada,\nuser,4001,bob,,,\n{line}\n")
    assert parsed.problems == {4: problem}


@pytest.mark.parametrize("text", ["", "kind,id\n", "user,5000,ada,,,\n", HEADER.upper()])
def test_a_document_without_the_header_is_refused(text):
    parsed = parse(text)
    assert parsed.rows == ()
    assert parsed.problems == {1: f"the header is not {HEADER.strip()}"}


def test_a_document_that_is_no_csv_is_refused_with_the_line():
    parsed = parse(f'{HEADER}user,4000,ada,,,\n"never closed,5000\n')
    assert re.match("it is not CSV", parsed.problems[3])
    assert parse(f"{HEADER}group,4000,{'x' * 200000},,,\n").problems


def test_a_line_is_counted_where_its_row_begins():
    parsed = parse(f'{HEADER}group,4000,"a\nb\nc",,,\n\nuser,0,bad,,,\n')
    assert parsed.lines == (2,)
    assert list(parsed.problems) == [6]


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
) | st.sampled_from(['"', "\r", "\n", "\r\n", ",", " a ", "=1+1", "'", "\ufeff"])


@given(
    st.lists(
        st.tuples(st.integers(2000, 60000), TEXT, TEXT, TEXT),
        unique_by=(lambda row: row[0], lambda row: (row[2], row[3])),
    )
)
def test_what_is_written_is_read_again(found):
    rows = tuple(
        IdRow(
            kind=GROUP,
            number=number,
            name=name,
            source=source,
            subject=subject,
            allocated_at="2026-01-31T09:30:00Z",
        )
        for number, name, source, subject in found
    )
    parsed = parse(format_csv(rows))
    assert parsed.problems == {}
    assert parsed.rows == rows


@given(st.text() | st.text(st.sampled_from('user,group0123456789"\n\r\0 ')))
def test_any_text_is_rows_or_problems(text):
    for document in (text, HEADER + text):
        parsed = parse(document)
        assert len(parsed.rows) == len(parsed.lines)
        assert not set(parsed.lines) & set(parsed.problems)
