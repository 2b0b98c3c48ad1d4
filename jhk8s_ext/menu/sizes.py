"""Sizes of servers, and how much of them a user may have at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.audience import Audience, parse_audience
from jhk8s_ext.menu.fields import Fields, check_unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Memory of a size that names none, for each CPU.
_BYTES_PER_CPU = 2 * 1024**3

#: Fractions of a CPU, added up, may be off by less than that.
_ROUNDING = 1e-6

#: What is guaranteed of a limit, where the operator says nothing.
_GUARANTEED = 0.25

#: From here on, an amount of memory is written without a fraction.
_WHOLE_GIB = 100

_SETTING = "ImageMenu.sizes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of a node a server gets.

    Parameters
    ----------
    name
        In ``user_options``.
    title, description
        For people.
    cpu, cpu_guarantee
        Limit and guarantee, in cores.
    memory_bytes, memory_guarantee_bytes
        Likewise.
    resources
        Extended resource, as ``nvidia.com/gpu``, to how many.
    node_selector
        Labels of the nodes it runs on.
    tolerations
        Of those nodes' taints, as Kubernetes writes them.
    audience
        Who may use it.
    """

    name: str
    title: str
    description: str
    cpu: float
    cpu_guarantee: float
    memory_bytes: int
    memory_guarantee_bytes: int
    resources: Mapping[str, int]
    node_selector: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]
    audience: Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount of everything that sizes are made of.

    Parameters
    ----------
    cpu
        In cores.
    memory_bytes
        In bytes.
    resources
        Extended resource to how many.
    """

    cpu: float = 0
    memory_bytes: int = 0
    resources: Mapping[str, int]


NOTHING = Amount(resources={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a member of some groups may have at once, in all their servers.

    Parameters
    ----------
    cpu, memory_bytes
        None for no limit.
    resources
        Extended resource to how many; those that are not named are not limited.
    groups
        Whom it is for; empty for everybody.
    """

    cpu: float | None
    memory_bytes: int | None
    resources: Mapping[str, int]
    groups: frozenset[str]


def parse_sizes(document: Sequence[object]) -> tuple[Size, ...]:
    """Parse ``ImageMenu.sizes``.

    Raises
    ------
    ConfigError
        If one cannot be.
    """
    sizes = tuple(
        _parse_size(Fields(f"{_SETTING}[{index}]", item)) for index, item in enumerate(document)
    )
    check_unique([size.name for size in sizes], _SETTING)
    return sizes


def _parse_size(fields: Fields) -> Size:
    name = fields.name()
    cpu = fields.number("cpu") or 0.0
    memory = fields.memory("memory", int(cpu * _BYTES_PER_CPU)) or 0
    size = Size(
        name=name,
        title=fields.text("title", name.capitalize()),
        description=fields.text("description", ""),
        cpu=cpu,
        cpu_guarantee=fields.number("cpu_guarantee", cpu * _GUARANTEED) or 0.0,
        memory_bytes=memory,
        memory_guarantee_bytes=fields.memory("memory_guarantee", int(memory * _GUARANTEED)) or 0,
        resources=_parse_resources(fields, least=1),
        node_selector=_parse_labels(fields),
        tolerations=_parse_tolerations(fields),
        audience=parse_audience(fields),
    )
    fields.finish()
    if size.cpu_guarantee > size.cpu:
        problem = f"{size.cpu_guarantee:g} is more than the limit, {size.cpu:g}"
        raise ConfigError(fields.path("cpu_guarantee"), problem)
    if size.memory_guarantee_bytes > size.memory_bytes:
        problem = f"{size.memory_guarantee_bytes} is more than the limit, {size.memory_bytes}"
        raise ConfigError(fields.path("memory_guarantee"), problem)
    return size


def _parse_resources(fields: Fields, *, least: int) -> dict[str, int]:
    found = fields.mapping("resources")
    for name, count in found.items():
        is_count = isinstance(count, int) and not isinstance(count, bool) and count >= least
        if not isinstance(name, str) or "/" not in name or not is_count:
            problem = f"{name}: {count!r} is not an extended resource and a count from {least} on"
            raise ConfigError(fields.path("resources"), problem)
    return dict(found)


