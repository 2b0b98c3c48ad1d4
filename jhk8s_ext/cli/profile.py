"""``jhk8s profile``: what a login would make of an account."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jupyterhub.utils import maybe_future
from tornado import web

from jhk8s_ext.cli.configuration import build_authenticator, config_option, load_hub
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.ids import check_exists
from jhk8s_ext.cli.table import complain, examples, format_table
from jhk8s_ext.errors import ConfigError, IdentityError, UpstreamError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jhk8s_ext.clients.id_store import IdStore
    from jhk8s_ext.hub.profiles import ProfileAuthenticator
    from jhk8s_ext.identity import Profile
    from jhk8s_ext.identity.ids import IdKind, IdRange, IdRow
    from jhk8s_ext.identity.numbering import GrantedIds, WantedId

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What would come of a login.

    Parameters
    ----------
    profile
        What the spawner would get.
    refusal
        Why the login would be refused, empty where it would not.
    login
        The same in a word or two.
    admin
        Whether the user would be an administrator; None where the login leaves that alone.
    groups
        Of JupyterHub, None where it does not manage them.
    new_ids
        Numbers that nobody held before.
    has_allocated
        Whether they have been given out, or only would be.
    """

    profile: Profile
    refusal: str
    login: str
    admin: bool | None
    groups: list[str] | None
    new_ids: tuple[IdRow, ...]
    has_allocated: bool


