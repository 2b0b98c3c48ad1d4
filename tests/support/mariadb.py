"""A MariaDB of one's own, on loopback, for one test run."""

from __future__ import annotations

import getpass
import subprocess
from typing import TYPE_CHECKING

import pymysql

from tests.support.slapd import free_port, wait_for_port

if TYPE_CHECKING:
    from pathlib import Path


class MariaDB:
    """A running mariadbd with nothing in it.

    Parameters
    ----------
    folder
        For its data and log.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._socket = folder / "socket"
        self._count = 0
        subprocess.run(
            ["mariadb-install-db", *self._options(), "--auth-root-authentication-method=normal"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "/usr/sbin/mariadbd",
                    *self._options(),
                    f"--socket={self._socket}",
                    "--bind-address=127.0.0.1",
                    f"--port={self.port}",
                    f"--pid-file={self._folder / 'pid'}",
                    # One that takes é for e, as many a site's.
                    "--character-set-server=utf8mb4",
                    "--collation-server=utf8mb4_general_ci",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port, timeout_seconds=60)

    def make_database(self) -> str:
        """Return the URL of an empty database."""
        self._count += 1
        name = f"ids{self._count}"
        connection = pymysql.connect(unix_socket=str(self._socket), user="root")
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute("CREATE USER IF NOT EXISTS hub@'127.0.0.1' IDENTIFIED BY 'hub-secret'")
            cursor.execute(f"GRANT ALL ON {name}.* TO hub@'127.0.0.1'")
        return f"mysql+pymysql://hub:hub-secret@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def _options(self) -> list[str]:
        return [
            "--no-defaults",
            f"--datadir={self._folder / 'data'}",
            f"--user={getpass.getuser()}",
        ]
