"""The spawner's part of what becomes of a home when its user is removed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from jupyterhub.utils import maybe_future
from kubespawner.objects import make_pod

from jhk8s_ext import __version__
from jhk8s_ext.clients.claims import ClaimStore
from jhk8s_ext.clients.config_maps import ConfigMapStore
from jhk8s_ext.clients.pods import PodState, PodStore
from jhk8s_ext.clients.shim import build_shim
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.claim_spawner import ClaimSpawner
from jhk8s_ext.hub.home_options import HomeOptions
from jhk8s_ext.hub.provisioner_options import ProvisionerOptions
from jhk8s_ext.identity import Profile
from jhk8s_ext.pod.claim_owner import ARCHIVED_ANNOTATION, check_owner
from jhk8s_ext.pod.delivery import build_config_map
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_removal import Removal, build_removal, check_archive, removal_labels
from jhk8s_ext.pod.managed_home import manage_home

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home import Home
    from jhk8s_ext.pod.provisioner import Provisioner

#: How long the administrator who deletes a user waits for the home; it goes on after that.
_WAIT_SECONDS = 8

_LOOK_AGAIN_SECONDS = 1.0
_MOST_SECONDS = 30.0
#: A pod that does not run by then needs somebody.
_START_SECONDS = 300

#: What goes on when the request that began it has been answered: nobody else holds these.
_GOING_ON: set[asyncio.Task[None]] = set()

#: Namespace, and claim or username, of a home that is going and of which no pod tells yet.
_GOING: set[tuple[str, str]] = set()

#: Of a pod: where it runs, and the operator's security context.
_PLACEMENT = ("nodeSelector", "tolerations", "affinity", "imagePullSecrets", "securityContext")


class RemovalSpawner(HomeOptions, ProvisionerOptions, ClaimSpawner):
    """KubeSpawner that keeps, archives or deletes the home of a user who is deleted."""

    async def delete_forever(self) -> None:
        """Do with the home what ``home_removal`` says; without it what KubeSpawner does.

        Nothing goes where the profile, and with it whose the home is, is not known.
        """
        try:
            if self.home_removal is None:
                await self._delete_as_upstream()
            elif self.home_removal == "keep":
                self.log.info("The home of %s is kept", self._log_name)
            else:
                await self._remove_home()
        except Jhk8sError as error:
            self.log.error("The home of %s stays as it is: %s", self._log_name, error)  # noqa: TRY400

    async def _delete_as_upstream(self) -> None:
        # pvc_name of everybody is everybody's.
        if not self.pvc_is_own:
            return
        is_per_server = "{user_server}" in self.pvc_name_template
        # KubeSpawner leaves a claim of all the user's servers alone when a named one goes.
        if self.delete_pvc and (is_per_server or not self.name):
            self._check_stopped(is_per_server=is_per_server)
        await super().delete_forever()

    def _check_stopped(self, *, is_per_server: bool) -> None:
        """Raise `UpstreamError` where a server has the home: a claim would be lost at its stop."""
        for name, spawner in self.user.spawners.items():
            if spawner.active and (name == self.name or not is_per_server):
                raise UpstreamError(f"the server {name!r} of {self.user.name} has not been stopped")

    async def _remove_home(self) -> None:
        profile = await self._removed_profile()
        home = self._build_home(profile)
        if home.own_claim:
            # Not of a named server, where it is that of all the user's servers.
            if self._is_per_server(home) or not self.name:
                with self._nobody_starting(profile, home):
                    await self._remove_claim(home.own_claim, profile)
        elif self.home_volume and not self.name:  # named servers have no home of their own
            await self._remove_from_volume(profile, home)

    @contextlib.contextmanager
    def _nobody_starting(self, profile: Profile, home: Home) -> Iterator[None]:
        """Keep servers with this home from starting meanwhile.

        Raises
        ------
        UpstreamError
            If one is there. JupyterHub stops the default one alone, and finds another one only
            after it has let the home go; then it refuses to delete the user.
        """
        key = self._key_of(profile, home)
        _GOING.add(key)
        try:
            # From here on whoever starts meets the key; who has begun before is seen.
            self._check_stopped(is_per_server=self._is_per_server(home))
            yield
        finally:
            _GOING.discard(key)

    def _key_of(self, profile: Profile, home: Home) -> tuple[str, str]:
        return self.namespace, home.own_claim or profile.username

    def _is_per_server(self, home: Home) -> bool:
        return home.own_claim == self.pvc_name and "{user_server}" in self.pvc_name_template

    async def _removed_profile(self) -> Profile:
        auth_state = await self.user.get_auth_state()
        document = (auth_state or {}).get("profile")
        if document is None:
            raise IdentityError("the hub has no profile of that user, and so not whose it is")
        profile = Profile.from_auth_state(document)
        if profile.username != self.user.name:
            raise IdentityError(
                f"the profile of {self.user.name!r} is that of {profile.username!r}"
            )
        return profile

    def _build_home(self, profile: Profile) -> Home:
        settings = self.home_settings()
        return build_home(profile, settings, self.pvc_name, pvc_is_own=self.pvc_is_own)

    async def _remove_claim(self, name: str, profile: Profile) -> None:
        store = ClaimStore(self.api, self.namespace, self.k8s_api_request_timeout)
        status, claim = await store.read(name)
        if status == HTTPStatus.NOT_FOUND:
            return
        if claim is None:
            raise UpstreamError(f"the hub may not look whose the claim {name!r} is")
        check_owner(name, claim.annotations, profile)
        if self.home_removal == "delete":
            await store.delete(name)
            self.log.info("The claim %s of %s is deleted", name, self._log_name)
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if not await store.annotate(name, {ARCHIVED_ANNOTATION: now}):
            raise UpstreamError(f"the hub may not write on the claim {name!r}: let it patch claims")
        self.log.info("The claim %s of %s is archived", name, self._log_name)

    async def _remove_from_volume(self, profile: Profile, home: Home) -> None:
        provisioner = self._needed_provisioner()
        removal = Removal(
            policy="archive" if self.home_removal == "archive" else "delete",
            archive_subdirectory=self.home_archive,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            token=secrets.token_hex(4),
        )
        config_map = build_config_map(__version__, build_shim())
        managed = manage_home(profile, provisioner, home, self.home_settings(), self.pvc_name)
        pod = build_removal(
            managed,
            removal,
            pod_name=self.pod_name,
            pod_spec=await self._placement(),
            shim_config_map=config_map["metadata"]["name"],
        )
        timeout = self.k8s_api_request_timeout
        store = PodStore(self.api, self.namespace, timeout)
        with self._nobody_starting(profile, home):
            await ConfigMapStore(self.api, self.namespace, timeout).provide(config_map)
            await store.create(pod)
        # Nothing of this object is there any more when that ends.
        task = asyncio.create_task(_follow(store, pod["metadata"]["name"], profile, self.log))
        _GOING_ON.add(task)
        task.add_done_callback(_GOING_ON.discard)
        await asyncio.wait({task}, timeout=_WAIT_SECONDS)

    def _needed_provisioner(self) -> Provisioner:
        provisioner = self.provisioner_settings()
        if provisioner is None:
            raise ConfigError(
                "ProfileKubeSpawner.home_removal",
                f"{self.home_removal!r} needs home_provisioner on a volume of many users: its "
                "account may write in the folder of homes",
            )
        if self.home_removal == "archive":
            check_archive(self.home_archive, self.home_subdirectory)
        return provisioner

    async def _placement(self) -> Manifest:
        """Return what the operator wants for pods, as part of a pod's ``spec``."""
        security = self.pod_security_context
        if callable(security):
            security = await maybe_future(security(self))
        pod = make_pod(
            name="placement",
            cmd=[],
            port=0,
            image="",
            image_pull_secrets=self.image_pull_secrets,
            node_selector=self.node_selector,
            tolerations=self._sorted_dict_values(self.tolerations),
            node_affinity_required=self._sorted_dict_values(self.node_affinity_required),
            pod_security_context=security,
        )
        spec = self.api.api_client.sanitize_for_serialization(pod)["spec"]
        return {key: spec[key] for key in _PLACEMENT if spec.get(key)}

    async def check_removal(self, profile: Profile) -> None:
        """Make sure that nobody is removing the home of this user, who has come back.

        Raises
        ------
        ConfigError
            If it could never be removed.
        UpstreamError
            If somebody is, or the API server fails.
        """
        if self.home_removal not in ("delete", "archive") or not self.home_volume:
            return
        home = self._build_home(profile)
        if self._key_of(profile, home) in _GOING:
            raise UpstreamError(
                f"the home of {profile.username} is just being removed: try again in a minute"
            )
        if home.own_claim:
            return  # the claim itself says whether it was archived
        self._needed_provisioner()
        store = PodStore(self.api, self.namespace, self.k8s_api_request_timeout)
        for name in await store.find_unfinished(removal_labels(profile.username)):
            raise UpstreamError(
                f"the home of {profile.username}, who was removed from the hub, is still being "
                f"seen to by the pod {name!r}: try again when that has ended, or delete it"
            )


