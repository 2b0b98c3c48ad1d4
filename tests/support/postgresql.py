"""A PostgreSQL of one's own, on loopback, for one test run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support.slapd import free_port, wait_for_port

#: Debian's postgresql package makes it; the server refuses to run as root.
_ACCOUNT = "postgres"


class PostgreSQL:
    """A running server with nothing in it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._count = 0
        # Not below pytest's folder, which is root's alone.
        self._folder = Path(tempfile.mkdtemp(prefix="jhk8s-postgresql-"))
        self._account = {}
        if os.getuid() == 0:
            account = pwd.getpwnam(_ACCOUNT)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs:
            raise FileNotFoundError("/usr/lib/postgresql: install Debian's postgresql")
        self._programs = programs[-1]
        self._data = self._folder / "data"
        password = self._folder / "password"
        password.write_text("hub-secret")
        password.chmod(0o644)
        command = ["initdb", "-D", self._data, "-U", "hub", "-A", "scram-sha-256"]
        self._run(*command, "--pwfile", password, "-E", "UTF8", "--locale=C").check_returncode()
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data, "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={''}"),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **self._account,
            )
        wait_for_port(self.port, timeout_seconds=60)

    def make_database(self) -> str:
        """Return the URL of an empty database."""
        self._count += 1
        name = f"ids{self._count}"
        address = f"hub:hub-secret@127.0.0.1:{self.port}"
        for _ in range(100):
            try:
                connection = psycopg.connect(f"postgresql://{address}/postgres", autocommit=True)
                break
            except psycopg.OperationalError as error:
                if "starting up" not in str(error):
                    raise
        with connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{address}/{name}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=60)

    def remove(self) -> None:
        """Stop it, and remove what it has written."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program, *arguments):
        return subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            capture_output=True,
            check=False,
            **self._account,
        )
