"""The one place where our exceptions become what JupyterHub shows."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from jupyterhub import spawner
from tornado import web

from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, OptionsError, UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.pod.failure import StartFailure

_STATUS: dict[type[Jhk8sError], HTTPStatus] = {
    ConfigError: HTTPStatus.INTERNAL_SERVER_ERROR,
    IdentityError: HTTPStatus.FORBIDDEN,
    OptionsError: HTTPStatus.BAD_REQUEST,
    UpstreamError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def refusal(error: Jhk8sError, message: str = "") -> web.HTTPError:
    """Return the HTTP error for one of ours.

    Parameters
    ----------
    error
        What happened.
    message
        What the user is told; the error's own sentence where empty.
    """
    text = message or str(error)
    status = next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)
    http_error = web.HTTPError(status, text)
    http_error.jupyterhub_message = text  # type: ignore[attr-defined]  # JupyterHub's protocol
    return http_error


def start_refusal(error: Jhk8sError) -> web.HTTPError:
    """Return the HTTP error for a start that ends before anything was made.

    A hub ends itself after ``consecutive_failure_limit`` starts that fail with 500 or more, which
    does not help where a registry is down. JupyterHub 6 does not count a `SpawnException`.
    """
    http_error = refusal(error)
    if not isinstance(error, UpstreamError):
        return http_error
    return _uncounted(str(error), reason="upstream", status_code=http_error.status_code)


def start_failure(failure: StartFailure) -> web.HTTPError:
    """Return the HTTP error for a start that has ended in the pod.

    Nothing is wrong with the hub, and a hub that ended itself would not help.
    """
    text = failure.to_text()
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason = "not-begun" if failure.exit_code is None else f"exit-{failure.exit_code}"
    http_error = _uncounted(text, reason=reason, status_code=status)
    http_error.jupyterhub_html_message = failure.to_html()  # type: ignore[attr-defined]  # likewise
    return http_error


def _uncounted(text: str, *, reason: str, status_code: int) -> web.HTTPError:
    """Return an error that JupyterHub 6 does not count as one of its own; 5 counts all."""
    exception = getattr(spawner, "SpawnException", None)
    http_error: web.HTTPError
    if exception is None:
        http_error = web.HTTPError(status_code, text)
    else:
        http_error = exception(text, reason=reason, status_code=int(status_code))
    http_error.jupyterhub_message = text  # type: ignore[attr-defined]  # JupyterHub's protocol
    return http_error
