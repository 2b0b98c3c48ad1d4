"""A hub's spawner that does everything but wait for the pod."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jhk8s_ext.cli.recorder import RecordingApi


class _Sent(Exception):  # noqa: N818 - not an error: it ends the start
    """Everything has been sent."""


def recording_class(  # noqa: C901 - one class of small methods
    cls: Any, api: RecordingApi, log: Any
) -> type[Any]:
    """Return a spawner's class whose spawners send everything, and wait for nothing.

    Parameters
    ----------
    cls
        The hub's ``spawner_class``.
    api
        What they talk to.
    log
        For what they say.
    """

    class Recording(cls):  # type: ignore[misc]  # whatever the hub names
        """The hub's spawner, without the waiting."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**{"log": log, **kwargs})
            # It would be asked of an object that the cluster has made.
            self.after_pod_created_hook = None

        @property
        def pod_reflector(self) -> Any:
            return SimpleNamespace(pods=api.pods(self.namespace))

        @property
        def event_reflector(self) -> None:
            return None

        async def _start_watching_pods(self, replace: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's
            pass

        async def _start_watching_events(self, replace: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's
            pass

        async def _start(self) -> str:
            with contextlib.suppress(_Sent):
                await super()._start()
            return "http://127.0.0.1:8888"

        async def _run_apply_user_options(self, user_options: Any) -> None:
            # JupyterHub warns where there is nothing to apply, not knowing load_user_options.
            if self.apply_user_options:
                await super()._run_apply_user_options(user_options)

        def is_pod_running(self, pod: Any) -> bool:  # noqa: ARG002 - upstream's
            raise _Sent

        def start_polling(self) -> None:
            pass

        async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's
            pass

    Recording.__name__ = Recording.__qualname__ = cls.__name__
    return Recording
