"""Real file systems that are full, over a quota, read-only, or of a kind of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = os.urandom(4096)  # that no file system can make smaller


class Mounts:
    """File systems mounted for one test, which root alone can; ``close`` takes them away.

    Parameters
    ----------
    folder
        For what they are made of.
    uid
        Who owns what is in them.
    """

    def __init__(self, folder: Path, uid: int) -> None:
        self._folder = folder
        self._uid = uid
        self._mounted: list[Path] = []
        self._helpers: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for path in reversed(self._mounted):
            _run("umount", "--lazy", path)
        for helper in self._helpers:
            helper.kill()
            helper.wait()

    def mount(self, kind: str, path: Path) -> None:
        """Mount a home in which nothing can be written: ``full``, ``quota`` or ``read-only``.

        It has a notebook, a folder that holds something, and a file ``big`` of 600 kB.
        """
        if kind == "full":
            self.small(path)
        elif kind == "quota":
            self.with_quota(path)
        else:
            self.small(path)
        self._furnish(path)
        if kind == "read-only":
            _run("mount", "-o", "remount,ro", path)
        else:
            fill(path / "rest")

    def small(self, path: Path) -> None:
        """Mount a tmpfs of 1 MiB."""
        options = f"size=1m,mode=0700,uid={self._uid},gid={self._uid}"
        self._mount("-t", "tmpfs", "-o", options, "none", path)

    def without_inodes(self, path: Path) -> None:
        """Mount a tmpfs that has room for no more names, and that everybody may write in."""
        self._mount("-t", "tmpfs", "-o", "size=64k,nr_inodes=2,mode=0777", "none", path)
        (path / "last").touch()

    def with_quota(self, path: Path) -> None:
        """Mount a Btrfs subvolume that may hold 1 MiB."""
        image, whole = self._folder / "btrfs", self._folder / "whole"
        with image.open("wb") as file:
            file.truncate(128 << 20)
        _run("mkfs.btrfs", "--quiet", image)
        whole.mkdir()
        self._mount("-o", "loop", image, whole)
        _run("btrfs", "quota", "enable", whole)
        home = whole / "home"
        _run("btrfs", "subvolume", "create", home)
        _run("btrfs", "qgroup", "limit", "1M", home)
        os.chown(home, self._uid, self._uid)
        home.chmod(0o700)
        self._mount("--bind", home, path)

    def fuse(self, source: Path, path: Path) -> subprocess.Popen[bytes]:
        """Mount a folder by bindfs at another; return the process that serves it."""
        command = ["bindfs", "-f", str(source), str(path)]
        helper = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._helpers.append(helper)
        deadline = time.monotonic() + 20
        while not path.is_mount():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._mounted.append(path)
        return helper

    def unmount(self, path: Path) -> None:
        self._mounted.remove(path)
        _run("umount", "--lazy", path)

    def _mount(self, *words: object) -> None:
        _run("mount", *words)
        path = words[-1]
        self._mounted.append(path)  # type: ignore[arg-type]

    def _furnish(self, path: Path) -> None:
        (path / "analysis.ipynb").write_text(_NOTEBOOK)
        (path / "big").write_bytes(_BLOCK * 150)
        (path / "folder").mkdir()
        (path / "folder/inner").write_text("a file")
        for each in (path, *path.rglob("*")):
            os.chown(each, self._uid, self._uid)


def fill(path: Path) -> None:
    """Write to a file until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            assert file.tell() < 1 << 24
            file.write(_BLOCK)
            os.fsync(file.fileno())
    with contextlib.suppress(OSError), path.with_name("last").open("wb", buffering=0) as file:
        while True:
            assert file.tell() < 1 << 20
            file.write(b"x")
            os.fsync(file.fileno())


def _run(*words: object) -> None:
    command = list(map(str, words))
    subprocess.run(command, check=True, capture_output=True)


_NOTEBOOK = """{
 "cells": [{"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {},
            "outputs": [{"data": {"text/html": "<b>1</b>"}, "metadata": {},
                         "output_type": "display_data"}], "source": "1"}],
 "metadata": {"kernelspec": {"display_name": "Python 3", "name": "python3"}},
 "nbformat": 4, "nbformat_minor": 5
}
"""
