"""Tags of the Rubin observatory's labs, as its technote SQR-059 (https://sqr-059.lsst.io) has them.

================== ====================== =========================
category           tag                    older spelling
================== ====================== =========================
release            ``r27_0_0``            ``v27_0_0``, ``r170``
release_candidate  ``r28_0_0_rc1``        ``v28_0_0_rc1``
weekly             ``w_2026_45``          ``w2026_45``
daily              ``d_2026_11_20``       ``d2026_11_20``
experimental       ``exp_`` and anything
================== ====================== =========================

Variants may follow: a build of the image (``_rsp19``), a cycle (``_c0040.003``), then any text
(``_20261120``). They count in this order after what comes before them, and none is the oldest.
"""

from __future__ import annotations

import re

from jhk8s_ext.menu.tags import Tag, TagScheme, is_date, number_order, text_order

_VARIANT = r"(?:_rsp(?P<rsp>\d+))?(?:_c(?P<cycle>\d+)\.(?P<build>\d+))?(?:_(?P<rest>[\w.-]+))?"
_VERSION = r"(?:(?P<major>\d{1,3})_(?P<minor>\d{1,3})(?:_(?P<patch>\d{1,3}))?|(?P<old>\d{2,3}))"
_RELEASE = re.compile(rf"[rv]_?{_VERSION}(?:_rc(?P<rc>\d+))?{_VARIANT}", re.ASCII)
_WEEKLY = re.compile(rf"w_?(?P<year>\d{{4}})_(?P<week>\d\d){_VARIANT}", re.ASCII)
_DAILY = re.compile(rf"d_?(?P<year>\d{{4}})_(?P<month>\d\d)_(?P<day>\d\d){_VARIANT}", re.ASCII)

_EXPERIMENTAL = "exp_"

# An image for several processors is made of one for each, which are of no use by themselves.
_PIECES = ("-amd64", "-arm64")

_LAST_WEEK = 53


def _read(name: str) -> Tag | None:
    if name.endswith(_PIECES):
        return None
    if name.startswith(_EXPERIMENTAL):
        return _read_experimental(name)
    return _read_built(name)


def _read_built(name: str) -> Tag | None:
    read = {"r": _read_release, "v": _read_release, "w": _read_weekly, "d": _read_daily}
    reader = read.get(name[:1])
    return reader(name) if reader else None


def _read_release(name: str) -> Tag | None:
    match = _RELEASE.fullmatch(name)
    if match is None:
        return None
    # In r170, two digits are the major version, and one is the minor.
    old = match["old"] or ""
    version = [match["major"] or old[:2], match["minor"] or old[2:] or "0", match["patch"] or "0"]
    rc = match["rc"]
    if rc is None:
        shown = version[:2] if version[2] == "0" else version
        return _tag(match, "release", f"Release {'.'.join(shown)}", version)
    title = f"Release Candidate {'.'.join(version)}-rc{rc}"
    return _tag(match, "release_candidate", title, [*version, rc])


def _read_weekly(name: str) -> Tag | None:
    match = _WEEKLY.fullmatch(name)
    if match is None or not 1 <= int(match["week"]) <= _LAST_WEEK:
        return None
    parts = [match["year"], match["week"]]
    return _tag(match, "weekly", f"Weekly {'_'.join(parts)}", parts)


def _read_daily(name: str) -> Tag | None:
    match = _DAILY.fullmatch(name)
    if match is None:
        return None
    parts = [match["year"], match["month"], match["day"]]
    if not is_date(*parts):
        return None
    return _tag(match, "daily", f"Daily {'_'.join(parts)}", parts)


def _read_experimental(name: str) -> Tag | None:
    # Nothing in it tells which one is newer.
    rest = name.removeprefix(_EXPERIMENTAL)
    built = _read_built(rest)
    title = f"Experimental {built.title if built else rest}"
    return Tag(name=name, category="experimental", title=title, order=rest) if rest else None


def _tag(match: re.Match[str], category: str, title: str, numbers: list[str]) -> Tag:
    variant = [match["rsp"] or "", match["cycle"] or "", match["build"] or ""]
    rest = match["rest"] or ""
    notes = []
    if match["rsp"]:
        notes.append(f"RSP build {match['rsp']}")
    if match["cycle"]:
        notes.append(f"cycle {match['cycle']}.{match['build']}")
    if rest:
        notes.append(rest)
    order = "".join(map(number_order, numbers + variant)) + text_order(rest)
    title = f"{title} ({', '.join(notes)})" if notes else title
    return Tag(name=match.string, category=category, title=title, order=order)


RUBIN = TagScheme(
    name="rubin",
    categories=("release", "weekly", "daily", "release_candidate", "experimental"),
    show={"release": 1, "weekly": 2, "daily": 3},
    read=_read,
)
