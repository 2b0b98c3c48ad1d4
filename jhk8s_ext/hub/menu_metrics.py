"""What Prometheus is told of the image menu, beside JupyterHub's own figures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

TAGS = Gauge(
    "jhk8s_menu_tags", "Tags on offer for an item of ImageMenu.images", labelnames=["item"]
)
CONFIRMED = Gauge(
    "jhk8s_menu_confirmed_timestamp_seconds",
    "When its registry last confirmed an item of ImageMenu.images, in seconds since 1970",
    labelnames=["item"],
)
FAILURES = Counter(
    "jhk8s_menu_registry_failures",
    "Looks at a registry that have failed",
    labelnames=["registry"],
)
