"""From a start spec to the steps that carry it out: decided here, done in `apply`.

Nothing here looks at the file system, so that a plan is a value a test can compare.
"""

from __future__ import annotations

from .actions import (
    AllowSudo,
    BecomeUser,
    ChangeDirectory,
    CopySkeleton,
    MakeDirectories,
    MakeHome,
    MakeLink,
    MoveAside,
    Plan,
    RunHooks,
    SetUmask,
    Step,
    TryWriting,
    UseDirectory,
    WriteAccounts,
    WriteFiles,
    WriteGitCredentials,
    WriteNotice,
)
from .exits import (
    BAD_ACCOUNTS,
    BAD_HOME,
    BAD_LINK,
    BAD_STORE,
    FAILED_HOOK,
    HOME_NOT_PERMITTED,
    WRONG_IDENTITY,
    StartError,
)
from .notice import NOTICE_NAME, build_notice
from .server import build_command, build_environment
from .spec import DIRECT, DIRECTORY, ROOT, is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .facts import Facts
    from .spec import Group, Home, Link, StartSpec


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
    _check_identity(spec, facts)
    is_root = spec.start_as == ROOT
    return Plan(
        warnings=() if is_root else tuple(_missing_groups(spec.user.groups, facts)),
        steps=(
            *(_root_steps(spec) if is_root else _hook_steps(spec, "before")),
            *_umask_steps(spec),
            *_home_steps(spec, facts),
            *_file_steps(spec, facts),
            *_directory_steps(spec),
            *(() if spec.hooks.as_root else _hook_steps(spec, "after")),
        ),
        command=build_command(arguments, environ),
        environ=build_environment(spec, environ),
    )


def _check_identity(spec: StartSpec, facts: Facts) -> None:
    user = spec.user
    if spec.start_as == ROOT:
        if facts.uid != 0:
            raise StartError(
                f"start_as: the container runs as uid {facts.uid} and not as root; "
                "see the pod's runAsUser",
                WRONG_IDENTITY,
            )
        return
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


def _root_steps(spec: StartSpec) -> Iterator[Step]:
    """Yield all that root does: nothing of it in a place that the user can write to."""
    user = spec.user
    yield Step(
        action=WriteAccounts(user=user, home=spec.home.path),
        origin="user",
        purpose=f"write the account {user.name} into /etc/passwd and /etc/group",
        exit_code=BAD_ACCOUNTS,
    )
    yield Step(
        action=AllowSudo(uid=user.uid if user.sudo else None),
        origin="user.sudo",
        purpose="allow sudo" if user.sudo else "take sudo away",
        exit_code=BAD_ACCOUNTS,
    )
    if spec.hooks.as_root:
        yield from _hook_steps(spec, "before")
        yield from _hook_steps(spec, "after")
    yield Step(
        action=BecomeUser(
            uid=user.uid,
            gid=user.gid,
            groups=tuple(
                dict.fromkeys([user.gid, *(group.gid for group in user.groups), *user.extra_gids])
            ),
            may_return=user.sudo,
        ),
        origin="user.uid",
        purpose=f"become uid {user.uid}",
        exit_code=WRONG_IDENTITY,
    )
    if not spec.hooks.as_root:
        yield from _hook_steps(spec, "before")


def _hook_steps(spec: StartSpec, when: str) -> Iterator[Step]:
    folders = spec.hooks.before if when == "before" else spec.hooks.after
    if folders:
        yield Step(
            action=RunHooks(
                folders=folders,
                user=spec.user,
                as_root=spec.hooks.as_root,
                essential=spec.hooks.essential,
            ),
            origin=f"hooks.{when}",
            purpose=f"run the hooks in {' and '.join(folders)}",
            exit_code=FAILED_HOOK if spec.hooks.essential else None,
        )


def _umask_steps(spec: StartSpec) -> Iterator[Step]:
    if spec.home.umask is not None:
        yield Step(
            action=SetUmask(umask=spec.home.umask),
            origin="home.umask",
            purpose=f"set the umask {spec.home.umask:04o}",
            exit_code=BAD_HOME,
        )


