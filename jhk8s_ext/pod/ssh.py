"""ssh in the container: the keys of hosts, and how to connect to them, as the operator knows."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.fragment import PodFragment
from jhk8s_ext.pod.start_spec import START_SPEC_DIRECTORY, START_VOLUME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SETTING = "ProfileKubeSpawner"
_KNOWN_HOSTS_FILE = "ssh_known_hosts"
_CONFIG_FILE = "ssh_config"
#: A folder of OpenSSH on Debian, Ubuntu, Fedora and Alpine, which its own configuration includes.
_CONFIG_PATH = "/etc/ssh/ssh_config.d/10-jhk8s.conf"
#: OpenSSH's own, ssh_config(5), which would no longer be read if ours stood alone.
_USUAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

_PATTERNS = re.compile(r"!?[A-Za-z0-9._*?:-]+( !?[A-Za-z0-9._*?:-]+)*")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*")
#: OpenSSH refuses to connect anywhere where a quotation mark does not close.
_QUOTED = re.compile(r"""([^"'\\]|\\.|\\$|"([^"\\]|\\.)*"|'([^'\\]|\\.)*')*""")
#: Options that would end the block of their host.
_NO_OPTIONS = {"host", "match", "include"}
_MARKERS = {"@cert-authority", "@revoked"}
_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa|webauthn-sk-ecdsa)-[A-Za-z0-9@.-]+")
_LENGTH_BYTES = 4
_MAX_CHARACTERS = 128 * 1024  # half of what all annotations of a pod may take


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """What the operator decides about ssh.

    Parameters
    ----------
    known_hosts
        Text in the form of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; may be empty.
    hosts
        Patterns of ssh_config(5) to options and their values.
    """

    known_hosts: str
    hosts: Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """Ssh as the pod sees it.

    Parameters
    ----------
    fragment
        The mount that OpenSSH looks at.
    files
        Name in the folder of the start spec to text.
    """

    fragment: PodFragment
    files: Mapping[str, str]


def build_ssh(settings: SshSettings) -> Ssh:
    """Add files to those of the image; none of the image's or the user's is replaced."""
    files = {}
    config = ""
    if settings.known_hosts:
        files[_KNOWN_HOSTS_FILE] = settings.known_hosts
        pinned = f"{START_SPEC_DIRECTORY}/{_KNOWN_HOSTS_FILE}"
        config = f"GlobalKnownHostsFile {' '.join([*_USUAL_KNOWN_HOSTS, pinned])}\n"
    config += "".join(_host_block(*each) for each in settings.hosts.items())
    mounts = []
    if config:
        files[_CONFIG_FILE] = config
        mounts.append(
            {
                "name": START_VOLUME,
                "mountPath": _CONFIG_PATH,
                "subPath": _CONFIG_FILE,
                "readOnly": True,
            }
        )
    fragment = PodFragment(origin="ProfileKubeSpawner.ssh_hosts", mounts=mounts)
    return Ssh(fragment=fragment, files=files)


def _host_block(patterns: str, options: Mapping[str, Sequence[str]]) -> str:
    lines = (f"    {name} {value}\n" for name, values in options.items() for value in values)
    return f"Host {patterns}\n{''.join(lines)}"


def parse_known_hosts(text: str) -> str:
    """Check the lines, and return them with an end to the last one; empty where there is none.

    Raises
    ------
    ConfigError
        If a line is no comment and not a host, a type of key and a key.
    """
    setting = f"{_SETTING}.ssh_known_hosts"
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(
            setting, f"{len(text)} characters are more than the {_MAX_CHARACTERS} that fit in a pod"
        )
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        # What is wrong with a line is not quoted: keys are long.
        problem = _problem_of(line) if line.strip() and line.lstrip()[0] != "#" else ""
        if problem:
            raise ConfigError(setting, f"line {number} {problem}")
    return "".join(f"{line}\n" for line in lines) if text.strip() else ""


def _problem_of(line: str) -> str:
    if not line.isascii() or not line.replace("\t", " ").isprintable():
        return "holds a character that is not plain ASCII"
    words = line.split()
    if words[0] in _MARKERS:
        words = words[1:]
    if len(words) < len(("host", "type", "key")) or not _KEY_TYPE.fullmatch(words[1]):
        return "is not a host, a type of key such as ssh-ed25519, and a key"
    if not words[2].startswith(_first_characters(words[1])) or not _is_base64(words[2]):
        return f"has no whole {words[1]} key"
    return ""


def _first_characters(key_type: str) -> str:
    """Return what a key of this type begins with (RFC 4253, section 6.6)."""
    name = key_type.encode()
    head = len(name).to_bytes(_LENGTH_BYTES, "big") + name
    whole = len(head) - len(head) % 3  # what follows shares the next four characters
    return base64.b64encode(head[:whole]).decode()


def _is_base64(text: str) -> bool:
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    # A key is cut short where one of its parts is longer than what is left.
    rest = blob
    while rest:
        size = int.from_bytes(rest[:_LENGTH_BYTES], "big")
        if len(rest) < _LENGTH_BYTES + size:
            return False
        rest = rest[_LENGTH_BYTES + size :]
    return True


def parse_ssh_hosts(table: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Parse the operator's table of hosts.

    Parameters
    ----------
    table
        Patterns to options: a text, a number, true or false, or a list of those for an option that
        may be there several times.

    Raises
    ------
    ConfigError
        If a pattern, an option or a value is none.
    """
    return {
        patterns: dict(_parse_options(f"{_SETTING}.ssh_hosts[{patterns!r}]", patterns, options))
        for patterns, options in table.items()
    }


def _parse_options(
    setting: str, patterns: object, options: object
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not isinstance(patterns, str) or not _PATTERNS.fullmatch(patterns):
        raise ConfigError(setting, f"{patterns!r} is not a host, or patterns with blanks between")
    if not isinstance(options, dict):
        raise ConfigError(setting, f"expected an object, not {options!r}")
    for name, value in options.items():
        if not isinstance(name, str) or not _OPTION.fullmatch(name) or name.lower() in _NO_OPTIONS:
            raise ConfigError(setting, f"{name!r} is not an option of one host")
        values = value if isinstance(value, list) else [value]
        yield name, tuple(_parse_value(f"{setting}.{name}", each) for each in values)


def _parse_value(setting: str, value: object) -> str:
    if isinstance(value, bool):
        # YAML reads a plain yes or no as these.
        return "yes" if value else "no"
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ConfigError(setting, f"{value!r} is not a text of one line")
    if text.lstrip().startswith("="):
        raise ConfigError(setting, f"{value!r} begins with '=', which ssh would leave out")
    if not _QUOTED.fullmatch(text):
        raise ConfigError(setting, f"{value!r} has a quotation mark that does not close")
    return text