async def _follow(store: PodStore, name: str, profile: Profile, log: logging.Logger) -> None:
    """Wait for the end of a pod, say what came of it, and delete it where that is good."""
    whose = f"the home of {profile.username}"
    state = await _until_it_ends(store, name, whose, log)
    if state.phase != "Succeeded":
        log.error(
            "A removal has failed, and %s is not as it should be: %s. The pod %s has the log; "
            "delete it when you have seen to the home",
            whose,
            state.said,
            name,
        )
        return
    log.info("The pod %s is done with %s", name, whose)
    try:
        await store.delete(name)
    except UpstreamError as error:
        log.warning("%s. It has done its work, and nobody needs it", error)


async def _until_it_ends(store: PodStore, name: str, whose: str, log: logging.Logger) -> PodState:
    begin, pause, has_told = time.monotonic(), _LOOK_AGAIN_SECONDS, False
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _MOST_SECONDS)
        try:
            state = await store.read(name)
        except UpstreamError:
            continue  # the pod goes on without the hub
        if state.has_ended:
            return state
        is_late = state.phase == "Pending" and time.monotonic() - begin > _START_SECONDS
        if is_late and not has_told:
            has_told = True
            reason = state.said or "its events say why"
            log.warning("The pod %s, for %s, has not begun yet: %s", name, whose, reason)
