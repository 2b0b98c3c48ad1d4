"""From a start spec to the steps that carry it out: decided here, done in `apply`.

Nothing here looks at the file system, so that a plan is a value a test can compare.
"""

from __future__ import annotations

from .exits import BAD_HOME, BAD_STORE, WRONG_IDENTITY, StartError
from .notice import NOTICE_NAME, build_notice
from .record import Record
from .server import build_command, build_environment
from .spec import DIRECT, DIRECTORY, is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .facts import Facts
    from .spec import Group, Home, Link, StartSpec, User


class Action(Record):
    """The base of what a step can do."""


class UseDirectory(Action):
    """See that a directory is there and can be entered and listed."""

    path: str


class MakeHome(Action):
    """Make an ephemeral home of mode 0700, or take the one that ``uid`` made before."""

    path: str
    uid: int


class MakeDirectories(Action):
    """Make a directory, and its parents, where missing."""

    path: str
    mode: int


class MoveAside(Action):
    """Give what is at ``name`` below ``directory``, if anything is, a name with the date ``today``.

    ``directory`` is a home that lasts, and ``"."`` stands for all of it.
    """

    directory: str
    name: str
    today: str


class MakeLink(Action):
    """Put a symbolic link to ``target`` at ``name`` below ``home``.

    What is in the way is moved aside under a name that holds the date ``today``.
    """

    home: str
    name: str
    target: str
    today: str


class WriteNotice(Action):
    """Write ``text`` to ``path``, unless what is there is no regular file."""

    path: str
    text: str


class ChangeDirectory(Action):
    """Make ``path`` the working directory."""

    path: str


class Step(Record):
    """One thing to do before the server starts.

    ``origin`` is the path in the start spec that asks for it and ``purpose`` completes "cannot
    ..."; with the reason they make the sentence that reports a failure. ``exit_code`` is what a
    failure ends the start with; None marks an optional step, without which the server starts.
    """

    action: Action
    origin: str
    purpose: str
    exit_code: int | None


class Plan(Record):
    """All that the shim will do: report ``warnings``, take ``steps``, become ``command``."""

    warnings: tuple[str, ...]
    steps: tuple[Step, ...]
    command: tuple[str, ...]
    environ: dict[str, str]


def build_plan(
    spec: StartSpec, environ: Mapping[str, str], facts: Facts, arguments: Sequence[str]
) -> Plan:
    """Decide what to do.

    Parameters
    ----------
    spec
        What the hub wants.
    environ
        The environment the shim was started with.
    facts
        What the process is.
    arguments
        Of the shim: the server's command.

    Returns
    -------
    Plan

    Raises
    ------
    StartError
        With `WRONG_IDENTITY`, where the process does not run as the spec's user.
    """
    _check_identity(spec.user, facts)
    return Plan(
        warnings=tuple(_missing_groups(spec.user.groups, facts)),
        steps=(*_home_steps(spec, facts), *_directory_steps(spec)),
        command=build_command(arguments, environ),
        environ=build_environment(spec, environ),
    )


def _check_identity(user: User, facts: Facts) -> None:
    if facts.uid == 0:
        raise StartError(
            f"user.uid: the container runs as root and not as uid {user.uid}; a start as root is "
            "not supported by this version, set the pod's runAsUser",
            WRONG_IDENTITY,
        )
    if facts.uid != user.uid:
        raise StartError(
            f"user.uid: the container runs as uid {facts.uid} and not as uid {user.uid}; "
            "see the pod's runAsUser",
            WRONG_IDENTITY,
        )
    if facts.gid != user.gid:
        raise StartError(
            f"user.gid: the container runs with gid {facts.gid} and not with gid {user.gid}; "
            "see the pod's runAsGroup",
            WRONG_IDENTITY,
        )


def _missing_groups(groups: Sequence[Group], facts: Facts) -> Iterator[str]:
    for index, group in enumerate(groups):
        if group.gid != facts.gid and group.gid not in facts.groups:
            yield (
                f"user.groups[{index}]: the container does not run with gid {group.gid} "
                f"({group.name}), files shared with that group may be out of reach; "
                "see the pod's supplementalGroups"
            )


def _home_steps(spec: StartSpec, facts: Facts) -> Iterator[Step]:
    home = spec.home
    if home.kind == DIRECT:
        yield Step(
            action=UseDirectory(path=home.path),
            origin="home.path",
            purpose=f"use the home {home.path} as uid {facts.uid}",
            exit_code=BAD_HOME,
        )
        yield from _move_steps(spec, facts)
        return
    yield Step(
        action=MakeHome(path=home.path, uid=facts.uid),
        origin="home.path",
        purpose=f"make the home {home.path} as uid {facts.uid}",
        exit_code=BAD_HOME,
    )
    if home.store is not None:
        yield Step(
            action=UseDirectory(path=home.store),
            origin="home.store",
            purpose=f"use {home.store} as uid {facts.uid}",
            exit_code=BAD_STORE,
        )
        # Before the links are made: with their targets, which are new then.
        yield from _move_steps(spec, facts)
        for index, link in enumerate(home.links):
            yield from _link_steps(link, f"home.links[{index}]", home, home.store, facts)
    if not any(link.path.split("/")[0] == NOTICE_NAME for link in home.links):
        notice = f"{home.path}/{NOTICE_NAME}"
        yield Step(
            action=WriteNotice(path=notice, text=build_notice(home)),
            origin="home.path",
            purpose=f"write {notice}",
            exit_code=None,
        )


def _move_steps(spec: StartSpec, facts: Facts) -> Iterator[Step]:
    for index, path in enumerate(spec.move_aside):
        for directory, name in _lasting(path, spec.home):
            yield Step(
                action=MoveAside(directory=directory, name=name, today=facts.today),
                origin=f"move_aside[{index}]",
                purpose=f"move {directory}/{name} aside",
                exit_code=None,
            )


def _lasting(path: str, home: Home) -> Iterator[tuple[str, str]]:
    """Yield the directory that lasts, and the name in it, of whatever lasts at or below a path."""
    if home.kind == DIRECT:
        yield home.path, path
    elif home.store is not None:
        for link in home.links:
            if is_within(path, link.path):
                rest = path[len(link.path) + 1 :]
                parts = [part for part in (link.target, rest) if part not in {"", "."}]
                yield home.store, "/".join(parts) or "."
            elif is_within(link.path, path):
                yield home.store, link.target


def _link_steps(link: Link, origin: str, home: Home, store: str, facts: Facts) -> Iterator[Step]:
    target = store if link.target == "." else f"{store}/{link.target}"
    directory = target if link.kind == DIRECTORY else target.rpartition("/")[0]
    if directory != store:
        yield Step(
            action=MakeDirectories(path=directory, mode=link.mode),
            origin=f"{origin}.target",
            purpose=f"make the folder {directory}",
            exit_code=None,
        )
    yield Step(
        action=MakeLink(home=home.path, name=link.path, target=target, today=facts.today),
        origin=f"{origin}.path",
        purpose=f"make the link {home.path}/{link.path}",
        exit_code=None,
    )


def _directory_steps(spec: StartSpec) -> Iterator[Step]:
    """Enter the home first: that is where the server is when the place it wants cannot be had."""
    yield Step(
        action=ChangeDirectory(path=spec.home.path),
        origin="home.path",
        purpose=f"enter the home {spec.home.path}",
        exit_code=BAD_HOME,
    )
    if spec.working_directory != spec.home.path:
        yield Step(
            action=ChangeDirectory(path=spec.working_directory),
            origin="working_directory",
            purpose=f"enter {spec.working_directory}",
            exit_code=None,
        )
