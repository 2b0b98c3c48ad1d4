"""Ages and amounts as people read them on the menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.menu.sizes import in_gib

if TYPE_CHECKING:
    from jhk8s_ext.menu.offer import Offer
    from jhk8s_ext.menu.sizes import Size

_DAY = 86400
_UNITS = {"year": 365 * _DAY, "month": 30 * _DAY, "day": _DAY, "hour": 3600, "minute": 60}

_MEGABYTE = 10**6
_GIGABYTE = 10**9


def describe_age(seconds: float) -> str:
    """Write an age in its largest unit; a clock that is ahead makes no negative one."""
    for unit, length in _UNITS.items():
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} old"
    return "less than a minute old"


def describe_download(size_bytes: int) -> str:
    """Write the size of a download as browsers do, in powers of 1000."""
    if size_bytes >= _GIGABYTE:
        return f"{size_bytes / _GIGABYTE:.1f} GB download"
    return f"{max(1, round(size_bytes / _MEGABYTE))} MB download"


def describe_amount(size: Size) -> str:
    """Write what a size is, as ``4 CPUs, 16 GiB memory``."""
    parts = [f"{size.cpu:g} {_cpus(size.cpu)}", f"{in_gib(size.memory_bytes)} memory"]
    return ", ".join([*parts, *(f"{count} {name}" for name, count in size.resources.items())])


def describe_cost(size: Size, offer: Offer) -> list[str]:
    """Write what a size takes of the user's limit, as ``2 of your 8 CPUs (3 in use)``."""
    limit, used = offer.limit, offer.used
    cpu, memory = f"{size.cpu:g} {_cpus(size.cpu)}", f"{in_gib(size.memory_bytes)} memory"
    if limit.cpu is not None:
        in_use = _in_use(f"{used.cpu:g}" if used.cpu else "")
        cpu = f"{size.cpu:g} of your {limit.cpu:g} {_cpus(limit.cpu)}{in_use}"
    if limit.memory_bytes is not None:
        in_use = _in_use(in_gib(used.memory_bytes) if used.memory_bytes else "")
        most = in_gib(limit.memory_bytes)
        memory = f"{in_gib(size.memory_bytes)} of your {most} memory{in_use}"
    resources = []
    for name, count in size.resources.items():
        of_your = f" of your {limit.resources[name]}" if name in limit.resources else ""
        in_use = _in_use(str(used.resources.get(name) or "")) if of_your else ""
        resources.append(f"{count}{of_your} {name}{in_use}")
    return [cpu, memory, *resources]


def _cpus(count: float) -> str:
    return "CPU" if count == 1 else "CPUs"


def _in_use(amount: str) -> str:
    return f" ({amount} in use)" if amount else ""
