"""The spawner's part of claims: whose they are, and how large."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from kubespawner import KubeSpawner

from jhk8s_ext.clients.claims import ClaimStore
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.pod.claim_owner import check_owner, owner_annotations
from jhk8s_ext.pod.quantity import is_more

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jhk8s_ext.clients.claims import Claim
    from jhk8s_ext.identity import Profile

#: A field of ``pvc_name_template`` that differs from user to user, as ``{user_server}``.
_USER_FIELD = re.compile(r"\{[^{}]*user")

#: What the log says once and not at every start, by the client of the cluster.
_TOLD: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class ClaimSpawner(KubeSpawner):
    """KubeSpawner whose claims belong to an account and not to a username."""

    profile: Profile | None = None

    @property
    def pvc_is_own(self) -> bool:
        """Whether KubeSpawner makes a claim for each user, and not one for all."""
        return bool(_USER_FIELD.search(self.pvc_name_template))

    def get_pvc_manifest(self) -> Any:
        """Return KubeSpawner's claim, with its owner written on it."""
        claim = super().get_pvc_manifest()
        if self.profile is not None and self.pvc_is_own:
            claim.metadata.annotations.update(owner_annotations(self.profile))
        return claim

    async def use_claims(self, names: Iterable[str]) -> bool:
        """Make sure that claims are there and belong to this user, and enlarge KubeSpawner's own.

        Parameters
        ----------
        names
            Of the claims that are the user's own.

        Returns
        -------
        bool
            False where it has to be tried again.

        Raises
        ------
        Jhk8sError
            If one is missing or somebody else's, or the API server fails.
        """
        made = {self.pvc_name} if self.storage_pvc_ensure else set()
        own = {*names, *(made if self.pvc_is_own else ())}
        store = ClaimStore(self.api, self.namespace, self.k8s_api_request_timeout)
        for name in sorted(own | made):
            status, claim = await store.read(name)
            if status == HTTPStatus.NOT_FOUND:
                if not await self._make_claim(name):
                    return False
            elif claim is None:
                self._tell_once(
                    f"the hub may not get persistentvolumeclaims in namespace {self.namespace!r}: "
                    "nobody looks whose claim a server gets"
                )
            else:
                if name in own:
                    await self._check_owner(store, name, claim)
                if name in made:
                    await self._enlarge(store, claim)
        return True

    async def _make_claim(self, name: str) -> bool:
        if not self.storage_pvc_ensure or name != self.pvc_name:
            raise ConfigError(
                "ProfileKubeSpawner.home_volume",
                f"there is no claim {name!r} in namespace {self.namespace!r}, which it or "
                "extra_volumes name: make it first, or set KubeSpawner.storage_pvc_ensure",
            )
        # KubeSpawner remembers that it has made it once, and does not look again.
        self.log.info("The claim %s was deleted, and is made anew", name)
        claim = self.get_pvc_manifest()
        return bool(await self._make_create_pvc_request(claim, self.k8s_api_request_timeout))

    async def _check_owner(self, store: ClaimStore, name: str, claim: Claim) -> None:
        assert self.profile is not None  # noqa: S101 - without one there are no own claims
        if check_owner(name, claim.annotations, self.profile):
            return
        if not await store.annotate(name, owner_annotations(self.profile)):
            self._tell_once(
                f"the hub may not patch persistentvolumeclaims in namespace {self.namespace!r}: "
                "whose a claim is cannot be written on those that are there already"
            )

    async def _enlarge(self, store: ClaimStore, claim: Claim) -> None:
        wanted = self.storage_capacity or ""
        if not is_more(wanted, claim.storage):
            return
        try:
            await store.resize(self.pvc_name, wanted)
        except UpstreamError as error:
            self.log.warning("%s. It stays at %s, and the server starts", error, claim.storage)
        else:
            self.log.info("The claim %s grows to %s", self.pvc_name, wanted)

    def _tell_once(self, sentence: str) -> None:
        told = _TOLD.setdefault(self.api, set())
        if sentence not in told:
            told.add(sentence)
            self.log.warning("%s", sentence)
