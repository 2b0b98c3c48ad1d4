"""What our extension puts into the lab's page, from a server that has no lab."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tornado.web import Application
from traitlets import Instance
from traitlets.config import LoggingConfigurable

from tests.support.jupyter_server import JupyterServer

if TYPE_CHECKING:
    from pathlib import Path

_EXTENSION = """\
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

class PageHandler(JupyterHandler):
    @web.authenticated
    def get(self):
        self.finish(self.settings.get("page_config_data", {}))

def _jupyter_server_extension_points():
    return [{"module": "lab_page"}]

def _load_jupyter_server_extension(server):
    server.web_app.add_handlers(".*$", [(server.base_url + "page", PageHandler)])
"""


class Unstarted(LoggingConfigurable):
    """What a part of our extension needs of a server, for cases that need not start one each."""

    web_app = Instance(Application, kw={"base_url": "/"})

    def page_with(self, part: type[LoggingConfigurable], **options: Any) -> dict[str, Any]:
        """Return what the page would hold with a part of our extension."""
        part(parent=self, log=logging.getLogger("server"), **options).begin()
        found: dict[str, Any] = self.web_app.settings.get("page_config_data", {})
        return found


class PageServer(JupyterServer):
    """A server of which a test can ask what it would tell the lab.

    Parameters
    ----------
    folder, options
        As those of `JupyterServer`.
    """

    def __init__(self, folder: Path, options: dict[str, dict[str, Any]]) -> None:
        (folder / "lab_page.py").write_text(_EXTENSION)
        super().__init__(folder, options, extensions=["lab_page"])

    async def page(self) -> dict[str, Any]:
        """Return what a page would hold that is opened now."""
        async with self.session() as session, session.get(f"{self.url}/page") as response:
            assert response.status == 200
            found: dict[str, Any] = await response.json()
            return found
