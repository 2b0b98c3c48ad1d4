"""From root to the user, for good."""

from __future__ import annotations

import os
import stat
import sys

from .context import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .actions import BecomeUser
    from .context import Context

_STATUS = "/proc/self/status"
# Kernels before 4.3 have no ambient set, and before 4.10 do not tell the flag: that it could be set
# is all there is to know then.
_CAPABILITY_SETS = ("CapPrm", "CapEff", "CapInh", "CapAmb")
_NO_NEW_PRIVS = "NoNewPrivs"
_CAP_SETPCAP = 8
# <linux/prctl.h> and <linux/capability.h>
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def become_user(action: BecomeUser, _: Context) -> None:
    """See `BecomeUser`.

    Raises
    ------
    OSError
        If the kernel refuses.
    StepError
        If it has let something of root remain.
    """
    _open_streams()
    status = _read_status()
    if not action.may_return:
        _renounce(status)
    if int(status["CapInh"], 16):
        _load_ctypes()  # while it can be read: root's Python may not be for everybody
    os.setgroups(action.groups)
    os.setresgid(action.gid, action.gid, action.gid)
    os.setresuid(action.uid, action.uid, action.uid)
    # The kernel has dropped the sets that count as the uid ceased to be 0. What may be left: an
    # inheritable set, which old container runtimes fill (CVE-2022-24769), and everything where
    # somebody has set the securebits that say so.
    if _held(_read_status()):
        _call("capset", _capability_header(), bytes(24))
    _check(action)


def _open_streams() -> None:
    """Let the user open the container's log by name, as /dev/stderr.

    The runtime makes its pipes for whom the container starts as. Nobody else can reach them: they
    are found by way of a process of the container's own user.
    """
    for descriptor in (1, 2):
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISFIFO(mode):
                os.fchmod(descriptor, stat.S_IMODE(mode) | stat.S_IWOTH)
        except OSError:  # noqa: PERF203 - there are two
            continue  # closed, or somebody else's: nobody needs it to start


def _renounce(status: dict[str, str]) -> None:
    """See that no program gives this process, or one below it, rights that it has not."""
    # The bounding set cannot be emptied without CAP_SETPCAP, which a pod's root has not. It does
    # not have to be: with no_new_privs no exec raises a capability or changes a uid, whatever the
    # file says. Where it can be, as under plain Docker, it is one lock more.
    bounding = int(status["CapBnd"], 16)
    if int(status["CapEff"], 16) & 1 << _CAP_SETPCAP:
        for capability in range(bounding.bit_length()):
            if bounding & 1 << capability:
                _call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
    if status.get(_NO_NEW_PRIVS) != "1":
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _check(action: BecomeUser) -> None:
    uids, gids, groups = os.getresuid(), os.getresgid(), sorted(os.getgroups())
    if uids != (action.uid,) * 3 or gids != (action.gid,) * 3:
        raise StepError(f"the process has the uids {uids} and the gids {gids} all the same")
    if groups != sorted(set(action.groups)):
        raise StepError(f"the process has the groups {groups} all the same")
    status = _read_status()
    if held := _held(status):
        raise StepError(f"the process has capabilities all the same ({held})")
    if not action.may_return and status.get(_NO_NEW_PRIVS, "1") != "1":
        raise StepError("the process can still gain rights by exec")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise StepError("the process can still become root")


def _held(status: dict[str, str]) -> str:
    sets = ((name, status.get(name, "0")) for name in _CAPABILITY_SETS)
    return ", ".join(f"{name} {value}" for name, value in sets if int(value, 16))


def _read_status() -> dict[str, str]:
    with open(_STATUS, errors="surrogateescape") as file:  # noqa: PTH123 - pathlib is slow to import
        fields = (line.partition(":") for line in file)
        return {name: value.strip() for name, _, value in fields}


def _capability_header() -> bytes:
    return _CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)  # pid 0: this process


def _call(name: str, *arguments: int | bytes) -> None:
    """Call a function of the C library that Python has no name for."""
    ctypes = _load_ctypes()
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    # prctl(2) looks at all bits of an argument register.
    words = (ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)
    if function(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _load_ctypes() -> ModuleType:
    try:
        import ctypes  # noqa: PLC0415 - a pod's usual start does without
    except ImportError as error:
        raise StepError(
            "the image's Python has no ctypes, which is needed unless the container has "
            "allowPrivilegeEscalation: false"
        ) from error
    return ctypes
