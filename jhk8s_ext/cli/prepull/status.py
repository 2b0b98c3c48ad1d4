"""What nodes hold, for people and machines: a page, JSON, and metrics for Prometheus."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from jhk8s_ext.cli.prepull.record import key_of
from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jhk8s_ext.cli.prepull.plan import Pull, WantedImage
    from jhk8s_ext.cli.prepull.prepuller import Prepuller

#: Of the JSON document.
_VERSION = 1

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

#: Looks that may be late before the loop is taken for dead, and how long it always may take.
_LATE_LOOKS = 5
_LATE_SECONDS = 600

_SHORT_DIGEST = len("sha256:") + 12

_UNITS = ("B", "kB", "MB", "GB")


def describe(prepuller: Prepuller) -> dict[str, Any]:
    """Return how things are, as JSON."""
    view, failures = prepuller.view, prepuller.record.failures
    nodes = []
    for node, pulls in view.plan.items():
        images = []
        for pull in pulls:
            found = {"image": str(pull.wanted.image), "state": _state_of(pull, prepuller)}
            failure = failures.get(key_of(pull))
            if failure is not None:
                found |= {
                    "reason": failure.outcome.reason,
                    "problem": failure.outcome.problem,
                    "failed_at": _instant(failure.at),
                    "retry_at": _instant(failure.retry_at),
                }
            images.append(found)
        nodes.append({"name": node, "images": images})
    return {
        "version": _VERSION,
        "looked_at": _instant(view.looked_at) if view.looked_at else None,
        "images": [_describe_image(wanted) for wanted in view.images],
        "nodes": nodes,
        "unknown": [{"name": each.name, "problem": each.problem} for each in view.unknown],
    }


def _state_of(pull: Pull, prepuller: Prepuller) -> str:
    record = prepuller.record
    if record.is_held(pull, time.time()):
        return "present"
    if key_of(pull) in record.under_way:
        return "pulling"
    return "failed" if key_of(pull) in record.failures else "waiting"


def _describe_image(wanted: WantedImage) -> dict[str, Any]:
    return {
        "image": str(wanted.image),
        "title": wanted.title,
        "recommended": wanted.is_recommended,
        "beside_every_server": wanted.is_part,
        "size_bytes": wanted.size_bytes,
        "created": wanted.created.isoformat() if wanted.created else None,
    }


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat(timespec="seconds")


def render_page(prepuller: Prepuller) -> str:
    """Return how things are, as a page."""
    document = describe(prepuller)
    states = [
        (node["name"], {image["image"]: image for image in node["images"]})
        for node in document["nodes"]
    ]
    failed = [
        (node["name"], image)
        for node in document["nodes"]
        for image in node["images"]
        if "reason" in image
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["size"] = _size
    environment.filters["short"] = _short
    environment.filters["instant"] = _for_people
    source = files("jhk8s_ext.cli.prepull").joinpath("page.html").read_text(encoding="utf-8")
    complete = sum(
        all(image["state"] == "present" for image in node["images"]) for node in document["nodes"]
    )
    return environment.from_string(source).render(
        **document, rows=states, failed=failed, complete=complete, now=_instant(time.time())
    )


def _size(size_bytes: int) -> str:
    """Write a size for people."""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - as disks are sold
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def _for_people(instant: str) -> str:
    return instant.replace("T", " ").replace("+00:00", " UTC")


def _short(image: str) -> str:
    """Cut a digest short."""
    name, at, digest = image.partition("@")
    return f"{name}{at}{digest[:_SHORT_DIGEST]}"


class _Pages:
    def __init__(self, prepuller: Prepuller, interval_seconds: float) -> None:
        self._prepuller = prepuller
        self._late_seconds = max(_LATE_LOOKS * interval_seconds, _LATE_SECONDS)

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/", self._page),
            web.get("/status.json", self._json),
            web.get("/metrics", self._metrics),
            web.get("/healthz", self._health),
        ]

    async def _page(self, _: web.Request) -> web.Response:
        text = render_page(self._prepuller)
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _json(self, _: web.Request) -> web.Response:
        return web.json_response(describe(self._prepuller), headers=_HEADERS)

    async def _metrics(self, _: web.Request) -> web.Response:
        view, metrics = self._prepuller.view, self._prepuller.record.metrics
        metrics.show(self._prepuller.held(), len(view.unknown), view.looked_at)
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _health(self, _: web.Request) -> web.Response:
        """Tell whether the loop turns; a cluster that does not answer is no reason to restart."""
        is_late = time.monotonic() - self._prepuller.turned_at > self._late_seconds
        return web.Response(text="late\n" if is_late else "ok\n", status=503 if is_late else 200)


@asynccontextmanager
async def serving(prepuller: Prepuller, port: int, interval_seconds: float) -> AsyncIterator[str]:
    """Serve the pages on every address of this machine, and yield theirs.

    Raises
    ------
    ConfigError
        If the port cannot be had.
    """
    app = web.Application()
    app.add_routes(_Pages(prepuller, interval_seconds).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, None, port).start()
        except OSError as error:
            problem = f"{port} cannot be listened on: {error.strerror}"
            raise ConfigError("--port", problem) from error
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
