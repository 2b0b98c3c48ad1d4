"""The one place where our exceptions become what JupyterHub shows."""

from __future__ import annotations

from http import HTTPStatus

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
