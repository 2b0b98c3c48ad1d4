"""From the start spec's file to its records; whatever the contract does not name is refused."""

from __future__ import annotations

import json

from .document import Node
from .exits import BAD_SPEC, StartError
from .spec import (
    DIRECT,
    DIRECTORY,
    EPHEMERAL,
    FILE,
    ROOT,
    USER,
    VERSION,
    File,
    GitCredential,
    Group,
    Home,
    Hooks,
    Image,
    Label,
    Link,
    Size,
    StartSpec,
    User,
    is_within,
)


def read_spec(path: str) -> StartSpec:
    """Read the start spec from a file.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    StartSpec

    Raises
    ------
    StartError
        With `BAD_SPEC`, where the file cannot be read or is refused.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            content = file.read()
    except OSError as error:
        raise StartError(
            f"the start spec {path} cannot be read: {error.strerror}", BAD_SPEC
        ) from error
    try:
        return parse_spec(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise StartError(f"the start spec {path} is not JSON: {error}", BAD_SPEC) from error
    except StartError as error:
        raise StartError(f"the start spec {path}: {error.sentence}", BAD_SPEC) from error


def parse_spec(document: object) -> StartSpec:
    """Turn the document into a spec, refusing whatever the contract does not name.

    Parameters
    ----------
    document
        What `json.loads` gave.

    Returns
    -------
    StartSpec

    Raises
    ------
    StartError
        With `BAD_SPEC` and a sentence that begins with the path in the document.
    """
    top = Node(document)
    # Before anything else: of a later version, the number is the news, not some key it added.
    version = top.member("version")
    if version.integer() != VERSION:
        raise version.refusal(f"{version.value} is not {VERSION}, the one version known here")
    top.members("version", *StartSpec.__annotations__)
    image, size, label = (top.member(name) for name in ("image", "size", "label"))
    spec = StartSpec(
        start_as=top.member("start_as").choice(ROOT, USER),
        user=_parse_user(top.member("user")),
        home=_parse_home(top.member("home")),
        files=tuple(_parse_file(file) for file in top.member("files").items()),
        git_credentials=tuple(
            _parse_git_credential(entry) for entry in top.member("git_credentials").items()
        ),
        hooks=_parse_hooks(top.member("hooks")),
        working_directory=top.member("working_directory").absolute_path(),
        unset=tuple(name.text() for name in top.member("unset").items()),
        image=None if image.value is None else _parse_image(image),
        size=None if size.value is None else _parse_size(size),
        label=None if label.value is None else _parse_label(label),
        move_aside=tuple(path.relative_path() for path in top.member("move_aside").items()),
    )
    if spec.start_as == USER and spec.user.sudo:
        raise top.member("user").member("sudo").refusal(f"true although start_as is {USER!r}")
    if spec.start_as == USER and spec.hooks.as_root:
        raise top.member("hooks").member("as_root").refusal(f"true although start_as is {USER!r}")
    return spec


def _parse_user(node: Node) -> User:
    name, uid, gid, shell, full_name, groups, extra_gids, sudo = node.members(*User.__annotations__)
    return User(
        name=name.text(),
        uid=uid.user_or_group_id(),
        gid=gid.user_or_group_id(),
        shell=shell.absolute_path(),
        full_name=full_name.account_field(),
        groups=tuple(_parse_group(group) for group in groups.items()),
        extra_gids=tuple(gid.user_or_group_id() for gid in extra_gids.items()),
        sudo=sudo.boolean(),
    )


def _parse_group(node: Node) -> Group:
    name, gid = node.members("name", "gid")
    return Group(name=name.text(), gid=gid.user_or_group_id())


def _parse_home(node: Node) -> Home:
    path, kind, store, links, wait_seconds, skeleton, umask = node.members(*Home.__annotations__)
    home = Home(
        path=path.plain_absolute_path(),
        kind=kind.choice(DIRECT, EPHEMERAL),
        store=None if store.value is None else store.plain_absolute_path(),
        links=tuple(_parse_link(link) for link in links.items()),
        wait_seconds=wait_seconds.natural_number(),
        skeleton=None if skeleton.value is None else skeleton.plain_absolute_path(),
        umask=None if umask.value is None else umask.mode(),
    )
    if home.kind == DIRECT and home.store is not None:
        raise store.refusal(f"{home.store!r} is given although home.kind is {DIRECT!r}")
    if home.links and home.kind == DIRECT:
        raise links.refusal(f"there are links although home.kind is {DIRECT!r}")
    if home.store is None and any(not link.target.startswith("/") for link in home.links):
        raise links.refusal("there are links into the store although home.store is null")
    if home.store is not None and is_within(home.store, home.path):
        raise store.refusal(f"{home.store!r} is within the ephemeral home {home.path!r}")
    _check_links_apart(home.links, links)
    return home


def _parse_link(node: Node) -> Link:
    path, target, kind, mode, essential = node.members(*Link.__annotations__)
    link = Link(
        path=path.relative_path(),
        target=_parse_target(target),
        kind=kind.choice(DIRECTORY, FILE),
        mode=mode.mode(),
        essential=essential.boolean(),
    )
    if link.kind == FILE and link.target == ".":
        raise target.refusal(f"'.' is the store, a directory, although the kind is {FILE!r}")
    return link


def _parse_target(node: Node) -> str:
    if node.value == ".":
        return "."
    if node.text().startswith("/"):
        return node.plain_absolute_path()
    return node.relative_path()


def _parse_file(node: Node) -> File:
    path, text, mode, replace = node.members(*File.__annotations__)
    return File(
        path=path.relative_path(),
        text=text.text_or_empty(),
        mode=mode.mode(),
        replace=replace.boolean(),
    )


def _parse_git_credential(node: Node) -> GitCredential:
    host, username, variable = node.members(*GitCredential.__annotations__)
    return GitCredential(host=host.text(), username=username.text(), variable=variable.text())


def _parse_hooks(node: Node) -> Hooks:
    before, after, as_root, essential = node.members(*Hooks.__annotations__)
    return Hooks(
        before=tuple(folder.plain_absolute_path() for folder in before.items()),
        after=tuple(folder.plain_absolute_path() for folder in after.items()),
        as_root=as_root.boolean(),
        essential=essential.boolean(),
    )


def _parse_label(node: Node) -> Label:
    text, stage, color, text_color, style = node.members(*Label.__annotations__)
    return Label(
        text=text.text(),
        stage=stage.text_or_empty(),
        color=color.text_or_empty(),
        text_color=text_color.text_or_empty(),
        style=style.text_or_empty(),
    )


def _parse_image(node: Node) -> Image:
    reference, digest, title = node.members("reference", "digest", "title")
    return Image(reference=reference.text(), digest=digest.digest(), title=title.text_or_empty())


def _parse_size(node: Node) -> Size:
    name, title, cpu, memory_bytes = node.members("name", "title", "cpu", "memory_bytes")
    return Size(
        name=name.text(),
        title=title.text_or_empty(),
        cpu=cpu.positive_number(),
        memory_bytes=memory_bytes.positive_integer(),
    )


def _check_links_apart(links: tuple[Link, ...], node: Node) -> None:
    """Refuse a link at or below another: it would land in the store or push the other aside."""
    nodes = [item.member("path") for item in node.items()]
    for link, here in zip(links, nodes):
        for other, there in zip(links, nodes):
            if here is not there and is_within(link.path, other.path):
                raise here.refusal(f"{link.path!r} is within {there.path}, {other.path!r}")
