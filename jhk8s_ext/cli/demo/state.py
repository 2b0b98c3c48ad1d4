"""The state folder: what a demo leaves behind, and all that it leaves behind."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

_SETTING = "--state"

#: In every state folder, from its first use on.
_LOCK = "lock"

#: Name to the number of random bytes.
_SECRETS = {
    "crypt_key": 32,
    "proxy_token": 32,
    "api_token": 32,
    "service_password": 16,
}

#: Read aloud and typed: no 0, 1, l or o.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_PASSWORD_LENGTH = 8


def default_folder() -> Path:
    """Return where the state is kept if nobody says otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base) / "jhk8s-demo"


class State:
    """A state folder in use; ``with`` holds it.

    Parameters
    ----------
    folder
        Made where it is missing.

    Raises
    ------
    ConfigError
        If it cannot be used, or another demo uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Ends with the demo.
        self.run = folder / "run"
        #: The claims, one folder each.
        self.claims = folder / "claims"
        self.logs = folder / "logs"
        self.config_file = folder / "config.yaml"
        self._lock = -1

    def __enter__(self) -> State:  # noqa: PYI034 - Self is of Python 3.11
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_others()
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                _SETTING, f"{str(self.folder)!r} cannot be used: {error.strerror}"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(_SETTING, f"another demo uses {str(self.folder)!r}") from error
        try:
            self.folder.chmod(0o700)
            self._clear()
            for folder in (self.run, self.claims, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                _SETTING, f"{str(self.folder)!r} cannot be used: {error.strerror}"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()
        os.close(self._lock)

    def _refuse_others(self) -> None:
        """Refuse somebody's folder: its mode would change, and a folder in it be removed."""
        names = {path.name for path in self.folder.iterdir()}
        if names and _LOCK not in names:
            raise ConfigError(
                _SETTING, f"{str(self.folder)!r} holds other files: name a new folder, or empty it"
            )

    def _clear(self) -> None:
        """Remove what a demo that was killed may have left."""
        shutil.rmtree(self.run, ignore_errors=True)

    def read_secrets(self, accounts: list[str]) -> dict[str, str]:
        """Return the secrets of this state folder, made at its first use.

        Parameters
        ----------
        accounts
            Names that need a password; it is kept as ``password_NAME``.
        """
        path = self.folder / "secrets.json"
        try:
            found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError) as error:
            raise ConfigError(
                _SETTING, f"{str(path)!r} cannot be read: remove it ({error})"
            ) from error
        if not isinstance(found, dict) or not all(isinstance(word, str) for word in found.values()):
            raise ConfigError(_SETTING, f"{str(path)!r} holds no secrets: remove it")
        wanted = {name: secrets.token_hex(size) for name, size in _SECRETS.items()}
        for name in accounts:
            word = "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))
            wanted[f"password_{name}"] = f"{name}-{word}"
        complete = {**wanted, **found}
        if complete != found:
            self.write_private(path, json.dumps(complete, indent=2) + "\n")
        return complete

    @staticmethod
    def write_private(path: Path, text: str) -> None:
        """Write a file that nobody else may read, at no time."""
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
