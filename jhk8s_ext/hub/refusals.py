"""The one place where our exceptions become what JupyterHub shows."""

from __future__ import annotations

from http import HTTPStatus

from jupyterhub import spawner
from tornado import web

from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, OptionsError, UpstreamError

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
    exception = getattr(spawner, "SpawnException", None)
    if exception is None or not isinstance(error, UpstreamError):
        return http_error
    status = http_error.status_code
    found: web.HTTPError = exception(str(error), reason="upstream", status_code=status)
    found.jupyterhub_message = str(error)  # type: ignore[attr-defined]  # JupyterHub's protocol
    return found
