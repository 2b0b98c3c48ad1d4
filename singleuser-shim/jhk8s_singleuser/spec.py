"""The start spec: the JSON document in which the hub says what this container is to become."""

from __future__ import annotations

import json

from .document import Node
from .exits import BAD_SPEC, StartError
from .record import Record

DEFAULT_PATH = "/etc/jhk8s/start.json"
VERSION = 1

DIRECT = "direct"
EPHEMERAL = "ephemeral"
DIRECTORY = "directory"
FILE = "file"


class Group(Record):
    """A group of the user."""

    name: str
    gid: int


class User(Record):
    """Who the server runs as."""

    name: str
    uid: int
    gid: int
    shell: str
    groups: tuple[Group, ...]


class Link(Record):
    """A name in the ephemeral home for something that lasts.

    ``path`` is relative to the home. ``target`` is relative to the store and ``"."`` is the store
    itself. ``kind`` is `DIRECTORY` or `FILE`. Directories made in the store get ``mode``.
    """

    path: str
    target: str
    kind: str
    mode: int


class Home(Record):
    """Where the user's home is.

    ``kind`` is `DIRECT`, where the real home is mounted at ``path``, or `EPHEMERAL`, where ``path``
    is made when the container starts and ``store`` is where the real home is mounted, if at all.
    """

    path: str
    kind: str
    store: str | None
    links: tuple[Link, ...]


class Image(Record):
    """What the container runs.

    ``reference`` is the whole name, ``digest`` is empty where the name has none, and ``title`` is
    what the user has read in the menu.
    """

    reference: str
    digest: str
    title: str


class Size(Record):
    """How much of a node the user has chosen: its limits, ``cpu`` in cores."""

    name: str
    title: str
    cpu: float
    memory_bytes: int


class StartSpec(Record):
    """The whole document.

    ``image`` and ``size`` are None where there was no menu, or no sizes in it. ``move_aside`` are
    paths relative to the home.
    """

    user: User
    home: Home
    working_directory: str
    unset: tuple[str, ...]
    image: Image | None
    size: Size | None
    move_aside: tuple[str, ...]


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
    _, user, home, working_directory, unset, image, size, move_aside = top.members(
        "version", "user", "home", "working_directory", "unset", "image", "size", "move_aside"
    )
    return StartSpec(
        user=_parse_user(user),
        home=_parse_home(home),
        working_directory=working_directory.absolute_path(),
        unset=tuple(name.text() for name in unset.items()),
        image=None if image.value is None else _parse_image(image),
        size=None if size.value is None else _parse_size(size),
        move_aside=tuple(path.relative_path() for path in move_aside.items()),
    )


def _parse_user(node: Node) -> User:
    name, uid, gid, shell, groups = node.members("name", "uid", "gid", "shell", "groups")
    return User(
        name=name.text(),
        uid=uid.user_or_group_id(),
        gid=gid.user_or_group_id(),
        shell=shell.absolute_path(),
        groups=tuple(_parse_group(group) for group in groups.items()),
    )


def _parse_group(node: Node) -> Group:
    name, gid = node.members("name", "gid")
    return Group(name=name.text(), gid=gid.user_or_group_id())


def _parse_home(node: Node) -> Home:
    path, kind, store, links = node.members("path", "kind", "store", "links")
    home = Home(
        path=path.plain_absolute_path(),
        kind=kind.choice(DIRECT, EPHEMERAL),
        store=None if store.value is None else store.plain_absolute_path(),
        links=tuple(_parse_link(link) for link in links.items()),
    )
    if home.kind == DIRECT and home.store is not None:
        raise store.refusal(f"{home.store!r} is given although home.kind is {DIRECT!r}")
    if home.links and home.store is None:
        raise links.refusal("there are links although home.store is null")
    if home.store is not None and is_within(home.store, home.path):
        raise store.refusal(f"{home.store!r} is within the ephemeral home {home.path!r}")
    _check_links_apart(home.links, links)
    return home


def _parse_link(node: Node) -> Link:
    path, target, kind, mode = node.members("path", "target", "kind", "mode")
    link = Link(
        path=path.relative_path(),
        target="." if target.value == "." else target.relative_path(),
        kind=kind.choice(DIRECTORY, FILE),
        mode=mode.mode(),
    )
    if link.kind == FILE and link.target == ".":
        raise target.refusal(f"'.' is the store, a directory, although the kind is {FILE!r}")
    return link


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


def is_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory's, or below it, as far as their names tell."""
    return path == directory or path.startswith(directory + "/")
