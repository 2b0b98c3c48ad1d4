"""Options of where the numbers of accounts come from."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from jupyterhub.auth import Authenticator
from traitlets import Enum, Integer, List, TraitError, Unicode, validate

from jhk8s_ext.clients.id_database import IdDatabase, parse_url
from jhk8s_ext.clients.id_store import IdStore
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.account import claimed_ids
from jhk8s_ext.identity.ids import MAX_ID, RESERVED_IDS, IdKind, IdRange
from jhk8s_ext.identity.numbering import IdStrategy, Numbering, number_account, wanted_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.identity.account import AccountIds, SourceAccount
    from jhk8s_ext.identity.numbering import GrantedIds, WantedId

#: How many logins may wait for the database of ids at once. A transaction takes milliseconds, and
#: all of them wait for each other anyway.
_WORKERS = 4

_STRATEGIES = [strategy.value for strategy in IdStrategy]


class AssignsIds(Protocol):
    """A table of ids."""

    def assign(self, wanted: Sequence[WantedId], ranges: Mapping[IdKind, IdRange]) -> GrantedIds:
        """Return the numbers of those who have one, and give one to the others."""


class NumberedAccounts(Authenticator):
    """Numbers for accounts: their source's, or our own for those that have none."""

    uid_strategy = Enum(
        _STRATEGIES,
        IdStrategy.CLAIM.value,
        help="""
        Where the uids of all accounts come from.

        ``claim``: from the source. ``hash``: from the username, as MD5 modulo 2^30 plus 2000; an
        account whose uid another one holds already is refused. ``database``: the next free one of
        ``uid_range``. Who holds a number is kept in ``id_database_url``, and an account keeps the
        one it has. With ``hash`` and ``database`` the uids of the source are ignored.
        """,
    ).tag(config=True)

    gid_strategy = Enum(
        _STRATEGIES,
        IdStrategy.CLAIM.value,
        help="""
        Where the gids of all groups come from, as ``uid_strategy``.

        With ``hash`` and ``database`` the primary group of every account is its own, whose gid is
        the uid.
        """,
    ).tag(config=True)

    id_database_url = Unicode(
        help="""
        SQLAlchemy URL of the database that remembers who holds which number. Used with the
        strategies ``hash`` and ``database``. Empty: the hub's own, ``JupyterHub.db_url``.
        """,
    ).tag(config=True)

    uid_range = List(
        Integer(),
        [100000, 999999],
        minlen=2,
        maxlen=2,
        help="First and last uid that ``uid_strategy: database`` gives.",
    ).tag(config=True)

    gid_range = List(
        Integer(),
        [1000000, 1999999],
        minlen=2,
        maxlen=2,
        help="First and last gid that ``gid_strategy: database`` gives.",
    ).tag(config=True)

    id_timeout = Integer(
        10,
        min=1,
        help="Seconds that the database of ids may take, before a login is answered with 503.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Both made by the first login, when the configuration is complete.
        self._id_store: AssignsIds | None = None
        self._id_workers: ThreadPoolExecutor | None = None

    @validate("uid_range", "gid_range")
    def _check_range(self, proposal: dict[str, Any]) -> list[int]:
        value: list[int] = proposal["value"]
        setting = self._setting(proposal["trait"].name)
        low, high = value
        if not 1 <= low <= high <= MAX_ID:
            raise TraitError(f"{setting}: {value} is no first and last number within 1 to {MAX_ID}")
        if reserved := [number for number in sorted(RESERVED_IDS) if low <= number <= high]:
            raise TraitError(f"{setting}: {value} holds {reserved[0]}, which belongs to nobody")
        return value

    def check_settings(self) -> None:
        """Check that no number would be given twice, or forgotten.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        numbering = self.numbering()
        for kind in numbering.kinds:
            span, floor = numbering.space(kind), getattr(self, f"{kind.word}_floor", 1)
            if (
                span is not None
                and self._strategy(kind) is IdStrategy.DATABASE
                and floor > span.low
            ):
                raise TraitError(
                    f"{span.setting}: {span} begins below {self._setting(kind.word)}_floor, {floor}"
                )
        users, groups = (numbering.space(kind) for kind in IdKind)
        if users is not None and groups is not None and users.overlaps(groups):
            raise TraitError(
                f"{users.setting} gives {users} and {groups.setting} gives {groups}: they may not "
                "overlap, because the gid of a user's own group is the uid"
            )
        # Without a hub nobody starts, and `id_database` says so when it is needed.
        if numbering.kinds and (self.id_database_url or self.parent is not None):
            try:
                url, _, setting = self.id_database()
                parse_url(url, setting)
            except ConfigError as error:
                raise TraitError(str(error)) from error

    async def assign_ids(self, username: str, account: SourceAccount) -> AccountIds:
        """Return the numbers of an account and its groups.

        Raises
        ------
        IdentityError
            If the account can have none.
        ConfigError
            If a range is used up, or the database is none.
        UpstreamError
            If the database does not answer.
        """
        numbering = self.numbering()
        if not numbering.kinds:
            return claimed_ids(account)
        wanted = wanted_ids(username, account, numbering)
        return number_account(account, numbering, await self._assign(wanted, numbering))

    def numbering(self) -> Numbering:
        """Return how accounts and groups get their numbers."""
        ranges = {IdKind.USER: self.uid_range, IdKind.GROUP: self.gid_range}
        return Numbering(
            strategies={kind: self._strategy(kind) for kind in IdKind},
            ranges={
                kind: IdRange(low=low, high=high, setting=self._setting(f"{kind.word}_range"))
                for kind, (low, high) in ranges.items()
            },
            settings={kind: self._setting(f"{kind.word}_strategy") for kind in IdKind},
        )

    def id_database(self) -> tuple[str, Mapping[str, Any], str]:
        """Return the database of ids: its URL, arguments of its driver, and the setting.

        Raises
        ------
        ConfigError
            If there is neither one of its own nor that of a hub.
        """
        setting = self._setting("id_database_url")
        if self.id_database_url:
            return self.id_database_url, {}, setting
        url = getattr(self.parent, "db_url", None)
        if not url:
            raise ConfigError(setting, "there is no hub here whose database could be used")
        arguments = getattr(self.parent, "db_kwargs", {}).get("connect_args", {})
        return url, arguments, f"{setting} is empty, and JupyterHub.db_url"

    def make_id_store(self) -> IdStore:
        """Return the table of ids.

        Raises
        ------
        ConfigError
            If its database is none.
        """
        url, arguments, setting = self.id_database()
        database = IdDatabase(
            url, setting=setting, timeout_seconds=self.id_timeout, connect_args=arguments
        )
        return IdStore(database)

    def use_id_store(self, store: AssignsIds) -> None:
        """Take numbers from another table than `make_id_store`'s."""
        self._id_store = store

    async def _assign(self, wanted: Sequence[WantedId], numbering: Numbering) -> GrantedIds:
        if self._id_store is None:
            self._id_store = self.make_id_store()
        if self._id_workers is None:
            self._id_workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="jhk8s-ids")
        work = asyncio.get_running_loop().run_in_executor(
            self._id_workers, self._id_store.assign, wanted, numbering.ranges
        )
        try:
            return await asyncio.wait_for(work, self.id_timeout)
        except asyncio.TimeoutError:
            # Numbers that are given out later all the same stay with the account.
            raise UpstreamError(
                f"the database of ids did not answer within {self.id_timeout} seconds "
                f"({self._setting('id_timeout')})"
            ) from None

    def _strategy(self, kind: IdKind) -> IdStrategy:
        return IdStrategy(getattr(self, f"{kind.word}_strategy"))

    def _setting(self, name: str) -> str:
        return f"{type(self).__name__}.{name}"
