"""What runs inside the notebook server: an extension of Jupyter Server, which does nothing unasked.

The label and the notices of the start alone are there as soon as the hub or the shim has some.

It is no part of the start shim, and needs `jupyter_server`, which the server has.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "jhk8s_singleuser.extension"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@jhk8s/singleuser"}]


def _load_jupyter_server_extension(server: Any) -> None:
    # The server's packages, which the shim does not have.
    from .end import ServerEnd  # noqa: PLC0415
    from .label import ServerLabel  # noqa: PLC0415
    from .metrics import CellMetrics  # noqa: PLC0415
    from .notices import StartNotices  # noqa: PLC0415

    CellMetrics(parent=server).begin()
    ServerEnd(parent=server).begin()
    ServerLabel(parent=server).begin()
    StartNotices(parent=server).begin()
