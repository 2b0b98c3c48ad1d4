"""The volumes of a pod as folders, and the mounts of a container as binds of those."""

from __future__ import annotations

import os
import posixpath
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jhk8s_ext.cli.demo.variables import MissingError, expand, read_content, read_field
from jhk8s_ext.cli.demo.variables import read_resource as read_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.cli.demo.mounts import Bind
    from jhk8s_ext.cli.demo.objects import ObjectStore
    from jhk8s_ext.pod.fragment import Manifest

_FILE_MODE = 0o644


class VolumeError(Exception):
    """A volume cannot be had, at least not yet."""


class Volumes:
    """The volumes of one pod.

    Parameters
    ----------
    folder
        Of the pod, for what ends with it.
    claims
        Folder of the claims, which last.
    store
        Claims, Secrets and config maps.
    """

    def __init__(self, folder: Path, claims: Path, store: ObjectStore) -> None:
        self._folder = folder
        self._claims = claims
        self._store = store

    def make(self, pod: Manifest) -> dict[str, Path]:
        """Make the volumes, and return the path of each by its name.

        Raises
        ------
        VolumeError
            If one cannot be had, with which and why.
        """
        made = {}
        for volume in pod["spec"].get("volumes") or []:
            try:
                made[volume["name"]] = self._make_one(volume, pod)
            except (MissingError, OSError) as error:  # noqa: PERF203 - which one is what is asked
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                ) from error
        return made

    def _make_one(self, volume: Manifest, pod: Manifest) -> Path:
        folder: Path = self._folder / volume["name"]
        namespace = pod["metadata"]["namespace"]
        sources = {key: value for key, value in volume.items() if key != "name"}
        if "emptyDir" in sources or not sources:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
            return folder
        if "persistentVolumeClaim" in volume:
            return self._claim(namespace, volume["persistentVolumeClaim"]["claimName"])
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if source := volume.get("projected"):
            parts = source.get("sources") or []
        else:
            parts = [sources]
            source = next(iter(sources.values())) or {}
        default_mode = source.get("defaultMode", _FILE_MODE)
        files: dict[str, tuple[bytes, int]] = {}
        for part in parts:
            files |= self._files(part, pod, default_mode)
        _write_files(folder, files)
        return folder

    def _claim(self, namespace: str, name: str) -> Path:
        if self._store.find("persistentvolumeclaims", namespace, name) is None:
            raise MissingError(f'persistentvolumeclaim "{name}" not found')
        folder: Path = self._claims / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _files(
        self, part: Manifest, pod: Manifest, default_mode: int
    ) -> dict[str, tuple[bytes, int]]:
        kind, source = next(iter(part.items()))
        if kind == "downwardAPI":
            return {
                item["path"]: (self._downward(item, pod), item.get("mode", default_mode))
                for item in source.get("items") or []
            }
        resource = {"secret": "secrets", "configMap": "configmaps"}.get(kind)
        if resource is None:
            raise MissingError(f"the local runner does not have volumes of kind {kind}")
        content = read_content(self._store, resource, pod["metadata"]["namespace"], source)
        items = source.get("items")
        if items is None:
            return {key: (value, default_mode) for key, value in content.items()}
        files = {}
        for item in items:
            if item["key"] in content:
                files[item["path"]] = content[item["key"]], item.get("mode", default_mode)
            elif not source.get("optional"):
                raise MissingError(f"references non-existent {kind} key: {item['key']}")
        return files

    @staticmethod
    def _downward(item: Manifest, pod: Manifest) -> bytes:
        if field := item.get("fieldRef"):
            return read_field(pod, field["fieldPath"]).encode()
        return read_limit(item["resourceFieldRef"], {}, pod).encode()


def _host_path(source: Manifest) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(exist_ok=True)
    checks = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket}
    if not path.exists() or not checks.get(kind.removesuffix("OrCreate"), path.exists)():
        raise MissingError(f"hostPath type check failed: {path} is not a {kind or 'path'}")
    return path


def _write_files(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, (content, mode) in files.items():
        path = folder / name
        if os.path.normpath(path) != str(path) or folder not in path.parents:
            raise MissingError(f"{name!r} is not a path inside of the volume")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def build_binds(
    container: Manifest, volumes: Mapping[str, Path], environ: Mapping[str, str]
) -> list[Bind]:
    """Return what a container's mounts bind where.

    Raises
    ------
    VolumeError
        If a mount names no volume of the pod, or leaves its volume.
    """
    binds: list[Bind] = []
    for mount in container.get("volumeMounts") or []:
        name, path = mount["name"], mount["mountPath"]
        if name not in volumes:
            raise VolumeError(f'volumeMount "{name}" at {path}: the pod has no such volume')
        below = mount.get("subPath") or expand(mount.get("subPathExpr") or "", environ)
        source = volumes[name]
        if below:
            if below.startswith("/") or ".." in below.split("/"):
                raise VolumeError(f'subPath "{below}" of volume "{name}" leaves the volume')
            source /= below
            _check_inside(source, volumes[name], below)
            if not source.exists():
                source.mkdir(parents=True)
        binds.append(
            {
                "source": str(source),
                "target": posixpath.normpath(path),
                "read_only": bool(mount.get("readOnly")),
            }
        )
    return binds


def _check_inside(source: Path, volume: Path, below: str) -> None:
    # A link that somebody made in the volume leads nowhere else.
    real = source.resolve()
    if volume.resolve() not in (real, *real.parents):
        raise VolumeError(f'subPath "{below}" leads out of its volume')
