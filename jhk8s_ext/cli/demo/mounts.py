"""A container's own view of the file system, made by an ordinary user.

User and mount namespaces (user_namespaces(7), mount_namespaces(7)) by their system calls, with
nothing but the standard library: this runs between fork and exec.
"""

# ruff: noqa: PTH102, PTH110, PTH112, PTH114, PTH115
# ruff: noqa: PTH120, PTH123, PTH208, PTH211
# ruff: noqa: PTH116
# pathlib is slow to import, and descriptors are needed.

from __future__ import annotations

import ctypes
import os
import platform
import stat
from typing import Any, TypedDict

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000

_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
#: One number on every architecture that has it, and new enough for all that do.
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

#: What of the computer is in every container: what an image has, too.
SYSTEM = ("bin", "sbin", "usr", "etc", "opt", "var", "nix", "gnu")
_EMPTY = ("home", "root", "mnt", "media", "srv", "run", "tmp")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_MAX_LINKS = 40


class Bind(TypedDict):
    """Something of the computer that appears in a container."""

    source: str
    target: str
    read_only: bool


class Namespaces(TypedDict):
    """What `enter_namespaces` and `build_root` need, as JSON."""

    root: str
    uid: int
    gid: int
    hostname: str
    pid_namespace: bool
    binds: list[Bind]
    #: Paths of the Python environment, to be seen at their places whatever is mounted above.
    kept: list[str]


def is_possible() -> bool:
    """Say whether this computer is one whose system calls are known here."""
    return os.uname().sysname == "Linux" and platform.machine() in _SYS_PIVOT_ROOT


def enter_namespaces(plan: Namespaces) -> None:
    """Become the container's user, in namespaces of one's own.

    Raises
    ------
    OSError
        Where the kernel, or its administrator, does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWUTS
    if plan["pid_namespace"]:
        flags |= _CLONE_NEWPID
    try:
        _call("unshare", "make a user namespace", flags)
    except OSError as error:
        # Where none is left, the kernel says that there is no space on the device.
        raise OSError(error.errno, "user namespaces are not allowed here") from error
    # Without it an ordinary user may not map a gid, user_namespaces(7).
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{plan['uid']} {uid} 1")
    _write("/proc/self/gid_map", f"{plan['gid']} {gid} 1")
    name = plan["hostname"].encode()
    _call("sethostname", "set the host name", name, len(name))


def build_root(plan: Namespaces) -> None:
    """Make the container's root and change into it.

    Raises
    ------
    OSError
        With what could not be mounted.
    """
    root = plan["root"]
    mount(None, "/", None, _REC | _PRIVATE)
    mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=16m")
    ours = [root]
    for name in sorted(os.listdir("/")):
        if name in SYSTEM or name.startswith("lib"):
            _show_system(f"/{name}", f"{root}/{name}")
    for name in _EMPTY:
        os.mkdir(f"{root}/{name}", 0o755)
    _make_devices(root)
    _make_proc(root, own=plan["pid_namespace"])
    for bind in sorted(plan["binds"], key=lambda bind: bind["target"].count("/")):
        target = _make_mount_point(root, bind["target"], bind["source"], ours)
        mount(bind["source"], target, None, _BIND | _REC)
        if bind["read_only"]:
            make_read_only(target)
    for path in plan["kept"]:
        if not _is_shown(root, path):
            target = _make_mount_point(root, path, path, ours)
            mount(path, target, None, _BIND | _REC)
            make_read_only(target)
    for path in reversed(ours):
        _remount_read_only(path)
    _change_root(root)


def _show_system(path: str, target: str) -> None:
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
    elif os.path.isdir(path):
        os.mkdir(target)
        mount(path, target, None, _BIND | _REC)
        # Root's own demo, or a folder that its user may write to: a container's image is read-only.
        make_read_only(target)


def _make_devices(root: str) -> None:
    dev = f"{root}/dev"
    os.mkdir(dev, 0o755)
    mount("tmpfs", dev, "tmpfs", _NOSUID, "mode=0755,size=1m")
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):
            _touch(f"{dev}/{name}")
            mount(f"/dev/{name}", f"{dev}/{name}", None, _BIND)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(f"{dev}/pts", 0o755)
    mount("devpts", f"{dev}/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.mkdir(f"{dev}/shm", 0o777)
    mount("tmpfs", f"{dev}/shm", "tmpfs", _NOSUID | _NODEV, "mode=1777,size=64m")


def _make_proc(root: str, *, own: bool) -> None:
    os.mkdir(f"{root}/proc", 0o555)
    if own:
        mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    else:
        mount("/proc", f"{root}/proc", None, _BIND | _REC)
    os.mkdir(f"{root}/sys", 0o555)
    mount("/sys", f"{root}/sys", None, _BIND | _REC)
    make_read_only(f"{root}/sys")


def _make_mount_point(root: str, path: str, source: str, ours: list[str]) -> str:
    """Make the file or folder that is mounted on, where it is missing; return where it is.

    A folder of the computer cannot be written to: it is replaced by one of ours, with all that is
    in it mounted inside.
    """
    is_folder = os.path.isdir(source)
    present, missing = _resolve(root, path)
    for index, name in enumerate(missing):
        is_last = index == len(missing) - 1
        target = f"{present}/{name}"
        try:
            _make(target, is_folder=is_folder or not is_last)
        except OSError:
            _replace_folder(present, ours)
            _make(target, is_folder=is_folder or not is_last)
        present = target
    return present


def _make(path: str, *, is_folder: bool) -> None:
    if is_folder:
        os.mkdir(path, 0o755)
    else:
        _touch(path)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def _resolve(root: str, path: str) -> tuple[str, list[str]]:
    """Follow a path below a root that is not ours yet, absolute links too.

    Returns
    -------
    str
        What there is of it.
    list of str
        Names that are missing below.
    """
    names = [name for name in path.split("/") if name not in ("", ".")]
    present = root
    links = 0
    while names:
        name = names.pop(0)
        if name == "..":
            present = root if present == root else os.path.dirname(present)
            continue
        try:
            status = os.lstat(f"{present}/{name}")
        except FileNotFoundError:
            return present, [name, *names]
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(40, "too many symbolic links", path)
            target = os.readlink(f"{present}/{name}")
            if target.startswith("/"):
                present = root
            names = [part for part in target.split("/") if part not in ("", ".")] + names
        else:
            present = f"{present}/{name}"
    return present, []


def _replace_folder(path: str, ours: list[str]) -> None:
    """Put a folder of ours in the place of one of the computer's, with the same things in it."""
    before = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        names = os.listdir(f"/proc/self/fd/{before}")
        mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=16m")
        ours.append(path)
        for name in names:
            source, target = f"/proc/self/fd/{before}/{name}", f"{path}/{name}"
            mode = os.lstat(source).st_mode
            if stat.S_ISLNK(mode):
                os.symlink(os.readlink(source), target)
            elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                _make(target, is_folder=stat.S_ISDIR(mode))
                mount(source, target, None, _BIND | _REC)
    finally:
        os.close(before)


