"""What went wrong at this server's start, from the start shim to the lab's page."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from traitlets.config import LoggingConfigurable

#: A JSON list of sentences, which the shim leaves for us.
_VARIABLE = "JHK8S_NOTICES"
_PAGE_KEY = "jhk8sNotices"


class StartNotices(LoggingConfigurable):
    """Has the lab show the sentences, until the user has dismissed them or the server ends."""

    #: The server.
    parent: Any

    def begin(self) -> None:
        """Give the lab the sentences, if there are any."""
        # Kernels and terminals have no use for them.
        text = os.environ.pop(_VARIABLE, "")
        if not text:
            return
        sentences = _read(text)
        if not sentences:
            self.log.warning("jhk8s: %s holds no notices", _VARIABLE)
            return
        settings = self.parent.web_app.settings
        settings.setdefault("page_config_data", {})[_PAGE_KEY] = sentences
        path = url_path_join(settings["base_url"], "jhk8s", "notices")
        self.parent.web_app.add_handlers(".*$", [(path, NoticesHandler)])


def _read(text: str) -> list[str]:
    """Return the sentences in what may be any text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str) and item]


class NoticesHandler(JupyterHandler):
    """Where the lab says that they have been dismissed."""

    @web.authenticated
    def delete(self) -> None:
        """Leave them out of the pages that are still to come."""
        self.settings["page_config_data"].pop(_PAGE_KEY, None)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()
