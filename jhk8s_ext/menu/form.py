"""The menu as HTML, for JupyterHub's form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader

from jhk8s_ext.menu.form_data import OTHER_TAG, TAG_FIELD, TYPED_FIELD
from jhk8s_ext.menu.image import DOCKER_HUB
from jhk8s_ext.menu.last_choice import preselect
from jhk8s_ext.menu.sizes import excess
from jhk8s_ext.menu.sources import Repository, TypedImage
from jhk8s_ext.menu.wording import describe_age, describe_cost, describe_download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jinja2 import Template

    from jhk8s_ext.menu.last_choice import Preselection
    from jhk8s_ext.menu.offer import Offer, OfferedEntry, ShownImage
    from jhk8s_ext.menu.sizes import Size

#: Images that are built to come out the same every time say that they are of 1970 or 1980.
_REAL_DATES = 946684800


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field for text beside a radio button.

    Parameters
    ----------
    name
        What it is posted as.
    label, hint
        For people.
    text
        What stands in it at first.
    pattern
        A regular expression that the text has to match; empty for none.
    entry
        Whose tags can be looked up to fill it; empty where none can.
    """

    name: str
    label: str
    hint: str
    text: str
    pattern: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A radio button.

    Parameters
    ----------
    value
        What it posts.
    title, description
        For people.
    is_checked
        Whether it is selected at first.
    is_recommended
        Whether it has the badge.
    facts
        What is said of it in small print.
    problem
        Why it cannot be selected; empty where it can.
    field
        None for most.
    """

    value: str
    title: str
    description: str = ""
    is_checked: bool
    is_recommended: bool = False
    facts: Sequence[str] = ()
    problem: str = ""
    field: _Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The radio buttons of an item of ``ImageMenu.images``.

    Parameters
    ----------
    title, description
        Of a repository; other items have one button, which says both.
    notice
        What is wrong with the list.
    rows
        The buttons.
    sizes
        Names of the sizes it may have, None for all there are.
    default_size
        The one that is meant where none is named.
    """

    title: str = ""
    description: str = ""
    notice: str = ""
    rows: Sequence[_Row]
    sizes: Sequence[str] | None
    default_size: str


def render_form(offer: Offer, *, last_options: object, now: float, tags_url: str) -> str:
    """Return the fields of JupyterHub's form.

    Parameters
    ----------
    offer
        What the user may choose.
    last_options
        What they chose last, trusted in nothing: it is preselected, or said to be gone.
    now
        In seconds since 1970, for ages.
    tags_url
        Where the drop-down of all tags asks.
    """
    selected = preselect(offer, last_options)
    groups = [_build_group(entry, offer, selected, now) for entry in offer.entries]
    return load_template().render(
        notices=selected.notices,
        groups=groups,
        # What leaves no choice is no radio button.
        is_only_image=[len(group.rows) for group in groups] == [1],
        sizes=[_build_size(size, offer, selected) for size in offer.sizes],
        flags=offer.flags,
        tags_url=tags_url,
    )


@cache
def load_template() -> Template:
    """Return the form's template, compiled the first time: that takes longer than any page."""
    environment = Environment(
        loader=PackageLoader("jhk8s_ext.menu"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("form.html")


def _build_group(entry: OfferedEntry, offer: Offer, selected: Preselection, now: float) -> _Group:
    source = entry.source
    default_size = offer.default_size_of(entry)
    sizes = [size.name for size in entry.sizes]
    is_repository = isinstance(source, Repository)
    return _Group(
        title=source.title if is_repository else "",
        description=source.description if is_repository else "",
        notice=_describe_list(entry, now) if is_repository else "",
        rows=list(_build_rows(entry, offer, selected, now)),
        sizes=None if len(sizes) == len(offer.sizes) else sizes,
        default_size=default_size.name if default_size else "",
    )


def _describe_list(entry: OfferedEntry, now: float) -> str:
    """Return what is wrong with the list of a repository; empty where nothing is."""
    listing = entry.listing
    if listing.problem and listing.confirmed_at is not None:
        age = describe_age(now - listing.confirmed_at)
        return f"This list is {age}: its registry does not answer."
    is_empty = not listing.tags and not entry.images
    if listing.problem:
        what = "Nothing is known of these images yet" if is_empty else "More images may be there"
        return f"{what}: their registry does not answer."
    if listing.confirmed_at is None and is_empty:
        return "The list of these images is on its way. Load this page again in a minute."
    return "There are no images here." if is_empty else ""


def _build_rows(
    entry: OfferedEntry, offer: Offer, selected: Preselection, now: float
) -> Iterator[_Row]:
    source = entry.source
    has_none = offer.has_sizes and not entry.sizes
    problem = "There is no size for it that you may have." if has_none else ""
    # A button that is off and checked would not be posted, and the default be started instead.
    is_here = selected.entry is entry and not problem
    for image in entry.images:
        is_static = not isinstance(source, Repository)
        yield _Row(
            value=f"{source.name}:{image.tag}",
            title=image.title,
            description=source.description if is_static else "",
            is_checked=is_here and image.tag == selected.tag,
            is_recommended=image.is_recommended,
            facts=[
                # The title of a tag says which one it is.
                *([str(image.image.at(digest=""))] if is_static else []),
                *_list_facts(image, now),
            ],
            problem=problem,
        )
    if isinstance(source, TypedImage):
        hosts = ["docker.io" if host == DOCKER_HUB else host for host in sorted(source.registries)]
        yield _Row(
            value=f"{source.name}:{OTHER_TAG}",
            title=source.title,
            description=source.description,
            is_checked=is_here,
            problem=problem,
            field=_Field(
                name=f"{TYPED_FIELD}{source.name}",
                label="Name of the image",
                hint=f"From {' or '.join(hosts)}; it has to match {source.pattern.pattern}",
                text=selected.typed if is_here else "",
                pattern=source.pattern.pattern,
            ),
        )
    elif isinstance(source, Repository) and source.has_all_tags and entry.listing.tags:
        is_other = is_here and all(image.tag != selected.tag for image in entry.images)
        yield _Row(
            value=f"{source.name}:{OTHER_TAG}",
            title="Another version",
            is_checked=is_other,
            facts=[f"{len(entry.listing.tags):,} in all"],
            problem=problem,
            field=_Field(
                name=f"{TAG_FIELD}{source.name}",
                label="Tag of the version",
                hint="",
                text=selected.tag if is_other else "",
                entry=source.name,
            ),
        )


def _list_facts(image: ShownImage, now: float) -> Iterator[str]:
    held, total = image.nodes or (0, 0)
    if held:
        yield f"starts fast on {held} of {total} node{'' if total == 1 else 's'}"
    if image.size_bytes is not None:
        yield describe_download(image.size_bytes)
    if image.created is not None and image.created.timestamp() > _REAL_DATES:
        yield describe_age(now - image.created.timestamp())


def _build_size(size: Size, offer: Offer, selected: Preselection) -> _Row:
    problem = excess(size, offer.used, offer.limit)
    return _Row(
        value=size.name,
        title=size.title,
        description=size.description,
        is_checked=size is selected.size,
        facts=describe_cost(size, offer),
        problem=f"{size.title} {problem}." if problem else "",
    )
