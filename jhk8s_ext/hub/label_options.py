"""Options of the label, and how the hub's own pages come to show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Dict, HasTraits, TraitError, Unicode, validate
from traitlets.config import Config
from traitlets.config.loader import DeferredConfig, LazyConfigValue

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.label import build_label, parse_stage_styles

if TYPE_CHECKING:
    from jhk8s_ext.pod.label import Label

_TEMPLATES = Path(__file__).with_name("templates")


class LabelOptions(HasTraits):
    """What tells a user which hub, and which container, is in front of them."""

    label = Unicode(
        help="""
        A short text that the hub's pages, and the server's with `jhk8s-singleuser` in its image,
        show beside the logo, and the lab in its title. Empty: none.

        A menu entry's override may have another one for its servers.
        """,
    ).tag(config=True)

    stage = Unicode(
        help="""
        What kind of installation this is, such as ``dev``, ``test`` or ``prod``: added to the
        label, which looks as ``stage_styles`` says.
        """,
    ).tag(config=True)

    stage_styles = Dict(
        {
            "dev": {"color": "orange", "style": "bold"},
            "test": {"color": "green", "style": "italic"},
            "prod": {"color": "blue"},
        },
        help="""
        How the label looks, by its stage. Labels of any other stage look like the rest of the page.

        ``color``, behind the text, is ``#1a7f37``, ``#080`` or one of the 17 names of CSS 2.1; the
        text is black or white, whichever can be read on it. ``style`` is ``bold``, ``italic`` or
        ``bold italic``.
        """,
    ).tag(config=True)

    @validate("label", "stage")
    def _check_label(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if not value.isprintable():
            name = proposal["trait"].name
            raise TraitError(f"ProfileKubeSpawner.{name}: {value!r} is not one line of plain text")
        return value

    @validate("stage_styles")
    def _check_stage_styles(self, proposal: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = proposal["value"]
        try:
            parse_stage_styles(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    def label_settings(self) -> Label | None:
        """Return the label, None for none."""
        return build_label(self.label, self.stage, parse_stage_styles(self.stage_styles))


def show_label(app: Any) -> None:
    """Let a hub's pages show the label of its spawner's options, where the spawner is ours.

    Our ``page.html`` comes after the operator's own templates and before JupyterHub's.

    Parameters
    ----------
    app
        A JupyterHub that has its configuration, and not yet its templates.

    Raises
    ------
    TraitError
        If an option cannot be.
    """
    if not issubclass(app.spawner_class, LabelOptions):
        return
    label = _configured(app.config, app.spawner_class).label_settings()
    app.template_vars = {"jhk8s_label": label, **app.template_vars}
    paths = list(app.template_paths)
    upstreams = str(Path(app.data_files_path) / "templates")
    place = paths.index(upstreams) if upstreams in paths else len(paths)
    app.template_paths = [*paths[:place], str(_TEMPLATES), *paths[place:]]


def _configured(config: Config, spawner_class: Any) -> LabelOptions:
    """Return the options that a spawner would have: making one takes a Kubernetes client."""
    found = Config()
    for name in spawner_class.section_names():
        found.merge(config.get(name, {}))
    options = LabelOptions()
    for name, trait in options.traits(config=True).items():
        value = found.get(name, getattr(options, name))
        if isinstance(value, LazyConfigValue):
            value = value.get_value(getattr(options, name))
        elif isinstance(value, DeferredConfig):
            value = value.get_value(trait)
        setattr(options, name, value)
    return options
