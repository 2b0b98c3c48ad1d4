"""How registries are asked: what an operator writes as ``ImageMenu.registries``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.fields import Fields
from jhk8s_ext.menu.image import parse_host

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How one registry is asked.

    Parameters
    ----------
    ca_file
        Certificates that sign its own, beside the system's; empty for none.
    is_plain
        Whether it speaks HTTP without TLS.
    token_hosts
        Other hosts that may have its credentials.
    """

    ca_file: str
    is_plain: bool
    token_hosts: frozenset[str]


def parse_registries(document: Mapping[Any, Any]) -> dict[str, RegistrySettings]:
    """Parse ``ImageMenu.registries``.

    Returns
    -------
    dict
        Host, as `jhk8s_ext.menu.image.ImageReference` has it, to settings.

    Raises
    ------
    ConfigError
        If a host or one of its settings cannot be.
    """
    found = {}
    for host, item in document.items():
        setting = f"ImageMenu.registries[{host!r}]"
        try:
            name = parse_host(str(host))
        except ValueError as error:
            raise ConfigError(setting, "is not the host of a registry") from error
        if name in found:
            raise ConfigError(setting, "is there twice, in another spelling")
        fields = Fields(setting, {} if item is None else item)
        found[name] = RegistrySettings(
            ca_file=fields.text("ca_file", ""),
            is_plain=fields.flag("plain_http"),
            token_hosts=frozenset(fields.texts("token_hosts")),
        )
        fields.finish()
    return found
