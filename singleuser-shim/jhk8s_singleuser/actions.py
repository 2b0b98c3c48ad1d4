"""What a start can consist of: the steps of a plan, as values that a test can compare."""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import File, GitCredential, User


class Action(Record):
    """The base of what a step can do."""


class WriteAccounts(Action):
    """Give the user and the user's groups their names in the image's own account files.

    ``home`` is what passwd(5) says of it.
    """

    user: User
    home: str


class AllowSudo(Action):
    """Let ``uid`` become root by sudo, or nobody of ours where it is None."""

    uid: int | None


class RunHooks(Action):
    """Run what is in the directories, in the order of the names, and keep their environment.

    What fails is reported; an ``essential`` one ends the start. ``user`` is whom they work for.
    """

    folders: tuple[str, ...]
    user: User
    as_root: bool
    essential: bool


class BecomeUser(Action):
    """Give up root for good, unless ``may_return`` by sudo."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    may_return: bool


class SetUmask(Action):
    """Set the umask of the server, and of what follows here."""

    umask: int


class UseDirectory(Action):
    """See that a directory is there and can be entered and listed.

    One that is missing is waited for, ``wait_seconds`` at most.
    """

    path: str
    wait_seconds: int


class TryWriting(Action):
    """See whether anything can be written in a directory.

    Where it is full or read-only, the server is told to keep its own files elsewhere, so that it
    starts and the user can make room.
    """

    path: str


class CopySkeleton(Action):
    """Copy the files of a directory into the home where they are missing."""

    source: str
    home: str


class WriteFiles(Action):
    """Write files of the operator's below ``home``.

    What one of them replaces is moved aside under a name that holds the date ``today``.
    """

    home: str
    files: tuple[File, ...]
    today: str


class WriteGitCredentials(Action):
    """Put one line for each host into ``.git-credentials`` below ``home``; other lines stay.

    A link there is followed inside of the home and of ``store``, if there is one.
    """

    home: str
    store: str | None
    credentials: tuple[GitCredential, ...]


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
