"""What a hub is told when it starts: settings that cannot work, and sources that do not answer."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from jupyterhub.app import JupyterHub
from jupyterhub.crypto import KEY_ENV, CryptKeeper
from traitlets import TraitError
from traitlets.config import Application, Config

from jhk8s_ext.errors import Jhk8sError
from jhk8s_ext.hub.label_options import show_label
from jhk8s_ext.hub.menu import check_menu

if TYPE_CHECKING:
    from jhk8s_ext.hub.profiles import ProfileAuthenticator


def check_crypt_keys(environ: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Check that every key for ``auth_state`` is one.

    JupyterHub itself says when there is none.

    Raises
    ------
    TraitError
        With which one is not, never with the key.
    """
    keys = [key for key in environ.get(KEY_ENV, "").split(";") if key.strip()]
    for number, key in enumerate(keys, start=1):
        if not _is_key(key):
            raise TraitError(
                f"{KEY_ENV}: key {number} of {len(keys)} is not 32 bytes in hexadecimal or base64, "
                "as `openssl rand -hex 32` prints them"
            )


def _is_key(text: str) -> bool:
    try:
        CryptKeeper(keys=[text], config=Config())
    except ValueError:
        return False
    return True


def check_at_start(authenticator: ProfileAuthenticator) -> None:
    """Check the settings, show the label, and ask the source in the background whether it answers.

    Raises
    ------
    TraitError
        If a setting cannot work, where no hub runs that could end with this sentence.
    SystemExit
        Where one does.
    """
    try:
        authenticator.check_settings()
        check_menu(authenticator.config, authenticator.log)
        if isinstance(authenticator.parent, JupyterHub):
            show_label(authenticator.parent)
    except TraitError as error:
        end_hub(authenticator, error)
        raise
    if isinstance(authenticator.parent, Application):
        # Kept, or it would be collected half-way. A source that is down is no reason not to start.
        authenticator.probing = asyncio.ensure_future(_probe(authenticator))


def end_hub(authenticator: Any, error: TraitError) -> None:
    """End the hub that runs, if any, with the sentence of an error in place of a traceback."""
    if isinstance(authenticator.parent, Application):
        authenticator.parent.exit(str(error))


async def _probe(authenticator: ProfileAuthenticator) -> None:
    try:
        await authenticator.probe()
    except Jhk8sError as error:
        authenticator.log.error("Nobody can log in just now: %s", error)  # noqa: TRY400
