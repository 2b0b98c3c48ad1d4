"""What the image menu's choice leaves in the pod, for its user and for whoever gives support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.pod.fragment import Manifest

IMAGE_TITLE_ANNOTATION = "jhk8s-ext/image-title"
SIZE_ANNOTATION = "jhk8s-ext/size"


def build_chosen(choice: Choice) -> PodFragment:
    """Let ``kubectl`` show what was chosen; the image's name has tag and digest itself."""
    annotations = {IMAGE_TITLE_ANNOTATION: choice.title}
    if choice.size is not None:
        annotations[SIZE_ANNOTATION] = choice.size.name
    return PodFragment(origin="ProfileKubeSpawner (image menu)", annotations=annotations)


def add_chosen(environment: Sequence[Manifest], choice: Choice) -> list[Manifest]:
    """Tell the server what was chosen, beside KubeSpawner's ``JUPYTER_IMAGE``.

    A variable that the operator has set stays theirs.

    Parameters
    ----------
    environment
        The notebook container's ``env``.
    choice
        What the user chose.
    """
    facts = {
        "JUPYTER_IMAGE_DIGEST": choice.image.digest,
        "JUPYTER_IMAGE_TITLE": choice.title,
        "JUPYTER_SERVER_SIZE": choice.size.name if choice.size is not None else "",
    }
    taken = {entry["name"] for entry in environment}
    ours = [
        # Kubernetes replaces $(NAME) in a value, and reads $$ as a dollar.
        {"name": name, "value": value.replace("$", "$$")}
        for name, value in facts.items()
        if name not in taken
    ]
    # First, so that the operator's variables may refer to them.
    return [*ours, *environment]
