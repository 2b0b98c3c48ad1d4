"""Where a container's process runs: in namespaces of its own, or below a folder."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jhk8s_ext.cli.demo.image import write_relocated_shim
from jhk8s_ext.cli.demo.variables import MissingError, expand
from jhk8s_ext.pod.delivery import IMAGE_SHIM_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.cli.demo.image import Image
    from jhk8s_ext.cli.demo.mounts import Bind, Namespaces
    from jhk8s_ext.pod.fragment import Manifest

_TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `jhk8s_ext.cli.demo.process.start_process` needs, and where the last words will be."""

    command: list[str]
    directory: str
    no_new_privileges: bool
    namespaces: Namespaces | None
    termination_log: Path


class Sandbox(Protocol):
    """A way to run containers."""

    #: Whether containers have namespaces.
    namespaces: bool

    def prepare(
        self,
        container: Manifest,
        pod: Manifest,
        environ: Mapping[str, str],
        binds: list[Bind],
        folder: Path,
    ) -> Prepared:
        """Get a container ready to run.

        Parameters
        ----------
        container
            Of the pod.
        pod
            With its status.
        environ
            The container's.
        binds
            Its volume mounts.
        folder
            The container's own, empty.

        Raises
        ------
        MissingError
            If the manifest asks for what cannot be.
        OSError
            If the folder cannot be written to.
        """


class NamespaceSandbox:
    """Containers in user, mount, PID, IPC and UTS namespaces.

    Parameters
    ----------
    image
        Of every container.
    pid_namespace
        Whether this computer allows a ``/proc`` of one's own.
    """

    namespaces = True

    def __init__(self, image: Image, *, pid_namespace: bool) -> None:
        self._image = image
        self._pid_namespace = pid_namespace

    def prepare(
        self,
        container: Manifest,
        pod: Manifest,
        environ: Mapping[str, str],
        binds: list[Bind],
        folder: Path,
    ) -> Prepared:
        """Get a container ready to run; see `Sandbox`."""
        log = _termination_log(folder)
        root = folder / "root"
        root.mkdir()
        hosts = folder / "hosts"
        hosts.write_text(_hosts(pod), encoding="utf-8")
        security = container.get("securityContext") or {}
        ours: list[Bind] = [
            *(
                _bind(source, target, read_only=True)
                for target, source in self._image.files.items()
            ),
            _bind(hosts, "/etc/hosts", read_only=True),
            _bind(log, _log_path(container), read_only=False),
        ]
        if not security.get("readOnlyRootFilesystem"):
            for path in ("/tmp", "/var/tmp"):  # noqa: S108 - the container's, nobody else's
                source = folder / path.strip("/").replace("/", "-")
                source.mkdir()
                source.chmod(0o1777)
                ours.append(_bind(source, path, read_only=False))
        taken = {bind["target"] for bind in binds}
        uid, gid = _identity(container, pod)
        return Prepared(
            command=_command(container, environ),
            directory=container.get("workingDir") or "/",
            no_new_privileges=security.get("allowPrivilegeEscalation") is False,
            namespaces={
                "root": str(root),
                "uid": uid,
                "gid": gid,
                "hostname": pod["metadata"]["name"][:63],
                "pid_namespace": self._pid_namespace,
                "binds": [*(bind for bind in ours if bind["target"] not in taken), *binds],
                "kept": list(self._image.kept),
            },
            termination_log=log,
        )


class FolderSandbox:
    """Containers that run as the caller; a folder stands for ``/``, and links for mounts.

    What has a path in its own code goes to the computer's files. The start shim does not: it is
    told which folder is ``/``.

    Parameters
    ----------
    image
        Of every container.
    """

    namespaces = False

    def __init__(self, image: Image) -> None:
        self._image = image

    def prepare(
        self,
        container: Manifest,
        pod: Manifest,
        environ: Mapping[str, str],
        binds: list[Bind],
        folder: Path,
    ) -> Prepared:
        """Get a container ready to run; see `Sandbox`."""
        root = folder / "root"
        root.mkdir()
        _identity(container, pod)
        linked: list[str] = []
        for bind in sorted(binds, key=lambda bind: bind["target"].count("/")):
            target = bind["target"]
            if outer := next((path for path in linked if target.startswith(f"{path}/")), None):
                raise MissingError(
                    f"the mount at {target} lies inside of the one at {outer}, which needs user "
                    "namespaces"
                )
            path = root / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(bind["source"])
            linked.append(target)
        log = root / _log_path(container).lstrip("/")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        moved = {}
        for target, source in self._image.files.items():
            path = root / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if target == IMAGE_SHIM_PATH:
                write_relocated_shim(path, root, source)
            else:
                path.symlink_to(source)
            moved[target] = str(path)
        directory = posixpath.normpath(f"{root}/{container.get('workingDir') or ''}")
        security = container.get("securityContext") or {}
        return Prepared(
            command=[moved.get(word, word) for word in _command(container, environ)],
            directory=directory if Path(directory).is_dir() else container["workingDir"],
            no_new_privileges=security.get("allowPrivilegeEscalation") is False,
            namespaces=None,
            termination_log=log,
        )


def _command(container: Manifest, environ: Mapping[str, str]) -> list[str]:
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not words:
        raise MissingError("no command specified: the image's own is not known here")
    return [expand(word, environ) for word in words]


def _identity(container: Manifest, pod: Manifest) -> tuple[int, int]:
    """Return the container's uid and gid; this user's where the manifest leaves it open."""
    security = (pod["spec"].get("securityContext") or {}) | (container.get("securityContext") or {})
    wanted = security.get("runAsUser")
    # What an image would say; this one's user is never root, whoever runs the demo.
    uid = int(wanted) if wanted is not None else os.geteuid() or 1000
    gid = security.get("runAsGroup")
    if uid == 0 and security.get("runAsNonRoot"):
        raise MissingError("container has runAsNonRoot and image will run as root")
    return uid, int(gid) if gid is not None else os.getegid() or 1000


def _termination_log(folder: Path) -> Path:
    log = folder / "termination-log"
    log.touch()
    return log


def _log_path(container: Manifest) -> str:
    return container.get("terminationMessagePath") or _TERMINATION_LOG


def _bind(source: Path, target: str, *, read_only: bool) -> Bind:
    return {"source": str(source), "target": target, "read_only": read_only}


def _hosts(pod: Manifest) -> str:
    try:
        text = Path("/etc/hosts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    return f"{text.rstrip()}\n{pod['status']['podIP']}\t{pod['metadata']['name']}\n"
