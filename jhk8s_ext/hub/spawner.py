"""The spawner: KubeSpawner whose pods run as the user's own uid, with the user's groups."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future
from kubespawner import KubeSpawner

from jhk8s_ext.clients.kubernetes import SecretStore
from jhk8s_ext.errors import IdentityError, Jhk8sError
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.hub.settings import PodOptions
from jhk8s_ext.identity import Profile
from jhk8s_ext.menu.options import parse_user_options
from jhk8s_ext.pod.build import build_pod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.pod.secrets import ServerSecret


class ProfileKubeSpawner(PodOptions, KubeSpawner):
    """KubeSpawner with the profile of ``auth_state``.

    JupyterHub hands over ``auth_state`` before every start, and without a profile in it nothing
    starts. Everything that this class changes begins with that profile: an object that was never
    given an ``auth_state`` is a plain `KubeSpawner`.
    """

    profile: Profile | None = None
    _secret: ServerSecret | None = None
    _secret_name: str = ""

    async def run_auth_state_hook(self, auth_state: Mapping[str, Any] | None) -> None:
        """Take the profile from ``auth_state``, then run the operator's hook."""
        try:
            self.profile = self._parse_profile(auth_state)
        except IdentityError as error:
            raise refusal(error) from error
        await super().run_auth_state_hook(auth_state)

    def _parse_profile(self, auth_state: Mapping[str, Any] | None) -> Profile:
        name = self.user.name
        document = (auth_state or {}).get("profile")
        if document is None:
            raise IdentityError(
                f"there is no profile of {name!r} yet: the user has to log in, again if need be"
            )
        profile = Profile.from_auth_state(document)
        if profile.username != name:
            raise IdentityError(f"the profile of {name!r} is that of {profile.username!r}")
        return profile

    async def load_user_options(self) -> None:
        """Refuse options that are not on offer, then let KubeSpawner apply them."""
        if self.profile is not None:
            try:
                parse_user_options(
                    self.user_options, await self._menu(), extra=self._operators_options()
                )
            except Jhk8sError as error:
                raise refusal(error) from error
        await super().load_user_options()

    async def _menu(self) -> list[dict[str, Any]]:
        menu = self.profile_list
        if callable(menu):
            menu = await maybe_future(menu(self))
        entries: list[dict[str, Any]] = self._get_initialized_profile_list(
            self._sorted_dict_values(menu)
        )
        return entries

    def _operators_options(self) -> set[str]:
        applied = self.apply_user_options
        return {*self.extra_user_options, *(applied if isinstance(applied, dict) else ())}

    async def get_pod_manifest(self) -> Any:
        """Return KubeSpawner's pod, made to run as the profile."""
        pod = await super().get_pod_manifest()
        if self.profile is None:
            return pod
        client = self.api.api_client
        try:
            built = build_pod(
                client.sanitize_for_serialization(pod),
                self.profile,
                self.pod_settings(self.working_dir or ""),
                pvc_name=self.pvc_name,
            )
        except Jhk8sError as error:
            raise refusal(error) from error
        self._secret = built.secret
        # modify_pod_hook and KubeSpawner itself expect the client's model.
        return client.deserialize(SimpleNamespace(data=json.dumps(built.manifest)), "V1Pod")

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Create the server's Secret, then the pod that reads it, then tie the one to the other."""
        if self._secret is None:
            created: bool = await super()._make_create_pod_request(pod, request_timeout)
            return created
        secrets = self._secret_store()
        labels = self._build_common_labels(self._expand_all(self.extra_labels))
        try:
            await secrets.replace(self._secret.to_manifest(labels))
            self._secret_name = self._secret.name
            created = await super()._make_create_pod_request(pod, request_timeout)
            if created and not await secrets.hand_to_pod(self._secret.name, self.pod_name):
                self.log.warning(
                    "The hub may not patch secrets in namespace %s: %s is deleted when the server "
                    "stops, but outlives a pod that is deleted by others",
                    self.namespace,
                    self._secret.name,
                )
        except Jhk8sError as error:
            raise refusal(error) from error
        return created

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's signature
        """Stop the server, and delete its Secret."""
        await super().stop(now)
        if self._secret_name:
            await self._secret_store().delete(self._secret_name)
            self._secret_name = ""

    def get_state(self) -> dict[str, Any]:
        """Return what a restarted hub has to know, the Secret's name included."""
        state: dict[str, Any] = super().get_state()
        if self._secret_name:
            state["jhk8s_secret"] = self._secret_name
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that was started before the hub was."""
        super().load_state(state)
        self._secret_name = state.get("jhk8s_secret", "")

    def _secret_store(self) -> SecretStore:
        return SecretStore(self.api, self.namespace, self.k8s_api_request_timeout)
