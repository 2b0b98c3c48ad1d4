"""Short-lived pods that look at the homes and images as a server would meet them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.cluster import Cluster, NotAllowedError, message_of
from jhk8s_ext.cli.doctor.findings import Finding, failed, skipped
from jhk8s_ext.cli.doctor.images import images_on_offer
from jhk8s_ext.cli.doctor.probe_pod import build_probe, real_home, user_of
from jhk8s_ext.cli.doctor.probe_verdict import judge_home, judge_shim
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.rendered import Rendered
    from jhk8s_ext.pod.fragment import Manifest

_LOOK_AGAIN_SECONDS = 0.5
_DELETE_SECONDS = 15

#: How many probes are there at once.
_AT_ONCE = 2

#: Reasons of a waiting container that waiting does not mend.
_HOPELESS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)

#: Of those, the ones that are about the image.
_OF_IMAGES = frozenset(
    {"ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"}
)

#: Events that say why a pod does not get as far as its containers.
_TELLING = frozenset({"FailedMount", "FailedAttachVolume", "FailedScheduling", "FailedCreate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What came of a probe: an answer, or why there is none."""

    answer: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    reason: str = ""


async def check_by_probe(cluster: Cluster, rendered: Rendered, seconds: int) -> list[Finding]:
    """Look at the home, and at the shim of every image on offer.

    Parameters
    ----------
    cluster
        In which the probes run.
    rendered
        A real user's server.
    seconds
        How long each probe may take.
    """
    if not hasattr(rendered.spawner, "start_command"):
        reason = f"{rendered.class_name} has neither homes nor a start shim"
        return [skipped("home", reason), skipped("images", reason)]
    missing = await _missing_claims(cluster, rendered)
    if missing:
        reason = f"there is no claim {missing[0]!r} yet, without which no pod starts"
        return [skipped("home", reason), skipped("images", reason)]
    places = asyncio.Semaphore(_AT_ONCE)
    images = images_on_offer(rendered)
    start_command = rendered.spawner.shim_command()

    async def look(image: str, setting: str, home: str) -> list[Finding]:
        manifest = build_probe(
            rendered.pod, image=image, start_command=start_command, home=home, seconds=seconds
        )
        async with places:
            outcome = await _run(cluster, rendered.namespace, manifest, seconds)
        return _judge(rendered, outcome, image, setting, home)

    home = real_home(rendered.pod)
    tasks = [
        # The home is the same one for all images.
        asyncio.ensure_future(look(image, setting, "" if index else home))
        for index, (image, setting) in enumerate(images.items())
    ]
    try:
        found = [finding for findings in await asyncio.gather(*tasks) for finding in findings]
    finally:
        # Ctrl-C: each of them still deletes its pod.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not home:
        found.append(skipped("home", f"{rendered.class_name}.home_volume is empty: none lasts"))
    return found


async def _missing_claims(cluster: Cluster, rendered: Rendered) -> list[str]:
    missing = []
    for volume in rendered.volumes():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not name:
            continue
        question = cluster.core.read_namespaced_persistent_volume_claim(name, rendered.namespace)
        with contextlib.suppress(NotAllowedError, ApiException, UpstreamError):
            if await cluster.ask(question) is None:
                missing.append(name)
    return missing


async def _run(cluster: Cluster, namespace: str, manifest: Manifest, seconds: int) -> _Outcome:
    """Run a probe to its end, and delete it whatever happens."""
    name = manifest["metadata"]["name"]
    # Kept apart from the wait for it: a creation that is cut short may still have happened.
    creation = asyncio.ensure_future(
        cluster.ask(cluster.core.create_namespaced_pod(namespace, manifest))
    )
    try:
        created = await asyncio.shield(creation)
        if created is None:
            return _Outcome(problem=f"there is no namespace {namespace!r}")
        return await _watch(cluster, namespace, name, seconds)
    except NotAllowedError:
        return _Outcome(problem="whoever runs this may not create or see pods")
    except ApiException as error:
        return _Outcome(problem=message_of(error))
    except UpstreamError as error:
        return _Outcome(problem=str(error))
    finally:
        deletion = asyncio.ensure_future(_delete(cluster, namespace, name, creation))
        while not deletion.done():
            # A second Ctrl-C does not keep the pod.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(deletion)


