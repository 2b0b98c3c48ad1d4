"""Amounts as Kubernetes writes them, to be compared."""

from __future__ import annotations

import re
from decimal import Decimal

#: As https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ has them.
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))(?:([KMGTPE]i|[numkMGTPE]?)|[eE]([+-]?[0-9]{1,2}))"
)
_BINARY: dict[str, int] = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = dict(zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True))


def parse_quantity(text: str) -> Decimal | None:
    """Return an amount in its unit, such as bytes; None where it is none.

    Parameters
    ----------
    text
        Such as ``10Gi``, ``0.5T`` or ``1e9``.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    return number.scaleb(int(match[3] or _DECIMAL.get(suffix, 0)))


def is_more(wanted: str, present: str) -> bool:
    """Say whether one amount is larger than another; no for what is no amount."""
    amounts = parse_quantity(wanted), parse_quantity(present)
    return amounts[0] is not None and amounts[1] is not None and amounts[0] > amounts[1]
