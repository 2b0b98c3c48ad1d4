"""The start spec: the JSON document in which the hub says what this container is to become."""

from __future__ import annotations

from .record import Record

DEFAULT_PATH = "/etc/jhk8s/start.json"
VERSION = 1

ROOT = "root"
USER = "user"
DIRECT = "direct"
EPHEMERAL = "ephemeral"
DIRECTORY = "directory"
FILE = "file"


class Group(Record):
    """A group of the user."""

    name: str
    gid: int


class User(Record):
    """Who the server runs as.

    ``full_name`` has none of the characters that end a field of passwd(5). ``extra_gids`` are
    groups without a name, which root joins for the user. ``sudo`` is whether the user may become
    root, in a container that starts as root.
    """

    name: str
    uid: int
    gid: int
    shell: str
    full_name: str
    groups: tuple[Group, ...]
    extra_gids: tuple[int, ...]
    sudo: bool


class Link(Record):
    """A name in the ephemeral home for something that lasts.

    ``path`` is relative to the home. ``target`` is relative to the store, ``"."`` being the store
    itself, or an absolute path elsewhere. ``kind`` is `DIRECTORY` or `FILE`. Directories that are
    made get ``mode``. Without an ``essential`` one the server does not start.
    """

    path: str
    target: str
    kind: str
    mode: int
    essential: bool


class Home(Record):
    """Where the user's home is.

    ``kind`` is `DIRECT`, where the real home is mounted at ``path``, or `EPHEMERAL`, where ``path``
    is made when the container starts and ``store`` is where the real home is mounted, if at all.

    ``wait_seconds`` is how long a real home that is not there yet is waited for. ``skeleton`` is
    the directory whose files are copied into the home where they are missing, and ``umask`` that of
    the server, if it is not the container's.
    """

    path: str
    kind: str
    store: str | None
    links: tuple[Link, ...]
    wait_seconds: int
    skeleton: str | None
    umask: int | None


class File(Record):
    """A file of the operator's in the home.

    ``path`` is relative to the home. ``replace`` is whether one that is there is written anew; what
    the user has put there stays otherwise.
    """

    path: str
    text: str
    mode: int
    replace: bool


class GitCredential(Record):
    """A line of ``~/.git-credentials``; ``variable`` names the variable that holds the token."""

    host: str
    username: str
    variable: str


class Hooks(Record):
    """Directories of executable and shell files that prepare the environment of the server.

    ``before`` run before everything else and ``after`` right before the server, both as root where
    ``as_root``. A failing ``essential`` one ends the start.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    as_root: bool
    essential: bool


class Label(Record):
    """What the user sees of which container this is: ``stage`` is such as ``test``.

    ``text`` is shown in ``text_color`` on ``color``, CSS colours which are empty for the page's
    own; ``style`` is such as ``bold`` or ``italic``.
    """

    text: str
    stage: str
    color: str
    text_color: str
    style: str


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

    ``start_as`` is `ROOT` or `USER`, the user that the container begins as. ``image`` and ``size``
    are None where there was no menu, or no sizes in it. ``move_aside`` are paths relative to the
    home.
    """

    start_as: str
    user: User
    home: Home
    files: tuple[File, ...]
    git_credentials: tuple[GitCredential, ...]
    hooks: Hooks
    working_directory: str
    unset: tuple[str, ...]
    image: Image | None
    size: Size | None
    label: Label | None
    move_aside: tuple[str, ...]


def is_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory's, or below it, as far as their names tell."""
    return path == directory or path.startswith(directory + "/")