def _parse_labels(fields: Fields) -> dict[str, str]:
    found = fields.mapping("node_selector")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, str):
            problem = f"{name}: {value!r} is not a label and its text"
            raise ConfigError(fields.path("node_selector"), problem)
    return dict(found)


def _parse_tolerations(fields: Fields) -> list[dict[str, Any]]:
    found = fields.items("tolerations")
    for item in found:
        if not isinstance(item, dict):
            raise ConfigError(fields.path("tolerations"), f"{item!r} is not a mapping")
    return found


def parse_limits(document: Sequence[object]) -> tuple[Limit, ...]:
    """Parse ``ImageMenu.limits``.

    Raises
    ------
    ConfigError
        If one cannot be.
    """
    limits = []
    for index, item in enumerate(document):
        fields = Fields(f"ImageMenu.limits[{index}]", item)
        limit = Limit(
            cpu=fields.number("cpu", None),
            memory_bytes=fields.memory("memory", None),
            resources=_parse_resources(fields, least=0),
            groups=frozenset(fields.some_texts("groups")),
        )
        fields.finish()
        limits.append(limit)
    return tuple(limits)


def limit_for(limits: Iterable[Limit], groups: Iterable[str]) -> Limit:
    """Return what a member of these groups may have: of each thing the most that any limit gives.

    A limit for one of the groups takes the place of those for everybody.
    """
    members = frozenset(groups)
    every = list(limits)
    own = [limit for limit in every if not limit.groups.isdisjoint(members)]
    found = own or [limit for limit in every if not limit.groups]
    cpus = [limit.cpu for limit in found]
    memories = [limit.memory_bytes for limit in found]
    named = set.intersection(*(set(limit.resources) for limit in found)) if found else set()
    return Limit(
        cpu=None if None in cpus else max((cpu for cpu in cpus if cpu), default=None),
        memory_bytes=(
            None if None in memories else max((size for size in memories if size), default=None)
        ),
        resources={name: max(limit.resources[name] for limit in found) for name in sorted(named)},
        groups=frozenset(),
    )


def total(amounts: Iterable[Amount]) -> Amount:
    """Add amounts up."""
    cpu, memory_bytes = 0.0, 0
    resources: Counter[str] = Counter()
    for amount in amounts:
        cpu += amount.cpu
        memory_bytes += amount.memory_bytes
        resources.update(amount.resources)
    return Amount(cpu=cpu, memory_bytes=memory_bytes, resources=dict(resources))


def amount_of(size: Size) -> Amount:
    """Return what a server of that size counts for: its limits."""
    return Amount(cpu=size.cpu, memory_bytes=size.memory_bytes, resources=size.resources)


def excess(size: Size, used: Amount, limit: Limit) -> str:
    """Return why a size is too much beside what is in use, empty where it is not.

    The text is fit to follow the size's name, as ``takes 4 CPU, and 6 of your 8 are in use``.
    """
    wanted = amount_of(size)
    if limit.cpu is not None and used.cpu + wanted.cpu > limit.cpu + _ROUNDING:
        return _too_much(f"{wanted.cpu:g} CPU", used.cpu, f"{used.cpu:g}", f"{limit.cpu:g}")
    if limit.memory_bytes is not None and used.memory_bytes + wanted.memory_bytes > (
        limit.memory_bytes
    ):
        return _too_much(
            in_gib(wanted.memory_bytes),
            used.memory_bytes,
            in_gib(used.memory_bytes),
            in_gib(limit.memory_bytes),
        )
    for name, most in limit.resources.items():
        count = wanted.resources.get(name, 0)
        in_use = used.resources.get(name, 0)
        if count and in_use + count > most:
            return _too_much(f"{count} {name}", in_use, str(in_use), str(most))
    return ""


def _too_much(wanted: str, used: float, in_use: str, most: str) -> str:
    if not used:
        return f"takes {wanted}, and you may have {most}"
    return f"takes {wanted}, and {in_use} of your {most} are in use"


def in_gib(size_bytes: int) -> str:
    """Write an amount of memory for people."""
    size = size_bytes / 1024**3
    return f"{size:.0f} GiB" if size >= _WHOLE_GIB else f"{size:.3g} GiB"
