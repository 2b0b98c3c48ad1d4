import datetime as dt
from dataclasses import replace

import pytest

from jhk8s_ext.menu.catalog import UNKNOWN, Catalog, ImageDetails
from jhk8s_ext.menu.inventory import Inventory
from jhk8s_ext.menu.sizes import Amount
from tests.support.menus import IMAGES, digest_of, make_catalog, make_menu, make_offer

LAB, R, *_ = IMAGES


def names(items):
    return [item.name for item in items]


def entry_of(offer, name="lab"):
    return next(entry for entry in offer.entries if entry.source.name == name)


def offered(offer):
    return names(entry.source for entry in offer.entries)


@pytest.mark.parametrize(
    ("groups", "entries", "default_entry", "sizes", "default_size", "flags"),
    [
        ([], "lab r", "lab", "small medium", "medium", "clear_local"),
        (["ada", "cs101"], "lab r", "lab", "small medium", "medium", "clear_local"),
        (
            ["staff"],
            "lab r lab-staff",
            "lab-staff",
            "small medium large",
            "medium",
            "clear_local debug",
        ),
        (["gpu"], "lab r", "lab", "small medium gpu", "medium", "clear_local"),
        (["developers"], "lab r own", "lab", "small medium", "medium", "clear_local"),
    ],
)
def test_a_user_is_offered_what_is_for_their_groups(  # noqa: PLR0913, PLR0917 - a table
    groups, entries, default_entry, sizes, default_size, flags
):
    offer = make_offer(*groups)
    assert offered(offer) == entries.split()
    assert offer.default_entry is entry_of(offer, default_entry)
    assert names(offer.sizes) == sizes.split()
    assert offer.default_size.name == default_size
    assert names(offer.flags) == flags.split()


def test_each_image_has_its_sizes():
    offer = make_offer("staff", "gpu")
    assert names(entry_of(offer).sizes) == ["small", "medium", "large", "gpu"]
    assert offer.default_size_of(entry_of(offer)).name == "medium"
    staff = entry_of(offer, "lab-staff")
    assert names(staff.sizes) == ["small", "large"]
    # The default is none of them.
    assert offer.default_size_of(staff).name == "small"


def test_sizes_of_an_image_may_all_be_for_others():
    offer = make_offer(images=[{**R, "sizes": ["large"]}])
    assert offer.has_sizes
    assert entry_of(offer, "r").sizes == []
    assert offer.default_size_of(entry_of(offer, "r")) is None


def test_there_may_be_nothing_to_choose():
    offer = make_offer(images=[{**R, "groups": ["staff"]}], sizes=(), flags=())
    assert offer.entries == []
    assert offer.default_entry is None
    assert not offer.has_sizes
    assert (offer.sizes, offer.default_size, offer.flags) == ((), None, ())


def test_the_limit_is_that_of_the_users_groups():
    limits = [{"cpu": 2}, {"cpu": 8, "groups": ["staff"]}]
    used = Amount(cpu=1, memory_bytes=2, resources={})
    assert make_offer(limits=limits).limit.cpu == 2
    offer = make_offer("staff", limits=limits, used=used)
    assert offer.limit.cpu == 8
    assert offer.used is used


def test_shown_images_are_pinned_and_titled():
    images = entry_of(make_offer()).images
    assert [(image.tag, image.title) for image in images[:3]] == [
        ("recommended", "Recommended (Weekly 2026_44)"),
        ("latest_weekly", "Latest weekly (Weekly 2026_45)"),
        ("r27_0_0", "Release 27.0"),
    ]
    assert [image.is_recommended for image in images] == [True] + [False] * 7
    assert str(images[0].image) == (
        f"registry.example.edu/science/lab:recommended@{digest_of('w_2026_44')}"
    )
    assert (images[0].size_bytes, images[0].created, images[0].nodes) == (None, None, None)


def test_the_default_image_is_the_recommended_one_or_the_first():
    assert entry_of(make_offer()).default_image.tag == "recommended"
    offer = make_offer(images=[{**LAB, "recommended": ""}])
    assert entry_of(offer).default_image.tag == "latest_weekly"
    # One of several images of an item that the registry does not have at present.
    menu = make_menu()
    offer = make_offer(catalog=make_catalog(menu, lab=["w_2026_45"]))
    assert entry_of(offer).default_image.tag == "w_2026_45"
    offer = make_offer(catalog=make_catalog(menu, lab=[]))
    assert entry_of(offer).default_image is None


def test_an_image_may_be_started_by_its_tag():
    (image,) = entry_of(make_offer(images=[{**LAB, "pin": False, "show": {"release": 1}}])).images[
        2:
    ]
    assert str(image.image) == "registry.example.edu/science/lab:r27_0_0"


def test_a_static_image_has_one_image():
    offer = make_offer(images=[{**R, "recommended": True}])
    (image,) = entry_of(offer, "r").images
    assert (image.tag, image.title, image.is_recommended) == ("", "R", True)
    assert str(image.image) == "quay.io/jupyter/r-notebook:2026-11-02"
    digest = digest_of("a")
    known = Catalog(listings={"r": replace(UNKNOWN, digests={"2026-11-02": digest})})
    (image,) = entry_of(make_offer(images=[R], catalog=known), "r").images
    assert str(image.image) == f"quay.io/jupyter/r-notebook:2026-11-02@{digest}"
    # A digest of the operator's own is not replaced.
    own = digest_of("b")
    pinned = {**R, "image": f"{R['image']}@{own}"}
    (image,) = entry_of(make_offer(images=[pinned], catalog=known), "r").images
    assert image.image.digest == own


def test_an_image_shows_what_its_manifest_says():
    menu = make_menu()
    catalog = make_catalog(menu)
    built = dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc)
    details = {digest_of("w_2026_44"): ImageDetails(size_bytes=5, created=built)}
    listing = replace(catalog.listings["lab"], details=details)
    offer = make_offer(catalog=Catalog(listings={"lab": listing}))
    by_tag = {image.tag: image for image in entry_of(offer).images}
    for tag in ("recommended", "w_2026_44"):
        assert (by_tag[tag].size_bytes, by_tag[tag].created) == (5, built)
    assert by_tag["w_2026_45"].size_bytes is None


def test_an_image_shows_on_how_many_nodes_it_starts_fast():
    repository = "registry.example.edu/science/lab"
    inventory = Inventory(
        nodes={
            "a": frozenset({f"{repository}@{digest_of('w_2026_44')}"}),
            # The same tag, but an image from before it was moved.
            "b": frozenset({f"{repository}:w_2026_44", f"{repository}@{digest_of('x')}"}),
            "c": frozenset({f"{repository}:w_2026_44"}),
        }
    )
    offer = make_offer(catalog=make_catalog(make_menu(), inventory=inventory))
    by_tag = {image.tag: image.nodes for image in entry_of(offer).images}
    assert by_tag["recommended"] == by_tag["w_2026_44"] == (1, 3)
    assert by_tag["w_2026_45"] == (0, 3)
    unpinned = make_offer(
        images=[{**LAB, "pin": False}], catalog=make_catalog(make_menu(), inventory=inventory)
    )
    by_tag = {image.tag: image.nodes for image in entry_of(unpinned).images}
    assert by_tag["w_2026_44"] == (2, 3)
