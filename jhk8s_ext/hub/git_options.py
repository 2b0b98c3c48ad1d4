"""Options of git, and the settings they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, HasTraits, List, TraitError, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.git import GitSettings
from jhk8s_ext.pod.git_servers import FoundTokens, GitServer, find_tokens, parse_git_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GitOptions(HasTraits):
    """Who makes commits, and the tokens for git servers."""

    git_identity = Bool(
        default_value=True,
        help="""
        Whether git takes the name and the address of commits from the profile.

        They stand in a file of their own in the place of the system's configuration, which it
        includes: what users set themselves wins, and ``~/.gitconfig`` is never touched. Needs git
        2.32 in the image.
        """,
    ).tag(config=True)

    git_credentials = List(
        Dict(),
        help="""
        Git servers that users are known to, asked by https. Each has

        - ``host``: as in a URL, with a port if there is one;
        - ``token``: where it comes from. ``{auth_state: access_token}`` is what the login has left
          there, keys of objects with dots between them. ``{secret: NAME, key: KEY}`` is in a Secret
          of the servers' namespace; both may hold ``{username}``, ``{uid}`` and ``{gid}``;
        - ``username``: at that host, ``x-access-token`` by default, with the same fields;
        - ``keep``: ``file``, the default, writes the user's line for that host into
          ``~/.git-credentials``, mode 0600. ``helper`` leaves the token in a volume in memory, from
          where git reads it;
        - ``optional``: true, the default, starts a server for somebody without a token too.
        """,
    ).tag(config=True)

    #: Of this start. No trait: nothing that shows a configuration shows them.
    _git_tokens = FoundTokens(by_host={}, missing=())
    #: For which they were looked for.
    _git_servers: tuple[GitServer, ...] = ()

    @validate("git_credentials")
    def _check_git_credentials(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        value: list[dict[str, Any]] = proposal["value"]
        try:
            parse_git_credentials(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    def take_git_tokens(self, auth_state: Mapping[str, Any]) -> Sequence[str]:
        """Keep the tokens that the pod needs, and nothing else of ``auth_state``.

        Returns
        -------
        sequence of str
            A sentence for each server without one.
        """
        self._git_servers = parse_git_credentials(self.git_credentials)
        self._git_tokens = find_tokens(self._git_servers, auth_state)
        return self._git_tokens.missing

    def has_other_git_servers(self) -> bool:
        """Tell whether the option has changed since tokens were looked for."""
        return parse_git_credentials(self.git_credentials) != self._git_servers

    def git_settings(self) -> GitSettings:
        """Return what the operator decides about git, with the tokens of this start."""
        return GitSettings(
            identity=self.git_identity,
            servers=parse_git_credentials(self.git_credentials),
            tokens=self._git_tokens.by_host,
        )
