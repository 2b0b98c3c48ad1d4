"""Immutable values with named, typed fields.

These are what frozen dataclasses would be. `dataclasses` is not used because its import would take
20 ms of every server's start, as long as all the rest of the shim; `typing.NamedTuple` takes 10 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> object:
        """Tell type checkers, and only them, how a record is constructed."""
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """The base of all records: a subclass annotates its fields and that is all.

    A record is constructed with keyword arguments, one for each field, and is equal to a record of
    the same class with equal fields. Fields have no defaults and are not inherited.
    """

    def __init__(self, **fields: object) -> None:
        names = type(self).__annotations__
        if fields.keys() != names.keys():
            raise TypeError(
                f"{type(self).__name__} has the fields {', '.join(names)}, not {', '.join(fields)}"
            )
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: records do not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.__dict__.items()))))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
