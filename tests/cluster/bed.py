#!/usr/bin/env python3
"""The test bed: real servers for the tests marked `cluster`. See README.md here."""

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TextIO

import cluster
import directory
import homes
import images
import registry
from places import BED, BED_FILE, CACHE, HOST_IP, STATE
from progress import say

# In the order they come up: the servers listen on the address that comes with the cluster.
PARTS: dict[str, ModuleType] = {
    "cluster": cluster,
    "registry": registry,
    "directory": directory,
    "homes": homes,
    "images": images,
}
PACKAGES = (
    "bindfs",
    "debootstrap",
    "docker-registry",
    "iproute2",
    "ldap-utils",
    "openssl",
    "python3",
    "skopeo",
    "slapd",
)
# No program asks a question, and each speaks as those who read its output expect.
ENVIRON = {
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
    "PIP_NO_INPUT": "1",
}


class Interruption:
    """Ctrl-C, noted and acted upon between two steps.

    The programs that a step runs have got the signal as well: the step waits for them, for apt
    and our own scripts clean up behind themselves, and fails with them.
    """

    def __init__(self) -> None:
        self._is_asked = False

    def listen(self) -> None:
        """Replace the KeyboardInterrupt, at which Python kills the program it waits for."""
        signal.signal(signal.SIGINT, self._ask)

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was one."""
        if self._is_asked:
            raise KeyboardInterrupt

    def _ask(self, *_: object) -> None:
        self._is_asked = True


INTERRUPTION = Interruption()


def main() -> None:
    """Run the command line; end with 130 after Ctrl-C."""
    INTERRUPTION.listen()
    try:
        run()
        INTERRUPTION.check()
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            say("interrupted")
        sys.exit(128 + signal.SIGINT)


def run() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (
        ("up", "start what is not running, and leave it running"),
        ("down", "stop and remove everything but the caches"),
        ("status", "tell what is running"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("part", nargs="*", help=f"only these: {', '.join(PARTS)}")
    actions.add_parser("env", help="print the shell exports a client needs")
    args = parser.parse_args()
    if args.action == "env":
        print_exports()
        return
    names = args.part or list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen = {name: part for name, part in PARTS.items() if name in names}
    if args.action == "status":
        print_status(chosen)
        return
    if os.getuid() != 0:
        sys.exit("bed: needs root")
    take_no_input()
    os.environ.update(ENVIRON)
    try:
        with locked():
            (up if args.action == "up" else down)(chosen)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        INTERRUPTION.check()
        sys.exit(f"bed: {error}")


def take_no_input() -> None:
    """Give programs an empty input, even where ours is closed."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != 0:
        os.dup2(nothing, 0)
        os.close(nothing)
    os.set_inheritable(0, True)  # noqa: FBT003 - it has no keywords


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Let one run at a time change the bed: two at once would start everything twice."""
    file = STATE / "lock"
    has_told = False
    while True:
        INTERRUPTION.check()
        STATE.mkdir(parents=True, exist_ok=True)
        with file.open("w") as lock:
            if _got(lock, file):
                yield
                return
        if not has_told:
            say("waiting for another bed.py")
            has_told = True
        time.sleep(0.2)


def _got(lock: TextIO, file: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # `down` removes the file: who waited may hold one that is gone.
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def up(parts: dict[str, ModuleType]) -> None:
    """Start what is not running."""
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run([BED / "debian.sh", "install", *PACKAGES], check=True)
    for name, part in parts.items():
        INTERRUPTION.check()
        if part.is_up():
            say(f"{name}: up")
            continue
        INTERRUPTION.check()  # what is interrupted does not look up
        say(f"{name}: starting")
        part.up()
        say(f"{name}: started")
    INTERRUPTION.check()
    BED_FILE.write_text(json.dumps(description(), indent=2) + "\n")


def down(parts: dict[str, ModuleType]) -> None:
    """Stop and remove; the caches stay."""
    for name, part in reversed(parts.items()):
        INTERRUPTION.check()
        say(f"{name}: stopping")
        part.down()
    if parts.keys() == PARTS.keys():
        shutil.rmtree(STATE)
    say("down")


def description() -> dict[str, object]:
    """Describe the bed to the tests."""
    target = cluster.cluster()
    return {
        "kubeconfig": target.kubeconfig,
        "kubectl": target.kubectl,
        "is_own_node": target.is_own,
        "host_ip": HOST_IP,
        "registry": registry.ADDRESS,
        "images": {image.name: image.reference for image in images.IMAGES},
        "directory": {
            "hosts": directory.HOSTS,
            "port": directory.PORT,
            "tls_port": directory.TLS_PORT,
            "ca_file": str(directory.CA_FILE),
            "base_dn": directory.BASE_DN,
            "service_dn": directory.SERVICE_DN,
            "service_password": directory.SERVICE_PASSWORD,
        },
        "homes": {
            "plain": str(homes.PLAIN),
            "squashed": str(homes.SQUASHED),
            "real": str(homes.REAL),
            "owners": homes.OWNERS,
        },
    }


def print_exports() -> None:
    """Print what a shell needs to use the bed."""
    target = cluster.cluster()
    exports = {
        "KUBECONFIG": target.kubeconfig,
        "JHK8S_BED": str(BED_FILE),
        "LDAPURI": f"ldap://{HOST_IP}:{directory.PORT}",
        "LDAPTLS_CACERT": str(directory.CA_FILE),
    }
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PATH={shlex.quote(str(Path(target.kubectl).parent))}:$PATH")


def print_status(parts: dict[str, ModuleType]) -> None:
    """Print one line for each part; fail if one is down."""
    states = {name: part.is_up() for name, part in parts.items()}
    for name, is_up in states.items():
        print(f"{name:10} {'up' if is_up else 'down'}")
    sys.exit(0 if all(states.values()) else 1)


if __name__ == "__main__":
    main()
