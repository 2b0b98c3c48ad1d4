"""The registry that the node pulls every image from."""

import socket
import urllib.error
import urllib.request

from daemon import Daemon
from places import CACHE, HOST_IP, STATE

PORT = 5000
ADDRESS = f"{HOST_IP}:{PORT}"

# What is pushed stays in the cache, so a bed that is taken down need not push anew.
CONFIG = f"""\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {CACHE}/registry}}}}
http: {{addr: "{ADDRESS}"}}
"""
CONFIG_FILE = STATE / "registry.yml"
# Never through a proxy the environment may name.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SERVER = Daemon("registry", ("/usr/bin/docker-registry", "serve", str(CONFIG_FILE)))


def is_up() -> bool:
    """Tell whether it answers."""
    return SERVER.is_running() and accepts(HOST_IP, PORT)


def up() -> None:
    """Start it."""
    CONFIG_FILE.write_text(CONFIG)
    SERVER.start(lambda: accepts(HOST_IP, PORT))


def down() -> None:
    """Stop it."""
    SERVER.stop()


def has(reference: str) -> bool:
    """Tell whether an image is there, `reference` being ADDRESS/NAME:TAG."""
    name, tag = reference.removeprefix(f"{ADDRESS}/").split(":")
    request = urllib.request.Request(
        f"http://{ADDRESS}/v2/{name}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    try:
        with _DIRECT.open(request, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


def accepts(host: str, port: int) -> bool:
    """Tell whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
