"""``jhk8s config check``: everything that is wrong with a configuration, at once."""

from __future__ import annotations

import asyncio
import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jupyterhub.app import JupyterHub
from jupyterhub.crypto import CryptKeeper
from kubespawner import KubeSpawner
from traitlets import TraitError

from jhk8s_ext.cli.chart import find_unknown_values, unmapped
from jhk8s_ext.cli.chart_options import HUB_VALUES, SPAWNER_VALUES
from jhk8s_ext.cli.configuration import (
    Configuration,
    build_authenticator,
    printing_log,
    read_config,
)
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.given_profile import join_groups, make_up_profile
from jhk8s_ext.cli.image_menu_check import (
    SECTION,
    check_items,
    check_settings,
    groups_of,
    starts_of,
)
from jhk8s_ext.cli.menu_check import check_menu
from jhk8s_ext.cli.option_check import check_options, sentence_of
from jhk8s_ext.cli.spawn import spawn
from jhk8s_ext.cli.table import complain, examples
from jhk8s_ext.errors import ConfigError, Jhk8sError
from jhk8s_ext.hub.config import find_unknown_names
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.hub.menu import check_menu as check_menu_at_start
from jhk8s_ext.hub.menu_spawner import MenuSpawner

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from traitlets.config import Config

#: Code of the operator's that runs at a start, and not at a check.
HOOKS = (
    "pre_spawn_hook",
    "post_stop_hook",
    "auth_state_hook",
    "apply_user_options",
    "modify_pod_hook",
    "after_pod_created_hook",
)

#: The user of the check's own starts: no uid of anybody.
_USER, _UID = "somebody", 2_000_000_000


@click.group("config", short_help="Check a hub's configuration.")
def config() -> None:
    """Check a hub's configuration."""


@config.command(
    "check",
    epilog=examples(
        "jhk8s config check config.yaml", "jhk8s config check values.yaml secrets.yaml"
    ),
)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> int:
    """Parse every option of FILE as the hub does, and tell all that is wrong.

    FILE is jupyterhub_config.py, YAML as the hub image reads it, or values of Zero to JupyterHub's
    chart, of which there may be several. Nothing is asked of a directory or a cluster, and no hook
    runs. Values that may be secret are never shown.
    """
    configuration = read_config(files, is_checked=False)
    log = printing_log()
    for sentence in unmapped(configuration.values or {}):
        log.warning("%s: %s", configuration.source, sentence)
    errors = list(dict.fromkeys(map(str, find_errors(configuration))))
    for error in errors:
        complain(error)
    if errors:
        complain(f"{len(errors)} {'error' if len(errors) == 1 else 'errors'}")
        return Exit.USAGE
    count = sum(map(len, configuration.options.values()))
    click.secho(f"{configuration.source}: {count} options, all of which can work", fg="green")
    return Exit.OK


def find_errors(configuration: Configuration) -> Iterator[Jhk8sError]:
    """Yield everything that is wrong with a configuration."""
    source, options = configuration.source, copy.deepcopy(configuration.options)

    def where(section: str, name: str) -> str:
        return f"{source}: {_path(configuration, section, name)}"

    if configuration.values is not None:
        yield from find_unknown_values(configuration.values, source)
    yield from _check_names(options, source, where)
    yield from check_items(options, where)
    classes: list[Any] = [JupyterHub]
    yield from _check_values(options, classes, where)
    try:
        hub = JupyterHub(config=options, log=printing_log())
    except TraitError as error:
        yield ConfigError(source, sentence_of(error))
        return
    classes += [hub.authenticator_class, hub.spawner_class, hub.proxy_class, CryptKeeper]
    yield from _check_values(options, classes, where)
    yield from _check_authenticator(options, source)
    yield from _check_spawner(options, hub.spawner_class, source, where)


def _check_names(
    options: Config, source: str, where: Callable[[str, str], str]
) -> Iterator[ConfigError]:
    """Find classes and options that are not there, and take them out."""
    try:
        found = list(find_unknown_names(options, source))
    except ConfigError as error:  # a class that cannot be imported
        yield error
        return
    for unknown in found:
        section, _, name = unknown.setting.removeprefix(f"{source}: ").partition(".")
        yield ConfigError(where(section, name) if name else unknown.setting, unknown.problem)
        if name:
            options[section].pop(name)
        else:
            options.pop(section)


def _check_values(
    options: Config, classes: list[Any], where: Callable[[str, str], str]
) -> Iterator[ConfigError]:
    """Find values that cannot be, and take them out."""
    for section, name, problem in list(check_options(options, classes, where)):
        yield problem
        options[section].pop(name)


