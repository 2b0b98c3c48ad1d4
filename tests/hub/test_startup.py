"""A hub that cannot work says so when it starts, in one sentence that names the setting."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import InvalidToken
from jupyterhub.crypto import CryptKeeper
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.hub.startup import check_crypt_keys
from tests.support.slapd import free_port

CONFIG = Path(__file__).resolve().parents[2] / "hub-image" / "jupyterhub_config.py"
GOOD_KEY = "0123456789abcdef" * 4


@pytest.fixture
def start_hub(tmp_path):
    """Return a function that starts a hub with options and returns what it says as it ends."""

    def start(key=GOOD_KEY, sections=None, **options):
        ports = {"bind_url": f"http://127.0.0.1:{free_port()}"}
        ports["hub_bind_url"] = f"http://127.0.0.1:{free_port()}"
        own = {
            "JupyterHub": ports | {"db_url": "sqlite://", "cookie_secret_file": "cookie_secret"},
            "LDAPProfileAuthenticator": {"allow_all": True, "server_address": "127.0.0.1"}
            | options,
            **(sections or {}),
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(own))
        environ = os.environ | {
            "JHK8S_CONFIG": str(tmp_path / "config.yaml"),
            "JUPYTERHUB_CRYPT_KEY": key,
            "CONFIGPROXY_AUTH_TOKEN": "made-up",
        }
        ended = subprocess.run(
            [Path(sys.executable).parent / "jupyterhub", f"--config={CONFIG}"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr.strip().splitlines()[-1]

    return start


def test_a_malformed_crypt_key_is_named_and_never_shown(start_hub):
    bad = "not-a-key-but-still-a-secret"
    said = start_hub(key=f"{GOOD_KEY};{bad}")
    assert said.startswith("JUPYTERHUB_CRYPT_KEY: key 2 of 2 is not 32 bytes")
    assert bad not in said


def test_a_hub_without_crypt_key_does_not_start(start_hub):
    assert "JUPYTERHUB_CRYPT_KEY" in start_hub(key="")


def test_a_hub_without_auth_state_does_not_start(start_hub):
    said = start_hub(enable_auth_state=False)
    assert said.startswith(
        "LDAPProfileAuthenticator.enable_auth_state: profiles live in auth_state"
    )


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {
                "ImageMenu": {"flags": ["debug"]},
                "KubeSpawner": {"profile_list": [{"display_name": "Small"}]},
            },
            "KubeSpawner.profile_list: is not used beside ImageMenu: remove one of them",
        ),
        (
            {"ImageMenu": {"sizes": [{"name": "small"}]}},
            "ImageMenu.sizes[0].cpu: is missing",
        ),
    ],
    ids=["two-menus", "a-menu-that-cannot-be"],
)
def test_a_hub_whose_menu_cannot_be_does_not_start(start_hub, sections, said):
    assert start_hub(sections=sections) == said


def test_a_hub_whose_label_cannot_be_does_not_start(start_hub):
    said = start_hub(sections={"ProfileKubeSpawner": {"stage_styles": {"dev": {"color": "rad"}}}})
    assert said.startswith("ProfileKubeSpawner.stage_styles['dev'].color: 'rad' is not a color")


@pytest.mark.parametrize("key", [GOOD_KEY, f"{GOOD_KEY};", "a" * 32, f"{GOOD_KEY};{'b' * 64}"])
def test_keys_that_jupyterhub_takes_are_taken(key):
    check_crypt_keys({"JUPYTERHUB_CRYPT_KEY": key})


@pytest.mark.parametrize("key", ["short", "ä" * 32, "z" * 64, f"x;{GOOD_KEY}"])
def test_keys_that_it_does_not_take_are_refused(key):
    with pytest.raises(TraitError, match=r"^JUPYTERHUB_CRYPT_KEY: key 1 of"):
        check_crypt_keys({"JUPYTERHUB_CRYPT_KEY": key})


async def test_a_new_crypt_key_goes_first_and_the_old_one_stays_until_all_is_written_anew():
    old, new = secrets.token_hex(32), secrets.token_hex(32)

    def keeper(*keys):
        return CryptKeeper(keys=list(keys), config=Config())

    stored = await keeper(old).encrypt({"profile": "ada"})
    rotating = keeper(new, old)
    assert await rotating.decrypt(stored) == {"profile": "ada"}
    written_anew = await rotating.encrypt({"profile": "ada"})
    assert await keeper(new).decrypt(written_anew) == {"profile": "ada"}
    # The other way round the old key goes on encrypting, and cannot be dropped.
    wrong = await keeper(old, new).encrypt({"profile": "ada"})
    with pytest.raises(InvalidToken):
        await keeper(new).decrypt(wrong)
