"""The homes, on two exports where root has no power.

HOMES/homes/NAME     plain directories, 0700: for pods whose root has no capabilities
HOMES/squashed/NAME  FUSE mounts of HOMES/real/NAME that the user makes for itself: even
                     a root with every capability gets EACCES for a stat

A pod mounts HOMES/homes/NAME or HOMES/homes, but only the parent HOMES/squashed: the
container runtime stats what it mounts, as root.
"""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from daemon import Daemon
from places import HOMES

PLAIN = HOMES / "homes"
REAL = HOMES / "real"
SQUASHED = HOMES / "squashed"

# The uid is the gid, too. As in directory/tree.ldif; test_bed.py compares them.
OWNERS = {"ada": 10001, "grace": 10002, "linus": 10003, "zoe": 10004, "alan": 10006}

# FUSE lets only users mount whom the host knows, under whatever name.
_ACCOUNT = "jhk8s-{}"


def is_up() -> bool:
    """Tell whether every home is there and mounted."""
    return all(
        _mounter(name, uid).is_running() and _is_mounted(SQUASHED / name)
        for name, uid in OWNERS.items()
    )


def up() -> None:
    """Make the homes and let each user mount its own."""
    HOMES.mkdir(mode=0o711, parents=True, exist_ok=True)
    _open_fuse_to_users()
    for parent in (PLAIN, REAL, SQUASHED):
        parent.mkdir(exist_ok=True)
        parent.chmod(0o711)
    for name, uid in OWNERS.items():
        _make_account(name, uid)
        mounter = _mounter(name, uid)
        if mounter.is_running() and _is_mounted(SQUASHED / name):
            continue
        mounter.stop()
        _unmount(SQUASHED / name)
        for home in (PLAIN / name, REAL / name, SQUASHED / name):
            home.mkdir(exist_ok=True)
            os.chown(home, uid, uid)
            home.chmod(0o700)
        mounter.start(lambda path=SQUASHED / name: _is_mounted(path))


def down() -> None:
    """Unmount and remove the homes with all they hold, and the host's accounts for them."""
    for name, uid in OWNERS.items():
        _mounter(name, uid).stop()
        _unmount(SQUASHED / name)
        if _has_account(name):
            subprocess.run(["userdel", _ACCOUNT.format(name)], check=True)
    for folder in (PLAIN, REAL, SQUASHED):
        if folder.exists():
            shutil.rmtree(folder)
    if HOMES.exists() and not any(HOMES.iterdir()):
        HOMES.rmdir()


def _mounter(name: str, uid: int) -> Daemon:
    command = ("/usr/bin/bindfs", "-f", "--no-allow-other", str(REAL / name), str(SQUASHED / name))
    return Daemon(f"home-{name}", command, uid=uid)


def _open_fuse_to_users() -> None:
    """Give /dev/fuse the mode udev gives it, where no udev runs."""
    device = Path("/dev/fuse")
    if stat.S_IMODE(device.stat().st_mode) != 0o666:
        device.chmod(0o666)


def _make_account(name: str, uid: int) -> None:
    if not _has_account(name):
        # -o: another account may have the uid. -M, -N: no home, no group of its own.
        command = ["useradd", "-o", "-M", "-N", "-u", str(uid), "-s", "/usr/sbin/nologin"]
        subprocess.run([*command, _ACCOUNT.format(name)], check=True)


def _has_account(name: str) -> bool:
    return any(account.pw_name == _ACCOUNT.format(name) for account in pwd.getpwall())


def _is_mounted(path: Path) -> bool:
    # Read, for a stat is what root is refused.
    mounts = Path("/proc/mounts").read_text().splitlines()
    return any(mount.split(" ")[1] == str(path) for mount in mounts)


def _unmount(path: Path) -> None:
    if _is_mounted(path):
        subprocess.run(["umount", "--lazy", "--no-canonicalize", path], check=True)