async def _delete(
    cluster: Cluster, namespace: str, name: str, creation: asyncio.Future[Any]
) -> None:
    end = time.monotonic() + _DELETE_SECONDS
    await asyncio.wait([creation], timeout=_DELETE_SECONDS)
    if creation.done() and not creation.cancelled() and creation.exception() is not None:
        # Told by whoever awaits it. Deleted all the same: an answer may be lost on its way.
        end = min(end, time.monotonic() + _LOOK_AGAIN_SECONDS)
    while time.monotonic() < end:
        if await _is_deleted(cluster, namespace, name):
            return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def _is_deleted(cluster: Cluster, namespace: str, name: str) -> bool:
    deletion = cluster.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    try:
        # None where it is gone already.
        await cluster.ask(deletion)
    except (NotAllowedError, ApiException, UpstreamError):
        return False
    return True


async def _watch(cluster: Cluster, namespace: str, name: str, seconds: int) -> _Outcome:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pod = await cluster.ask(cluster.core.read_namespaced_pod(name, namespace))
        if pod is None:
            return _Outcome(problem="somebody else has deleted the probe")
        outcome = _outcome_of(pod)
        if outcome is not None:
            return outcome
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    event, reason = await _last_event(cluster, namespace, name)
    text = f"the probe did not run within {seconds} seconds"
    return _Outcome(problem=f"{text}: {event}" if event else text, reason=reason)


def _outcome_of(pod: Any) -> _Outcome | None:
    statuses = pod.status.container_statuses or []
    for status in statuses:
        state = status.state
        if state.waiting and state.waiting.reason in _HOPELESS:
            text = f"{state.waiting.reason}: {state.waiting.message or ''}"
            return _Outcome(problem=text, reason=state.waiting.reason)
        if state.terminated:
            return _answer_of(state.terminated)
    if pod.status.phase == "Failed":
        text = pod.status.message or pod.status.reason or "the probe failed"
        return _Outcome(problem=text, reason=pod.status.reason or "")
    return None


def _answer_of(terminated: Any) -> _Outcome:
    try:
        answer = json.loads(terminated.message or "")
    except ValueError:
        said = (terminated.message or terminated.reason or "").strip()
        text = f"the image's python3 does not run (status {terminated.exit_code}): {said}"
        return _Outcome(problem=text, reason="Python")
    return _Outcome(answer=answer)


async def _last_event(cluster: Cluster, namespace: str, name: str) -> tuple[str, str]:
    selector = f"involvedObject.kind=Pod,involvedObject.name={name}"
    try:
        found = await cluster.ask(
            cluster.core.list_namespaced_event(namespace, field_selector=selector)
        )
    except (NotAllowedError, ApiException, UpstreamError):
        return "", ""
    events = [event for event in (found.items if found else []) if event.type == "Warning"]
    telling = [event for event in events if event.reason in _TELLING] or events
    return (telling[-1].message, telling[-1].reason) if telling else ("", "")


def _judge(
    rendered: Rendered, outcome: _Outcome, image: str, setting: str, home: str
) -> list[Finding]:
    name, uid = user_of(rendered.pod)
    if outcome.answer:
        is_given = rendered.spawner.mounts_shim()
        findings = [judge_shim(outcome.answer, image, rendered.class_name, is_given=is_given)]
        if home:
            findings.insert(
                0, judge_home(outcome.answer["home"], home, rendered, name=name, uid=uid)
            )
        return findings
    if outcome.reason in _OF_IMAGES or outcome.reason == "Python":
        findings = [failed("images", f"{image}: {outcome.problem}", setting)]
        return [*findings, *([skipped("home", "the image does not run")] if home else [])]
    if (
        outcome.reason
        in ("FailedMount", "FailedAttachVolume", "CreateContainerError", "RunContainerError")
        and home
    ):
        text = f"a server's volumes cannot be mounted: {outcome.problem}"
        found = failed("home", text, f"{rendered.class_name}.home_volume")
        return [found, skipped("images", f"{image}: the probe did not start")]
    found = failed("probe", f"{image}: {outcome.problem}", rendered.class_name)
    return [found, *([skipped("home", "the probe did not run")] if home else [])]
