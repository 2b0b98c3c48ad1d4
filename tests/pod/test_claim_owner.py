import pytest

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.pod.claim_owner import (
    ARCHIVED_ANNOTATION,
    UID_ANNOTATION,
    USERNAME_ANNOTATION,
    check_owner,
    owner_annotations,
)
from tests.support.profiles import make_profile

ADA = make_profile()
WRITTEN = owner_annotations(ADA)


def test_owner_is_written_in_text():
    assert WRITTEN == {"jhk8s-ext/uid": "10001", "jhk8s-ext/username": "ada"}


@pytest.mark.parametrize(
    ("annotations", "is_known"),
    [
        ({}, False),
        ({"x": "y", USERNAME_ANNOTATION: "ada"}, False),
        (WRITTEN, True),
        (WRITTEN | {"x": "y"}, True),
        # Who has a new name keeps the uid, and the files.
        ({UID_ANNOTATION: "10001", USERNAME_ANNOTATION: "ada-king"}, True),
        ({UID_ANNOTATION: "10001"}, True),
    ],
)
def test_claim_is_the_users(annotations, is_known):
    assert check_owner("claim-ada", annotations, ADA) is is_known


@pytest.mark.parametrize("uid", ["10002", "0", "", "010001", "10001 ", "ada"])
def test_claim_of_another_uid_is_refused(uid):
    with pytest.raises(IdentityError) as caught:
        check_owner("claim-ada", WRITTEN | {UID_ANNOTATION: uid}, ADA)
    assert str(caught.value) == (
        f"the claim 'claim-ada' holds the files of uid {uid} (ada), and the profile of ada has uid "
        "10001: if that is the same person, correct its annotation jhk8s-ext/uid; if not, rename "
        "or delete the claim"
    )


@pytest.mark.parametrize("annotations", [{}, WRITTEN, {UID_ANNOTATION: "10002"}])
def test_claim_that_was_put_aside_is_refused(annotations):
    with pytest.raises(IdentityError) as caught:
        check_owner("claim-ada", annotations | {ARCHIVED_ANNOTATION: "2026-11-21"}, ADA)
    assert str(caught.value) == (
        "the claim 'claim-ada' was archived on 2026-11-21: to use it again, remove its annotation "
        "jhk8s-ext/archived; to begin with an empty one, delete it"
    )
