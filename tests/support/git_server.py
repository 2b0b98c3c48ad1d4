"""Git servers of one's own, over https with a password and over ssh with keys."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

BED = Path(__file__).resolve().parents[1] / "cluster"


def make_repository(folder: Path, name: str, **files: str) -> Path:
    """Make a bare repository with one commit, that everybody may push to who is let in."""
    work = folder / f"{name}-work"
    bare = folder / f"{name}.git"
    environ = os.environ | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{
            f"GIT_{who}_{what}": "test@example.edu"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }

    def git(*words: object) -> None:
        subprocess.run(["git", *map(str, words)], env=environ, check=True)

    git("init", "--quiet", "--initial-branch=main", work)
    for path, text in files.items():
        (work / path).write_text(text)
    git("-C", work, "add", ".")
    git("-C", work, "commit", "--quiet", "--message=Begin")
    git("clone", "--quiet", "--bare", work, bare)
    git("-C", bare, "config", "http.receivepack", "true")
    return bare


class GitServer:
    """``git http-backend`` behind TLS and a password.

    Parameters
    ----------
    folder
        Of the repositories; gets the certificates too.
    address
        To listen at, and that the certificate is for.
    username, password
        Whom it lets in.
    """

    def __init__(self, folder: Path, address: str, username: str, password: str) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.authorization = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        pki = folder / "pki"
        subprocess.run([BED / "pki.sh", pki, "git", f"IP:{address}"], check=True)
        self.ca_file = pki / "ca.crt"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "git.crt", pki / "git.key")
        self._server = ThreadingHTTPServer((address, 0), _handler_of(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.host = f"{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_of(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            said = self.headers.get("Authorization", "")
            server.asked.append(said)
            if said != server.authorization:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            url = urlsplit(self.path)
            done = subprocess.run(
                ["git", "http-backend"],
                input=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(server.folder),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": url.path,
                    "QUERY_STRING": url.query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_USER": "test",
                    "GIT_CONFIG_GLOBAL": "/dev/null",
                },
                capture_output=True,
                check=True,
            )
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
            status = dict(fields).get("Status", "200 OK")
            self.send_response(int(status.split()[0]))
            for name, value in fields:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - as the base class looks for them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class SshServer:
    """An sshd that gives git, and nothing else, to whoever has the one key.

    Parameters
    ----------
    folder
        For its configuration, keys and log.
    address
        To listen at.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.log = folder / "sshd.log"
        self.host_key = make_key(folder / "host")
        self.user_key = folder / "user"
        (folder / "authorized_keys").write_text(make_key(self.user_key) + "\n")
        self.port = _free_port(address)
        self.known_host = f"[{address}]:{self.port} {self.host_key}"
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress {address}:{self.port}\n"
            f"HostKey {folder / 'host'}\n"
            f"PidFile {folder / 'sshd.pid'}\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\n"
            "StrictModes no\n"  # the folder of a test may be anybody's
            "UsePAM no\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\n"
            'ForceCommand git-shell -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        # Debian's service makes it, and is kept from starting.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=log
            )
        self._wait(address)

    def _wait(self, address: str) -> None:
        deadline = time.monotonic() + 10
        while not _listens(address, self.port):
            assert time.monotonic() < deadline, self.log.read_text()
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def make_key(path: Path) -> str:
    """Make a key without a passphrase; return the public one without its comment."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return Path(f"{path}.pub").read_text().strip()


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])
