"""The start shim as one file, built of the sources that come with this package."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from jhk8s_ext.errors import ConfigError

#: In a wheel the shim's sources are in the package, in a checkout beside it.
_SOURCES = (
    Path(__file__).parents[1] / "shim",
    Path(__file__).parents[2] / "singleuser-shim",
)


@functools.cache
def build_shim() -> bytes:
    """Return the shim as an image or a ConfigMap carries it; the same bytes of the same sources.

    Raises
    ------
    ConfigError
        If this installation does not have the sources.
    """
    for folder in _SOURCES:
        script = folder / "build_zipapp.py"
        if script.is_file():
            return _build(script)
    raise ConfigError(
        "jhk8s-ext",
        f"this installation is not complete: the start shim is neither in {_SOURCES[0]} nor in a "
        "checkout",
    )


def _build(script: Path) -> bytes:
    """Run the builder's function; it is a script of the shim's own, and in no package."""
    spec = importlib.util.spec_from_file_location("jhk8s_build_zipapp", script)
    if spec is None or spec.loader is None:
        raise ConfigError("jhk8s-ext", f"{script} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return bytes(module.build_zipapp())