def _file_steps(spec: StartSpec, facts: Facts) -> Iterator[Step]:
    home = spec.home
    # Before the skeleton, which may have a file of the same name.
    if spec.files:
        yield Step(
            action=WriteFiles(home=home.path, files=spec.files, today=facts.today),
            origin="files",
            purpose=f"write the files of the configuration into {home.path}",
            exit_code=None,
        )
    if home.skeleton is not None:
        yield Step(
            action=CopySkeleton(source=home.skeleton, home=home.path),
            origin="home.skeleton",
            purpose=f"copy {home.skeleton} into {home.path}",
            exit_code=None,
        )
    if spec.git_credentials:
        yield Step(
            action=WriteGitCredentials(
                home=home.path, store=home.store, credentials=spec.git_credentials
            ),
            origin="git_credentials",
            purpose=f"write {home.path}/.git-credentials",
            exit_code=None,
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
    home, uid = spec.home, spec.user.uid
    if home.kind == DIRECT:
        yield Step(
            action=UseDirectory(path=home.path, wait_seconds=home.wait_seconds),
            origin="home.path",
            purpose=f"use the home {home.path} as uid {uid}",
            exit_code=BAD_HOME,
        )
        yield _try_writing("home.path", home.path)
        yield from _move_steps(spec, facts)
        return
    yield Step(
        action=MakeHome(path=home.path, uid=uid),
        origin="home.path",
        purpose=f"make the home {home.path} as uid {uid}",
        exit_code=BAD_HOME,
    )
    if home.store is not None:
        yield Step(
            action=UseDirectory(path=home.store, wait_seconds=home.wait_seconds),
            origin="home.store",
            purpose=f"use {home.store} as uid {uid}",
            exit_code=BAD_STORE,
        )
        yield _try_writing("home.store", home.store)
        # Before the links are made: with their targets, which are new then.
        yield from _move_steps(spec, facts)
    for index, link in enumerate(home.links):
        yield from _link_steps(link, f"home.links[{index}]", home, facts)
    taken = [*(link.path for link in home.links), *(file.path for file in spec.files)]
    if not any(path.split("/")[0] == NOTICE_NAME for path in taken):
        notice = f"{home.path}/{NOTICE_NAME}"
        yield Step(
            action=WriteNotice(path=notice, text=build_notice(home, spec.files)),
            origin="home.path",
            purpose=f"write {notice}",
            exit_code=None,
        )


def _try_writing(origin: str, path: str) -> Step:
    return Step(
        action=TryWriting(path=path),
        origin=origin,
        purpose=f"write in {path}",
        # Of a store, folders in it may be the user's.
        exit_code=HOME_NOT_PERMITTED if origin == "home.path" else None,
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
            if link.target.startswith("/"):
                continue  # what is elsewhere is not the user's home
            if is_within(path, link.path):
                rest = path[len(link.path) + 1 :]
                parts = [part for part in (link.target, rest) if part not in {"", "."}]
                yield home.store, "/".join(parts) or "."
            elif is_within(link.path, path):
                yield home.store, link.target


def _link_steps(link: Link, origin: str, home: Home, facts: Facts) -> Iterator[Step]:
    target = link.target
    if not target.startswith("/"):
        target = f"{home.store}/{target}" if target != "." else str(home.store)
    directory = target if link.kind == DIRECTORY else target.rpartition("/")[0]
    exit_code = BAD_LINK if link.essential else None
    if directory != home.store:
        yield Step(
            action=MakeDirectories(path=directory, mode=link.mode),
            origin=f"{origin}.target",
            purpose=f"make the folder {directory}",
            exit_code=exit_code,
        )
    yield Step(
        action=MakeLink(home=home.path, name=link.path, target=target, today=facts.today),
        origin=f"{origin}.path",
        purpose=f"make the link {home.path}/{link.path}",
        exit_code=exit_code,
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
