"""The LDAP directory: slapd over TLS with the tree of directory/tree.ldif."""

import hashlib
import shutil
import string
import subprocess
from pathlib import Path

from daemon import Daemon
from places import BED, HOST_IP, STATE
from registry import accepts

HOSTS = ("127.0.0.1", HOST_IP)
PORT = 3389
TLS_PORT = 3636
BASE_DN = "dc=example,dc=edu"
SERVICE_DN = f"cn=hub-service,{BASE_DN}"
SERVICE_PASSWORD = "service-secret"
PKI = STATE / "pki"
CA_FILE = PKI / "ca.crt"

SOURCE = BED / "directory"


def _state() -> Path:
    """Return the folder of configuration and data, another one for another source."""
    digest = hashlib.sha256()
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.read_bytes())
    return STATE / f"directory-{digest.hexdigest()[:8]}"


def _server() -> Daemon:
    urls = [f"ldap://{host}:{PORT}" for host in HOSTS]
    urls += [f"ldaps://{host}:{TLS_PORT}" for host in HOSTS]
    # -d keeps it in the foreground and logs each operation.
    config = str(_state() / "slapd.conf")
    return Daemon("slapd", ("/usr/sbin/slapd", "-d", "stats", "-f", config, "-h", " ".join(urls)))


def is_up() -> bool:
    """Tell whether it runs with the present source and answers."""
    return _server().is_running() and accepts(HOST_IP, PORT)


def up() -> None:
    """Load the tree into a fresh database and start the server."""
    down()
    state = _state()
    (state / "data").mkdir(parents=True)
    if not (PKI / "slapd.crt").exists():
        names = ["DNS:localhost", *(f"IP:{host}" for host in HOSTS)]
        subprocess.run([BED / "pki.sh", PKI, "slapd", *names], check=True)
    config = string.Template((SOURCE / "slapd.conf").read_text())
    values = {"SOURCE": SOURCE, "STATE": state, "PKI": PKI}
    (state / "slapd.conf").write_text(config.substitute(values))
    subprocess.run(
        ["/usr/sbin/slapadd", "-q", "-f", state / "slapd.conf", "-l", SOURCE / "tree.ldif"],
        check=True,
    )
    _server().start(lambda: accepts(HOST_IP, PORT))


def down() -> None:
    """Stop it and forget its data."""
    _server().stop()
    for state in STATE.glob("directory-*"):
        shutil.rmtree(state)