def _is_shown(root: str, path: str) -> bool:
    present, missing = _resolve(root, path)
    if missing:
        return False
    seen, wanted = os.stat(present), os.stat(path)
    return (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino)


def _change_root(root: str) -> None:
    os.chdir(root)
    # Both at one place, and the old one, which lies on top, goes: pivot_root(2).
    number = _SYS_PIVOT_ROOT[platform.machine()]
    _call("syscall", "change the root", number, b".", b".")
    _call("umount2", "leave the old root", b".", _DETACH)
    os.chdir("/")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    """Call mount(2).

    Raises
    ------
    OSError
        With the target.
    """
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    data = None if options is None else options.encode()
    _call("mount", f"mount {target}", *texts, ctypes.c_ulong(flags), data)


def make_read_only(path: str) -> None:
    """Make a mount read-only, with all that is mounted below it where the kernel can do that.

    Raises
    ------
    OSError
        Where it stays writable.
    """

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clr", "propagation", "userns")]

    attributes = Attributes(set=1)
    done = _libc().syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if done != 0:
        _remount_read_only(path)


def _remount_read_only(path: str) -> None:
    # Of a mount that came from outside, no flag may be lost: mount_namespaces(7).
    kept = os.statvfs(path).f_flag
    flags = _REMOUNT | _BIND | _RDONLY | (kept & (_NOSUID | _NODEV | _NOEXEC | 1024 | 2048))
    flags |= 1 << 21 if kept & 4096 else 0
    mount(None, path, None, flags)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: str, purpose: str, *arguments: Any) -> None:
    if getattr(_libc(), function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {purpose}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
