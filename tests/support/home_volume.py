"""A volume of homes, and the identities that make and remove homes on it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ADA, ADAS_GROUP, CLASS, MAKERS = 10001, 10001, 20101, 20500
GRACE = 10002

#: Kills itself before or after one of its changes to the file system, lets one fail, or lets
#: another process do the same right before it; or may not look at homes.
DRIVER = """
import errno, os, signal, sys
zipapp, number, what, *arguments = sys.argv[1:]
sys.path.insert(0, zipapp)
left = int(number)
def around(real):
    def change(*args, **kwargs):
        global left
        left -= 1
        if left != -1:
            return real(*args, **kwargs)
        if what == "meanwhile":
            other = os.fork()
            if not other:
                os._exit(run(arguments, environ, "/"))
            assert os.waitpid(other, 0)[1] == 0
            return real(*args, **kwargs)
        if what == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "after":
            real(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(getattr(errno, what), os.strerror(getattr(errno, what)))
    return change
def hidden(*args, **kwargs):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
if what == "hidden":
    os.stat, left = hidden, -1
for name in ("mkdir", "chmod", "fchmod", "fchown", "rename", "unlink", "rmdir"):
    setattr(os, name, around(getattr(os, name)))
from jhk8s_singleuser.__main__ import run
environ = {"JHK8S_TERMINATION_LOG": os.environ["JHK8S_TERMINATION_LOG"]}
sys.exit(run(arguments, environ, "/"))
"""


def become(uid, gid, *groups, capabilities=()):
    """Return the command that becomes somebody with these capabilities, as a container would."""
    bounds = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return (
        shutil.which("setpriv"),
        f"--reuid={uid}",
        f"--regid={gid}",
        f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups",
        f"--bounding-set={bounds}",
        "--inh-caps=-all",
        "--no-new-privs",
    )


#: The user with the gid of the provisioner, and root with the capability to give away.
BY_USER = become(ADA, MAKERS, ADAS_GROUP, CLASS)
BY_ROOT = become(0, 0, capabilities=["chown"])
#: What removal pods run as, beside the first.
AS_USER = become(ADA, ADAS_GROUP, CLASS)
AS_ROOT = become(0, 0)
AS_ARCHIVIST = become(0, 0, capabilities=["dac_override"])


@dataclass(frozen=True)
class Volume:
    """A folder with homes; only makers of homes may write in it."""

    path: Path
    zipapp: Path
    python: str

    def run(self, identity, *arguments, wrapper=()):
        """Run the shim; return what came of it."""
        command = [self.python, "-I", "-S", str(self.zipapp), *arguments]
        return self._run([*wrapper, *identity, *command])

    def drive(self, identity, number, what, *arguments):
        """Run it with something happening at the change of that number, from 0."""
        words = (str(self.zipapp), str(number), what, *arguments)
        return self._run([*identity, self.python, "-I", "-S", "-c", DRIVER, *words])

    def start(self, identity, *arguments):
        """Run it beside others."""
        command = [*identity, self.python, "-I", "-S", str(self.zipapp), *arguments]
        return subprocess.Popen(command, cwd="/", env=self._environ, stderr=subprocess.PIPE)

    def start_other(self, identity, *command):
        """Let somebody do something meanwhile."""
        return subprocess.Popen([*identity, *command], cwd="/", stderr=subprocess.DEVNULL)

    def _run(self, command):
        return subprocess.run(
            command,
            cwd="/",
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def _environ(self):
        return {"PATH": "/usr/bin:/bin", "JHK8S_TERMINATION_LOG": str(self.said)}

    @property
    def said(self):
        """Return the file that Kubernetes shows in the pod's status."""
        return self.path.parent / "termination-log"

    def make(self, identity=BY_USER, path="ada", mode="0700", gid=ADAS_GROUP, **options):
        """Make Ada's home."""
        return self.run(identity, *self.make_words(path, mode, gid), **options)

    def make_words(self, path="ada", mode="0700", gid=ADAS_GROUP):
        return (
            *("--make-home", path, "--below", str(self.path)),
            *("--uid", str(ADA), "--gid", str(gid), "--mode", mode),
        )

    def words(self, command, path="ada", to=""):
        """Return the arguments of another command on Ada's home."""
        target = ("--to", to) if to else ()
        return (command, path, "--below", str(self.path), "--uid", str(ADA), *target)

    def folder(self, name, uid=ADA, gid=ADAS_GROUP, mode=0o700):
        """Make a folder as somebody else would have."""
        path = self.path / name
        path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)
        return path


def make_volume(zipapp, python):
    """Return a volume as the documentation says: 1771, of root and the makers' group."""
    outer = Path(tempfile.mkdtemp(prefix="jhk8s-volume-"))
    outer.chmod(0o755)
    (outer / "termination-log").touch()
    (outer / "termination-log").chmod(0o666)
    homes = outer / "homes"
    homes.mkdir()
    os.chown(homes, 0, MAKERS)
    homes.chmod(0o1771)
    return Volume(homes, zipapp, python)


def look(path):
    """Return mode, uid and gid of what is at a path, itself."""
    status = os.lstat(path)
    return oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid


def names(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def whole(folder):
    """Return all that is in a folder: path to mode, ids and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.is_file() and path.read_text()
        found[str(path.relative_to(folder))] = (*look(path), content)
    return found
