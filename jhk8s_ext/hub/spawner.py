"""The spawner: KubeSpawner whose pods run as the user's own uid, with the user's groups."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future

from jhk8s_ext.clients.kubernetes import SecretStore
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.manifest import write_back
from jhk8s_ext.hub.menu_spawner import MenuSpawner
from jhk8s_ext.hub.readiness import until_it_listens
from jhk8s_ext.hub.refusals import refusal, start_refusal
from jhk8s_ext.hub.settings import PodOptions
from jhk8s_ext.identity import Profile
from jhk8s_ext.menu.options import parse_user_options
from jhk8s_ext.pod.build import build_pod
from jhk8s_ext.pod.failure import describe_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.pod.secrets import ServerSecret

_LOOK_AGAIN_SECONDS = 0.5

#: How long a started pod may take to listen before JupyterHub's own wait goes on.
_LISTEN_SECONDS = 10


class ProfileKubeSpawner(PodOptions, MenuSpawner):
    """KubeSpawner with the profile of ``auth_state``.

    JupyterHub hands over ``auth_state`` before every start, and without a profile in it nothing
    starts. Everything that this class changes begins with that profile: an object that was never
    given an ``auth_state`` is a plain `KubeSpawner`.
    """

    profile: Profile | None = None
    _secret: ServerSecret | None = None
    _secret_name: str = ""
    #: Uid of the pod that was there before this start's, empty for none; None until ours is made.
    _older_uid: str | None = None

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
        """Refuse options that are not on offer, and apply the others.

        The menu is asked for once: a callable ``profile_list`` may answer differently each time.
        """
        try:
            if self.menu.is_used:
                await self.choose()
            elif self.profile is None:
                await super().load_user_options()
            else:
                await self._choose_of_profile_list()
        except Jhk8sError as error:
            raise start_refusal(error) from error

    async def _choose_of_profile_list(self) -> None:
        menu = await self._profile_list()
        chosen = parse_user_options(self.user_options, menu, extra=self.operators_options())
        if menu:
            self._load_profile(chosen.entry, menu)

    async def _profile_list(self) -> list[dict[str, Any]]:
        menu = self.profile_list
        if callable(menu):
            menu = await maybe_future(menu(self))
        entries: list[dict[str, Any]] = self._get_initialized_profile_list(
            self._sorted_dict_values(menu)
        )
        return entries

    async def _start(self) -> Any:
        """Start the pod, and give up where the start shim has said why it cannot."""
        if self.profile is None:
            return await super()._start()
        self._older_uid = None
        start = asyncio.ensure_future(self._start_and_listen())
        failure = asyncio.ensure_future(self._shim_failure())
        try:
            await asyncio.wait({start, failure}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                return start.result()
            raise refusal(ConfigError("The server did not start", failure.result()))
        finally:
            start.cancel()
            failure.cancel()

    async def _start_and_listen(self) -> Any:
        begin = time.monotonic()
        url = await super()._start()
        remaining = self.start_timeout - (time.monotonic() - begin)
        await until_it_listens(url, min(_LISTEN_SECONDS, remaining / 2))
        return url

    async def _shim_failure(self) -> str:
        """Wait until the shim of the pod that is being started has failed; return why."""
        while True:
            pod = self._seen_pod()
            is_ours = pod and self._older_uid not in (None, pod["metadata"]["uid"])
            if is_ours and (failure := describe_failure(pod)):
                return failure
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def _seen_pod(self) -> dict[str, Any]:
        """Return the server's pod as KubeSpawner's watch last saw it, empty where it saw none."""
        pods = self.pod_reflector.pods if self.pod_reflector else {}
        pod: dict[str, Any] = pods.get(f"{self.namespace}/{self.pod_name}", {})
        return pod

    async def get_pod_manifest(self) -> Any:
        """Return KubeSpawner's pod, made to run as the profile."""
        pod = await super().get_pod_manifest()
        if self.profile is None:
            return pod
        try:
            built = build_pod(
                self.api.api_client.sanitize_for_serialization(pod),
                self.profile,
                self.pod_settings(self.working_dir or ""),
                pvc_name=self.pvc_name,
                choice=self.choice,
            )
        except Jhk8sError as error:
            raise refusal(error) from error
        self._secret = built.secret
        write_back(built.manifest, pod)
        return pod

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Create the server's Secret, then the pod that reads it, then tie the one to the other."""
        create = super()._make_create_pod_request
        if self._secret is None:
            return bool(await create(pod, request_timeout))
        labels = self._build_common_labels(self._expand_all(self.extra_labels))
        try:
            await self._secret_store().replace(self._secret.to_manifest(labels))
        except UpstreamError as error:
            raise refusal(error) from error
        self._secret_name = self._secret.name
        older_uid = self._seen_pod().get("metadata", {}).get("uid", "")
        try:
            created = bool(await create(pod, request_timeout))
        except Exception:
            # JupyterHub does not stop a server that it has never seen running.
            await self._delete_secret()
            raise
        if created:
            self._older_uid = older_uid
            await self._hand_over_secret()
        else:
            # This attempt may have been the last one, and the next one begins with a new Secret.
            await self._delete_secret()
        return created

    async def _hand_over_secret(self) -> None:
        try:
            await self._secret_store().hand_to_pod(self._secret_name, self.pod_name)
        except UpstreamError as error:
            self.log.warning(
                "%s. The Secret is deleted when the server stops, but outlives a pod that others "
                "delete",
                error,
            )

    async def _delete_secret(self) -> None:
        """Delete the server's Secret; where that fails, stopping goes on and the log says so."""
        if not self._secret_name:
            return
        try:
            await self._secret_store().delete(self._secret_name)
        except UpstreamError as error:
            self.log.warning("%s. It goes with its pod, or at the next start", error)
        self._secret_name = ""

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's signature
        """Stop the server, and delete its Secret."""
        await super().stop(now)
        await self._delete_secret()

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