@click.command(
    "profile",
    short_help="Print the profile that a login would build.",
    epilog=examples("jhk8s profile ada", "jhk8s profile ada --claims claims.json --json"),
)
@click.argument("user")
@click.option(
    "--claims",
    metavar="FILE",
    help="JSON of what a provider says of the account, - for the standard input (OAuth only).",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON in place of a table.")
@click.option("--allocate", is_flag=True, help="Give the account the numbers it has not yet.")
@config_option
def profile(
    user: str, claims: str | None, *, is_json: bool, allocate: bool, paths: tuple[Path, ...]
) -> int:
    """Print the profile that a login of USER would build."""
    authenticator = build_authenticator(load_hub(paths))
    verdict = asyncio.run(ask_source(authenticator, user, claims=claims, commits=allocate))
    if is_json:
        click.echo(json.dumps(_document(verdict), indent=2))
    else:
        click.echo(format_table(_lines(verdict), has_labels=True))
    if verdict.refusal:
        complain(verdict.refusal)
        return Exit.REFUSED
    return Exit.OK


async def ask_source(
    authenticator: ProfileAuthenticator, user: str, *, claims: str | None, commits: bool
) -> Verdict:
    """Ask the source of accounts what would come of a login.

    Parameters
    ----------
    authenticator
        Of the hub.
    user
        The username.
    claims
        File with what a provider says of the account, ``-`` for the standard input.
    commits
        Whether the account takes the numbers that it has not yet.

    Raises
    ------
    Jhk8sError
        If there would be no profile.
    """
    ids = _Ids(authenticator, commits=commits)
    authenticator.use_id_store(ids)
    try:
        model = await _fetch(authenticator, user, claims)
        return await _judge(authenticator, user, model, ids)
    except CannotAskError as error:
        raise ConfigError(type(authenticator).__name__, str(error)) from error
    except web.HTTPError as error:
        raise _translated(error) from error
    finally:
        ids.close()


async def _fetch(
    authenticator: ProfileAuthenticator, user: str, claims: str | None
) -> dict[str, Any]:
    """Return what the source says, as a login would have it."""
    name = type(authenticator).__name__
    model: dict[str, Any] | None
    reads_claims = hasattr(authenticator, "model_from_claims")
    if claims is not None:
        if not reads_claims:
            raise ConfigError("--claims", f"{name} reads no claims")
        model = await maybe_future(authenticator.model_from_claims(_read_claims(claims)))
    elif reads_claims:
        raise ConfigError(name, "providers tell nothing without the user: give --claims")
    elif isinstance(authenticator, RefreshingAuthenticator):
        model = await authenticator.read_again(user, {}, None)
    else:
        raise ConfigError(name, "it cannot be asked for an account without its user")
    if model is None:
        raise IdentityError(f"the login of {user!r} would be refused by its source")
    return model


async def _judge(
    authenticator: ProfileAuthenticator, user: str, model: dict[str, Any], ids: _Ids
) -> Verdict:
    """Do what JupyterHub does with a login, in its order, but go on where it is refused."""
    for key in ("auth_state", "admin"):
        model.setdefault(key, None)
    username = model["name"] = authenticator.normalize_username(model["name"])
    if username != authenticator.normalize_username(user):
        raise IdentityError(f"this is the account of {username!r}, not of {user!r}")
    if not authenticator.validate_username(username):
        raise IdentityError(f"{username!r} is not allowed by Authenticator.username_pattern")
    login, refusal = await _admission(authenticator, username, model)
    if model["admin"] is None:
        model["admin"] = await maybe_future(authenticator.is_admin(None, model))
    if refusal:
        # Who cannot log in takes no number.
        ids.commits = False
    profile = await authenticator.add_profile(model)
    return Verdict(
        profile=profile,
        refusal=refusal,
        login=login,
        admin=model["admin"],
        groups=model.get("groups"),
        new_ids=tuple(ids.new),
        has_allocated=ids.commits,
    )


async def _admission(
    authenticator: ProfileAuthenticator, username: str, model: dict[str, Any]
) -> tuple[str, str]:
    """Return what would come of the login in a word or two, and why it would be refused."""
    name = type(authenticator).__name__
    try:
        if not await maybe_future(authenticator.check_blocked_users(username, model)):
            return "blocked", f"{username} is blocked ({name}.blocked_users and its like)"
        if not authenticator.allow_all and not await maybe_future(
            authenticator.check_allowed(username, model)
        ):
            return "not allowed", f"{username} is not allowed: no allow option of {name} admits it"
    except web.HTTPError as error:
        translated = _translated(error)
        if isinstance(translated, UpstreamError):
            raise translated from error
        return "refused", str(translated)
    return "admitted", ""


def _translated(error: web.HTTPError) -> IdentityError | UpstreamError:
    text = getattr(error, "jupyterhub_message", None) or error.log_message or str(error)
    return UpstreamError(text) if error.status_code >= _SERVER_ERROR else IdentityError(text)


class _Ids:
    """The table of ids, which notes what is new in it."""

    def __init__(self, authenticator: ProfileAuthenticator, *, commits: bool) -> None:
        self._authenticator = authenticator
        self.commits = commits
        self._store: IdStore | None = None
        self.new: list[IdRow] = []

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def assign(self, wanted: Sequence[WantedId], ranges: Mapping[IdKind, IdRange]) -> GrantedIds:
        if self._store is None:
            url, _, setting = self._authenticator.id_database()
            check_exists(url, setting)
            self._store = self._authenticator.make_id_store()
        granted = self._store.assign(wanted, ranges, commit=self.commits)
        self.new += granted.new
        return granted


def _read_claims(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--claims", f"{name} cannot be read: {error}") from error
    try:
        claims = json.loads(text)
    # RecursionError: of brackets without end.
    except (ValueError, RecursionError) as error:
        raise ConfigError("--claims", f"{name} is not JSON: {error}") from error
    if not isinstance(claims, dict):
        raise ConfigError("--claims", f"{name} is not a JSON object")
    return claims


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "profile": verdict.profile.to_auth_state(),
        "login": verdict.login,
        "admin": verdict.admin,
        "hub_groups": verdict.groups,
        "allocated" if verdict.has_allocated else "would_allocate": [
            {"kind": row.kind.value, "id": row.number, "name": row.name} for row in verdict.new_ids
        ],
    }


def _lines(verdict: Verdict) -> Iterator[tuple[str, object]]:
    profile = verdict.profile
    yield "username", profile.username
    yield "uid", profile.uid
    yield "gid", profile.gid
    for index, group in enumerate(profile.groups):
        yield "" if index else "groups", f"{group.gid} {group.name}"
    yield "home", profile.home
    yield "shell", profile.shell
    yield "full name", profile.full_name
    yield "email", profile.email
    yield "source", profile.source
    yield "subject", profile.subject
    yield "login", verdict.login
    yield "admin", {True: "yes", False: "no", None: "as the hub has it"}[verdict.admin]
    if verdict.groups is not None:
        yield "hub groups", ", ".join(verdict.groups)
    for index, row in enumerate(verdict.new_ids):
        head = "allocated" if verdict.has_allocated else "would allocate"
        yield "" if index else head, f"{row.kind.word} {row.number} to {row.name}"
