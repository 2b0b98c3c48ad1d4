"""What a probe's answer means."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from jhk8s_ext import __version__
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed
from jhk8s_ext.pod.delivery import SHIM_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.cli.doctor.rendered import Rendered

_CHECK = "home"

#: What the start shim runs on.
_OLDEST_PYTHON = (3, 9)

#: What Python says where the ConfigMap is not there.
_NOT_THERE = f"can't open file '{SHIM_PATH}'"

#: Statuses with which the shim itself ends, see docs/reference/exit-codes.md.
_OF_SHIM = range(70, 75)


def judge_home(  # noqa: PLR0911 - one for each thing that can be wrong
    answer: Mapping[str, Any], path: str, rendered: Rendered, *, name: str, uid: int
) -> Finding:
    """Judge what the user's home is to the user.

    Parameters
    ----------
    answer
        Of the probe.
    path
        Of the home in the container.
    rendered
        The user's server.
    name, uid
        Of the user.
    """
    volume = f"{rendered.class_name}.home_volume"
    folder = f"{rendered.class_name}.home_subdirectory"
    is_shared = bool(rendered.spawner.home_subdirectory)
    setting = folder if is_shared else volume
    problem = answer.get("problem")
    if problem and answer.get("errno") == errno.ENOENT:
        if rendered.spawner.home_provisioner:
            return passed(_CHECK, f"{path} is made when {name} starts a server for the first time")
        hint = f"or make the folder, owned by uid {uid}, or set home_provisioner"
        return failed(_CHECK, f"there is no home of {name} at {path}", setting, hint)
    if problem:
        text = f"uid {uid} cannot reach {path}: {problem}"
        hint = "the folders above it need mode 0711 at least"
        return failed(_CHECK, text, volume, hint)
    if not answer.get("is_directory"):
        return failed(_CHECK, f"{path} is no folder", setting)
    owner = answer.get("owner")
    # The root folder of a claim of the user's own is opened by its group.
    if is_shared and owner != uid:
        text = f"{path} belongs to uid {owner}, and {name} is uid {uid}"
        hint = f"chown it to {uid}, or correct the account's uid"
        return failed(_CHECK, text, setting, hint)
    if write_problem := answer.get("write_problem"):
        text = f"uid {uid} cannot write into {path}: {write_problem}"
        return failed(_CHECK, text, volume, "look at its mode, quota and export options")
    return passed(_CHECK, f"{path} is {name}'s, and can be written")


def judge_shim(
    probed: Mapping[str, Any], image: str, class_name: str, *, is_given: bool
) -> Finding:
    """Judge the start shim of an image.

    Parameters
    ----------
    probed
        All that the probe has found.
    image
        What it ran in.
    class_name
        Of the spawner.
    is_given
        Whether the hub gives the shim to the image, in a ConfigMap that may not be there yet.
    """
    check, setting = "images", f"{class_name}.start_command"
    answer, python = probed["shim"], tuple(probed["python"])
    version = answer.get("version")
    if not version and python < _OLDEST_PYTHON:
        found, oldest = (".".join(map(str, each)) for each in (python, _OLDEST_PYTHON))
        text = f"{image} has Python {found}, and the start shim needs {oldest} or later"
        return failed(check, text, f"{class_name}.image")
    if is_given and _NOT_THERE in answer.get("problem", ""):
        return passed(check, f"{image} can run the start shim, which the hub gives to it")
    if version == __version__:
        return passed(check, f"{image} has the start shim {version}")
    hint = "layer the shim that comes with this version on the image"
    if version:
        text = f"{image} has the start shim {version}, and the hub is {__version__}"
        return doubtful(check, text, f"{class_name}.image", hint)
    if answer.get("status") in _OF_SHIM:
        text = f"{image} has a start shim that is older than the hub, {__version__}"
        return doubtful(check, text, f"{class_name}.image", hint)
    said = answer.get("problem") or f"status {answer.get('status')}"
    text = f"{image} has no start shim where it is looked for: {said}"
    hint = "or layer the shim on the image, or set start_delivery to configmap"
    return failed(check, text, setting, hint)
