"""The spawner: KubeSpawner whose pods run as the user's own uid, with the user's groups."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future

from jhk8s_ext.clients.config_maps import ConfigMapStore
from jhk8s_ext.clients.kubernetes import SecretStore
from jhk8s_ext.errors import IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.manifest import write_back
from jhk8s_ext.hub.menu_spawner import MenuSpawner
from jhk8s_ext.hub.readiness import until_it_listens
from jhk8s_ext.hub.refusals import refusal, start_failure, start_refusal
from jhk8s_ext.hub.removal_spawner import RemovalSpawner
from jhk8s_ext.hub.settings import PodOptions
from jhk8s_ext.identity import Profile
from jhk8s_ext.menu.options import names_image, parse_user_options
from jhk8s_ext.pod.build import build_pod
from jhk8s_ext.pod.failure import StartFailure, describe_end, find_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from jhk8s_ext.pod.secrets import ServerSecret

_LOOK_AGAIN_SECONDS = 0.5

#: How long a pod may wait before the ConfigMap with its shim is looked for again.
_SHIM_SECONDS = 10

#: How long a started pod may take to listen before JupyterHub's own wait goes on.
_LISTEN_SECONDS = 10


class ProfileKubeSpawner(PodOptions, RemovalSpawner, MenuSpawner):
    """KubeSpawner with the profile of ``auth_state``.

    JupyterHub hands over ``auth_state`` before every start, and without a profile in it nothing
    starts. Everything that this class changes begins with that profile: an object that was never
    given an ``auth_state`` is a plain `KubeSpawner`.
    """

    profile: Profile | None = None
    _secret: ServerSecret | None = None
    _secret_name: str = ""
    _own_claims: Sequence[str] = ()
    #: Uid of the pod that was there before this start's, empty for none; None until ours is made.
    _older_uid: str | None = None
    #: Of the start that is under way, once it has failed.
    _failure: StartFailure | None = None

    async def run_auth_state_hook(self, auth_state: Mapping[str, Any] | None) -> None:
        """Take the profile from ``auth_state``, then run the operator's hook."""
        try:
            self.profile = self._parse_profile(auth_state)
        except IdentityError as error:
            raise refusal(error) from error
        self._look_for_git_tokens(auth_state or {})
        await super().run_auth_state_hook(auth_state)

    def _look_for_git_tokens(self, auth_state: Mapping[str, Any]) -> None:
        for sentence in self.take_git_tokens(auth_state):
            self.log.warning("%s: %s; git does without", self.user.name, sentence)

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
        if self.profile is not None and self.has_other_git_servers():
            # An override has brought them after auth_state was handed over.
            self._look_for_git_tokens(await self.user.get_auth_state() or {})

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
        self._older_uid, self._failure = None, None
        start = asyncio.ensure_future(self._start_and_listen())
        failure = asyncio.ensure_future(self._shim_failure())
        shim = asyncio.ensure_future(self._keep_shim())
        try:
            await asyncio.wait({start, failure}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                return start.result()
            self._failure = failure.result()
            raise start_failure(self._failure)
        finally:
            start.cancel()
            failure.cancel()
            shim.cancel()

    async def _start_and_listen(self) -> Any:
        begin = time.monotonic()
        url = await super()._start()
        remaining = self.start_timeout - (time.monotonic() - begin)
        await until_it_listens(url, min(_LISTEN_SECONDS, remaining / 2))
        return url

    async def _shim_failure(self) -> StartFailure:
        """Wait until the shim of the pod that is being started has failed; return why."""
        while True:
            if failure := find_failure(self._new_pod()):
                return failure
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield KubeSpawner's events, how containers have ended, and why the start has failed.

        JupyterHub says the latter itself, when it has deleted the pod, which takes a while.
        """
        told = ""
        async with contextlib.aclosing(super().progress()) as events:
            async for event in events:
                yield event
                said = describe_end(self._new_pod())
                if said and said != told:
                    told = said
                    yield {"message": said}
        if self._failure is not None:
            failure = self._failure
            yield {"message": failure.to_text(), "html_message": failure.to_html()}

    def _new_pod(self) -> dict[str, Any]:
        """Return the pod that is being started, empty where it is not there yet."""
        pod = self._seen_pod()
        is_new = pod and self._older_uid not in (None, pod["metadata"]["uid"])
        return pod if is_new else {}

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
                self.pod_settings(
                    self.working_dir or "",
                    self.profile,
                    is_admin=bool(self.user.admin),
                    start_timeout=self.start_timeout,
                    has_users_image=names_image(self.user_options),
                ),
                pvc_name=self.pvc_name,
                pvc_is_own=self.pvc_is_own,
                choice=self.choice,
            )
        except Jhk8sError as error:
            raise refusal(error) from error
        self._secret, self._own_claims = built.secret, built.own_claims
        write_back(built.manifest, pod)
        return pod

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Create the server's Secret, then the pod that reads it, then tie the one to the other.

        Before that, make sure that the user's claims are the user's.
        """
        create = super()._make_create_pod_request
        if self._secret is None:
            return bool(await create(pod, request_timeout))
        labels = self._build_common_labels(self._expand_all(self.extra_labels))
        try:
            if self.profile is not None:
                await self.check_removal(self.profile)
            if not await self.use_claims(self._own_claims):
                return False
            await self._provide_shim()
            await self._secret_store().replace(self._secret.to_manifest(labels))
        except Jhk8sError as error:
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

    async def _provide_shim(self, *, again: bool = False) -> None:
        """Create the ConfigMap with the shim, where the pod needs one and it is not there."""
        if config_map := self.shim_config_map():
            store = ConfigMapStore(self.api, self.namespace, self.k8s_api_request_timeout)
            await (store.provide_again if again else store.provide)(config_map)

    async def _keep_shim(self) -> None:
        """Create it anew where somebody has deleted it: a pod waits for it, and says nothing."""
        while True:
            await asyncio.sleep(_SHIM_SECONDS)
            if self._older_uid is not None:  # the pod is made
                break
        try:
            await self._provide_shim(again=True)
        except UpstreamError as error:
            self.log.warning("%s. The server may wait for it until start_timeout", error)

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

    def clear_state(self) -> None:
        """Forget the last start, and why it failed."""
        self._failure = None
        super().clear_state()

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
