"""A directory of one's own: slapd with the test bed's tree, on loopback, for one test run."""

from __future__ import annotations

import socket
import string
import subprocess
import time
from pathlib import Path

BED = Path(__file__).resolve().parents[1] / "cluster"
BASE_DN = "dc=example,dc=edu"
PEOPLE = f"ou=people,{BASE_DN}"
STAFF = f"ou=staff,{BASE_DN}"
GROUPS = f"ou=groups,{BASE_DN}"
SERVICE_DN = f"cn=hub-service,{BASE_DN}"
SERVICE_PASSWORD = "service-secret"


class Slapd:
    """A running slapd; every operation it performs is logged.

    Parameters
    ----------
    folder
        For its configuration, data, certificates and log.
    source
        Folder with its slapd.conf, tree.ldif and schema.
    """

    def __init__(self, folder: Path, source: Path = BED / "directory") -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.ca_file = folder / "pki" / "ca.crt"
        self._log = folder / "slapd.log"
        subprocess.run(
            [BED / "pki.sh", folder / "pki", "slapd", "DNS:localhost", "IP:127.0.0.1"], check=True
        )
        (folder / "data").mkdir()
        config = folder / "slapd.conf"
        template = string.Template((source / "slapd.conf").read_text())
        config.write_text(template.substitute(SOURCE=source, STATE=folder, PKI=folder / "pki"))
        tree = source / "tree.ldif"
        subprocess.run(["/usr/sbin/slapadd", "-q", "-f", config, "-l", tree], check=True)
        self._config = config
        self.start()

    def start(self) -> None:
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/slapd", "-d", "stats", "-f", self._config, "-h", urls], stderr=log
            )
        wait_for_port(self.port)

    def change(self, ldif: str) -> None:
        """Apply changes, RFC 2849's change records; it is down for a moment."""
        self.stop()
        subprocess.run(
            ["/usr/sbin/slapmodify", "-q", "-f", self._config], input=ldif, text=True, check=True
        )
        self.start()

    def operations(self) -> list[str]:
        """Return the requests so far, as BIND, SRCH and so on, once nothing more is logged."""
        log = self._log.read_text(errors="replace")
        while (later := self._later_log()) != log:
            log = later
        words = (line.split() for line in log.splitlines())
        kinds = ("BIND", "SRCH", "EXT", "UNBIND")
        return [
            word
            for line in words
            for index, word in enumerate(line)
            if word in kinds and line[index - 1].startswith("op=") and "RESULT" not in line
            if not (word == "BIND" and any(part.startswith("mech=") for part in line))
            if not (word == "SRCH" and any(part.startswith("attr=") for part in line))
        ]

    def _later_log(self) -> str:
        # A request is logged when slapd reads it; that of a client which does not wait, later.
        time.sleep(0.4)
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, host: str = "127.0.0.1", timeout_seconds: float = 10) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not _accepts(host, port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port}")
        time.sleep(0.05)


def _accepts(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((host, port)) == 0