def _path(configuration: Configuration, section: str, name: str) -> str:
    """Return where an option stands in its file."""
    plain = f"{section}.{name}"
    values = configuration.values
    if values is None:
        return plain
    hub = values.get("hub") or {}
    if name in ((hub.get("config") or {}).get(section) or {}):
        return f"hub.config.{plain}"
    if section == "KubeSpawner" and name in SPAWNER_VALUES:
        return f"singleuser.{SPAWNER_VALUES[name]}"
    if section == "JupyterHub" and name in HUB_VALUES:
        return HUB_VALUES[name]
    return plain


def _check_authenticator(options: Config, source: str) -> Iterator[ConfigError]:
    """Check options against each other: one that is found wrong is left out, and on it goes."""
    options = copy.deepcopy(options)
    while (text := _authenticator_problem(options)) is not None:
        yield ConfigError(source, text)
        named = re.match(r"(\w+)\.(\w+)", text)
        is_class = named is not None and named[2] == "authenticator_class"
        if named is None or is_class or not leave_out(options, named[2]):
            return
    authenticator = build_authenticator(JupyterHub(config=options, log=printing_log()))
    if not authenticator.any_allow_config:
        yield ConfigError(
            f"{source}: {type(authenticator).__name__}.allow_all",
            "nobody may log in, as no option whose name begins with allow is set",
        )


def _authenticator_problem(options: Config) -> str | None:
    try:
        build_authenticator(JupyterHub(config=options, log=printing_log()))
    except ConfigError as error:
        return str(error).removeprefix("the hub's configuration: ")
    return None


def leave_out(options: Config, name: str) -> bool:
    """Take an option out of every class, and say whether it was in one."""
    found = [values.pop(name) for values in options.values() if name in values]
    return bool(found)


def _check_spawner(options: Config, cls: Any, source: str, where: Any) -> Iterator[Jhk8sError]:
    if not issubclass(cls, KubeSpawner):
        yield ConfigError(f"{source}: JupyterHub.spawner_class", f"{cls.__name__} makes no pods")
        return
    options = copy.deepcopy(options)
    for hook in HOOKS:
        leave_out(options, hook)
    if options.get(SECTION):
        yield from _check_image_menu(options, cls, source, where)
        return
    names = [parent.__name__ for parent in reversed(cls.__mro__)]
    section = next(
        (name for name in reversed(names) if "profile_list" in options.get(name, {})), ""
    )
    menu = options[section]["profile_list"] if section else []
    found = list(check_menu(menu, cls.__new__(cls), where(section, "profile_list")))
    yield from found
    if found:
        options[section].pop("profile_list")
        menu = []
    # KubeSpawner sets what an entry says, and no hook of the check's may be asked.
    if callable(menu):
        options[section].pop("profile_list")
        menu = []
    slugs = [entry.get("slug") for entry in (menu.values() if isinstance(menu, dict) else menu)]
    for slug in [None, *filter(None, slugs)]:
        error = _start(options, {"profile": slug} if slug else {})
        if error is not None:
            yield ConfigError(source, _sentence(error))


def _check_image_menu(
    options: Config, cls: Any, source: str, where: Callable[[str, str], str]
) -> Iterator[Jhk8sError]:
    if not issubclass(cls, MenuSpawner):
        problem = f"{cls.__name__} shows none: JupyterHub.spawner_class has to be jhk8s"
        yield ConfigError(f"{source}: {SECTION}", problem)
        return
    try:
        check_menu_at_start(options, printing_log())
        menu = ImageMenu.shared(options, printing_log())
    except TraitError as error:  # of several options together
        yield ConfigError(source, sentence_of(error))
        return
    found = list(check_settings(menu.settings, menu, cls.__new__(cls), where))
    yield from found
    if found:
        return
    groups = groups_of(menu.settings)
    told: set[str] = set()
    for name, place, chosen in starts_of(menu.settings):
        refused = _start(options, chosen, groups)
        if refused is not None and str(refused) not in told:
            told.add(str(refused))
            yield ConfigError(where(SECTION, name) + place, _sentence(refused))


def _sentence(error: Jhk8sError) -> str:
    return str(error).removeprefix("the hub's configuration: ")


def _start(
    options: Config, chosen: dict[str, str], groups: Collection[str] = ()
) -> Jhk8sError | None:
    """Start a server of a member of these groups, and return why that cannot be."""

    async def start() -> None:
        hub = JupyterHub(config=copy.deepcopy(options), log=printing_log())
        request = join_groups(make_up_profile(hub, _USER, _UID), groups)
        await spawn(hub, replace(request, user_options=chosen))

    try:
        asyncio.run(start())
    except Jhk8sError as error:
        return error
    return None
