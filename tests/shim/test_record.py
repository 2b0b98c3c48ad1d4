"""Records behave as frozen dataclasses do."""

import pytest
from jhk8s_singleuser.record import Record


class Point(Record):
    x: int
    y: int


class OtherPoint(Record):
    x: int
    y: int


def test_equal_fields_make_equal_records():
    assert Point(x=1, y=2) == Point(y=2, x=1)
    assert hash(Point(x=1, y=2)) == hash(Point(y=2, x=1))
    assert Point(x=1, y=2) != Point(x=1, y=3)
    assert Point(x=1, y=2) != OtherPoint(x=1, y=2)
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"


@pytest.mark.parametrize("fields", [{}, {"x": 1}, {"x": 1, "y": 2, "z": 3}])
def test_all_fields_are_needed_and_no_others(fields):
    with pytest.raises(TypeError, match="Point has the fields x, y, not"):
        Point(**fields)


def test_records_do_not_change():
    point = Point(x=1, y=2)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be set"):
        point.x = 3
    with pytest.raises(AttributeError, match=r"Point\.x cannot be removed"):
        del point.x
    assert point.x == 1
