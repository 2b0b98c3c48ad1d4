"""What the image menu's choice leaves in the pod, for its user and for whoever gives support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from jhk8s_ext.menu.choice import Choice

IMAGE_TITLE_ANNOTATION = "jhk8s-ext/image-title"
SIZE_ANNOTATION = "jhk8s-ext/size"


def build_chosen(choice: Choice) -> PodFragment:
    """Tell the server what was chosen, beside KubeSpawner's ``JUPYTER_IMAGE``, and ``kubectl``."""
    annotations = {IMAGE_TITLE_ANNOTATION: choice.title}
    if choice.size is not None:
        annotations[SIZE_ANNOTATION] = choice.size.name
    facts = {
        "JUPYTER_IMAGE_DIGEST": choice.image.digest,
        "JUPYTER_IMAGE_TITLE": choice.title,
        "JUPYTER_SERVER_SIZE": choice.size.name if choice.size is not None else "",
    }
    return PodFragment(
        origin="ProfileKubeSpawner (image menu)",
        annotations=annotations,
        # Kubernetes replaces $(NAME) in a value, and reads $$ as a dollar.
        environment=[
            {"name": name, "value": value.replace("$", "$$")} for name, value in facts.items()
        ],
    )
