import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.catalog import Catalog
from jhk8s_ext.menu.choice import (
    amount_in,
    describe_choice,
    overrides_of,
    parse_choice,
)
from jhk8s_ext.menu.sizes import NOTHING, Amount, amount_of
from tests.support.menus import IMAGES, SIZES, digest_of, make_catalog, make_menu, make_offer

LAB, R, STAFF, OWN = IMAGES
ANYBODYS = {key: value for key, value in OWN.items() if key != "groups"}
GIB = 1024**3
GPU = "nvidia.com/gpu"
EVERYTHING = ("staff", "developers", "gpu")


def started(repository, tag, digest_tag=None):
    return f"{repository}:{tag}@{digest_of(digest_tag or tag)}"


def lab(tag):
    return started("registry.example.edu/science/lab", tag)


def staff_lab(tag):
    return started("registry.example.edu/staff/lab", tag)


R_IMAGE = "quay.io/jupyter/r-notebook:2026-11-02"

# Groups, user_options, and what becomes of them: entry, image, size, flags.
ACCEPTED = [
    ((), {}, ("lab", lab("recommended"), "medium", "")),
    ((), {"profile": None}, ("lab", lab("recommended"), "medium", "")),
    ((), {"profile": "", "image": "", "size": ""}, ("lab", lab("recommended"), "medium", "")),
    ((), {"profile": "lab"}, ("lab", lab("recommended"), "medium", "")),
    ((), {"image": "recommended"}, ("lab", lab("recommended"), "medium", "")),
    ((), {"image": "latest_weekly"}, ("lab", lab("latest_weekly"), "medium", "")),
    ((), {"image": "w_2026_45"}, ("lab", lab("w_2026_45"), "medium", "")),
    # Of the drop-down of all tags.
    ((), {"image": "w_2026_43"}, ("lab", lab("w_2026_43"), "medium", "")),
    ((), {"image": "sha-1234"}, ("lab", lab("sha-1234"), "medium", "")),
    ((), {"image--unlisted-choice": "d_2026_11_17"}, ("lab", lab("d_2026_11_17"), "medium", "")),
    ((), {"size": "small"}, ("lab", lab("recommended"), "small", "")),
    ((), {"clear_local": "yes"}, ("lab", lab("recommended"), "medium", "clear_local")),
    ((), {"clear_local": "no"}, ("lab", lab("recommended"), "medium", "")),
    ((), {"clear_local": ""}, ("lab", lab("recommended"), "medium", "")),
    ((), {"profile": "r"}, ("r", R_IMAGE, "medium", "")),
    ((), {"profile": "r", "image": "", "size": "small"}, ("r", R_IMAGE, "small", "")),
    (("staff",), {}, ("lab-staff", staff_lab("1.10.0"), "small", "")),
    (("staff",), {"size": "large"}, ("lab-staff", staff_lab("1.10.0"), "large", "")),
    (("staff",), {"image": "2.0.0-rc.1"}, ("lab-staff", staff_lab("2.0.0-rc.1"), "small", "")),
    (
        ("staff",),
        {"profile": "lab", "image": "w_2026_45", "size": "large", "debug": "yes"},
        ("lab", lab("w_2026_45"), "large", "debug"),
    ),
    (("gpu",), {"size": "gpu"}, ("lab", lab("recommended"), "gpu", "")),
    (
        ("developers",),
        {"profile": "own", "image--unlisted-choice": "ghcr.io/example/lab"},
        ("own", "ghcr.io/example/lab:latest", "medium", ""),
    ),
    (
        ("developers",),
        {"profile": "own", "image--unlisted-choice": "ghcr.io/example/a/b:1.2"},
        ("own", "ghcr.io/example/a/b:1.2", "medium", ""),
    ),
    (
        ("developers",),
        {"profile": "own", "image--unlisted-choice": f"ghcr.io/example/lab@{digest_of('x')}"},
        ("own", f"ghcr.io/example/lab@{digest_of('x')}", "medium", ""),
    ),
]


@pytest.mark.parametrize(("groups", "user_options", "expected"), ACCEPTED)
def test_what_is_on_offer_is_chosen(groups, user_options, expected):
    asked = copy.deepcopy(user_options)
    choice = parse_choice(user_options, make_offer(*groups))
    found = (
        choice.entry,
        str(choice.image),
        choice.size.name,
        " ".join(flag.name for flag in choice.flags),
    )
    assert found == expected
    assert user_options == asked


TYPED = "image--unlisted-choice"
NOT_AN_OPTION = "is not an option of the chosen menu entry"


def typed(text):
    return {"profile": "own", TYPED: text}


# Groups, user_options, the field that is refused, and why.
REFUSED = [
    # Not even an object.
    *(
        ((), options, "profile", f"expected an object, not {kind}")
        for options, kind in [
            (None, "NoneType"),
            ([], "list"),
            ("lab", "str"),
            (1, "int"),
            (True, "bool"),
        ]
    ),
    # Other types than text, at every place, with every falsy one.
    *(
        (EVERYTHING, {"profile": "lab"} | {key: value}, key, f"expected a text, not {kind}")
        for key in ["profile", "image", TYPED, "size", "debug", "unknown"]
        for value, kind in [
            (["lab"], "list"),
            ([], "list"),
            ({}, "dict"),
            ({"a": 1}, "dict"),
            (1, "int"),
            (0, "int"),
            (True, "bool"),
            (False, "bool"),
            (0.5, "float"),
            (b"lab", "bytes"),
        ]
    ),
    *(
        (EVERYTHING, {key: None}, key, "expected a text, not NoneType")
        for key in ["image", TYPED, "size", "debug", "unknown"]
    ),
    # Names that are none.
    ((), {1: "a"}, "1", "is not the name of an option"),
    ((), {("a",): "a"}, "('a',)", "is not the name of an option"),
    ((), {"a" * 1001: ""}, "a" * 1000, "is not the name of an option"),
    # Unknown keys, KubeSpawner's and Python's too, even empty.
    *(
        ((), {key: value}, key, NOT_AN_OPTION)
        for key in [
            "cpu_limit",
            "kubespawner_override",
            "image_spec",
            "environment",
            "__class__",
            "Image",
            "image ",
            "size--unlisted-choice",
            "profile-option-lab--image",
            "tag:lab",
            "pick",
            "_xsrf",
            "",
        ]
        for value in ["yes", ""]
    ),
    # Too long to be anything.
    ((), {"image": "a" * 1001}, "image", "is longer than 1000 characters"),
    ((), {"profile": "lab", "nope": "a" * 1001}, "nope", "is longer than 1000 characters"),
    # Entries.
    *(
        ((), {"profile": name}, "profile", f"{name!r} is not on the menu")
        for name in ["LAB", "lab ", "lab\n", "la", "lab-", "no", "{username}", "lab:w_2026_45"]
    ),
    ((), {"profile": "lab-staff"}, "profile", "'lab-staff' is not on the menu"),
    (("developers",), {"profile": "lab-staff"}, "profile", "'lab-staff' is not on the menu"),
    ((), typed("ghcr.io/example/lab"), "profile", "'own' is not on the menu"),
    # Tags.
    *(
        ((), {"profile": "lab", key: tag}, key, f"{tag!r} is not on offer")
        for key in ["image", TYPED]
        for tag in [
            "w_2026_46",
            "w_2026_45\n",
            " w_2026_45",
            "W_2026_45",
            "w_2026_4",
            "*",
            "exp_w_2026_45_fast",
            "latest",
            "1.10.0",
            "{username}",
            "w_2026_45@" + digest_of("x"),
            "registry.example.edu/science/lab:w_2026_45",
            "evil.example.org/lab:w_2026_45",
        ]
    ),
    ((), {"image": "w_2026_45", TYPED: "w_2026_45"}, TYPED, "comes with 'image', and one of them"),
    ((), {"image": "evil", TYPED: "w_2026_45"}, TYPED, "comes with 'image', and one of them"),
    # An item of one image has no others.
    *(
        ((), {"profile": "r", key: value}, key, NOT_AN_OPTION)
        for key in ["image", TYPED]
        for value in ["2026-11-02", "latest", R_IMAGE, "evil.example.org/lab"]
    ),
    # Names of images.
    (("developers",), {"profile": "own"}, TYPED, "is empty: type the name of an image"),
    (("developers",), typed(""), TYPED, "is empty: type the name of an image"),
    (
        ("developers",),
        {"profile": "own", "image": "ghcr.io/example/lab"},
        "image",
        "'ghcr.io/example/lab' is not on offer",
    ),
    *(
        (("developers",), typed(text), TYPED, f"{text!r} does not match")
        for text in [
            # The pattern has to match all of it, and nothing may follow.
            "ghcr.io/example/",
            "ghcr.io/example/lab\n",
            "ghcr.io/example/lab\nx",
            "\nghcr.io/example/lab",
            "x/ghcr.io/example/lab",
            "ghcr-io/example/lab",
            "ghcr.io/examples/lab",
            "evil.example.org/ghcr.io/example/lab",
            "docker://ghcr.io/example/lab",
        ]
    ),
    *(
        (("developers",), typed(text), TYPED, f"{text!r} is not the name of an image")
        for text in [
            "ghcr.io/example/{username}",
            "ghcr.io/example/lab:{unescaped_username}",
            "ghcr.io/example/lab:1 --privileged",
            "ghcr.io/example/Lab",
            "ghcr.io/example/../../lab",
            "ghcr.io/example/lab:",
            "ghcr.io/example/lab@sha256:1",
            "ghcr.io/example/lab?x=1",
            "ghcr.io/example/lab:1:2",
        ]
    ),
    # The pattern lets it pass, but not the list of registries.
    (("developers",), typed("quay.io/x/lab"), TYPED, "'quay.io/x/lab' is not of ghcr.io"),
    # Sizes.
    *(
        ((), {"size": name}, "size", f"{name!r} is not on offer")
        for name in ["large", "gpu", "Small", "small\n", "huge", "1", "{}"]
    ),
    # The user may have it, but not with this image.
    (("staff",), {"size": "medium"}, "size", "'medium' is not on offer"),
    (("staff", "gpu"), {"size": "gpu"}, "size", "'gpu' is not on offer"),
    # Flags.
    ((), {"debug": "yes"}, "debug", NOT_AN_OPTION),
    ((), {"debug": "no"}, "debug", NOT_AN_OPTION),
    ((), {"debug": ""}, "debug", NOT_AN_OPTION),
    *(
        ((), {"clear_local": value}, "clear_local", f"{value!r} is neither 'yes' nor 'no'")
        for value in ["YES", "true", "on", "1", "yes\n", "no "]
    ),
]


@pytest.mark.parametrize(("groups", "user_options", "field", "problem"), REFUSED)
def test_what_is_not_on_offer_is_refused(groups, user_options, field, problem):
    asked = copy.deepcopy(user_options)
    with pytest.raises(OptionsError) as caught:
        parse_choice(user_options, make_offer(*groups))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"user_options[{field!r}]: {problem}")
    assert "\n" not in str(caught.value)
    assert user_options == asked


@pytest.mark.parametrize("text", ["ghcr.io/example/lab:1", "quay.io/lab:1", "ghcr.io/lab"])
def test_a_pattern_without_end_still_has_to_match_everything(text):
    images = [{**ANYBODYS, "pattern": r"ghcr\.io/example/lab"}]
    with pytest.raises(OptionsError, match="does not match"):
        parse_choice(typed(text), make_offer(images=images))


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("lab", "registry-1.docker.io"),
        ("example/lab", "registry-1.docker.io"),
        ("localhost/lab", "localhost"),
        ("ghcr.io:443/example/lab", "ghcr.io:443"),
        ("ghcr.io.evil.org/lab", "ghcr.io.evil.org"),
    ],
)
def test_a_registry_is_the_one_that_kubernetes_would_ask(image, host):
    anything = {**ANYBODYS, "pattern": ".*"}
    with pytest.raises(OptionsError, match=r"is not of ghcr\.io$"):
        parse_choice(typed(image), make_offer(images=[anything]))
    # Docker Hub is named as people name it.
    named = "docker.io" if host == "registry-1.docker.io" else host
    offer = make_offer(images=[{**anything, "registries": [named]}])
    assert parse_choice(typed(image), offer).image.host == host


def test_keys_of_hooks_are_the_hooks_own():
    offer = make_offer()
    extra = {"project", "image_pull_policy"}
    options = {"project": ["a", {"b": None}], "image_pull_policy": 1, "size": "small"}
    assert parse_choice(options, offer, extra=extra).size.name == "small"
    with pytest.raises(OptionsError, match="projects"):
        parse_choice({"projects": "a"}, offer, extra=extra)


def test_a_menu_may_offer_only_what_it_shows():
    offer = make_offer(images=[{**LAB, "all_tags": False}])
    assert parse_choice({"image": "w_2026_44"}, offer).image.tag == "w_2026_44"
    for hidden in ("w_2026_43", "sha-1234"):
        with pytest.raises(OptionsError, match=f"{hidden!r} is not on offer"):
            parse_choice({"image": hidden}, offer)


def test_a_tag_that_has_vanished_is_refused():
    menu = make_menu()
    options = {"image": "w_2026_43"}
    assert parse_choice(options, make_offer(catalog=make_catalog(menu)))
    with pytest.raises(OptionsError, match="'w_2026_43' is not on offer"):
        parse_choice(options, make_offer(catalog=make_catalog(menu, lab=["w_2026_45"])))


@pytest.mark.parametrize("options", [{}, {"image": "w_2026_45"}, {"image": "recommended"}])
def test_a_registry_that_has_never_answered_is_told_from_a_tag_that_is_none(options):
    offer = make_offer(catalog=Catalog(listings={}))
    with pytest.raises(OptionsError, match="no image of Science lab is known yet, try again"):
        parse_choice(options, offer)
    assert parse_choice({"profile": "r"}, offer).entry == "r"


def test_without_a_default_an_image_has_to_be_chosen():
    offer = make_offer(images=[{**LAB, "show": {}, "aliases": [], "recommended": ""}])
    with pytest.raises(OptionsError, match="is empty: choose an image of Science lab"):
        parse_choice({}, offer)
    assert parse_choice({"image": "w_2026_43"}, offer).image.tag == "w_2026_43"


def test_who_may_start_nothing_starts_nothing():
    offer = make_offer(images=[{**R, "groups": ["staff"]}])
    for options in ({}, {"profile": ""}, {"image": "x"}):
        with pytest.raises(OptionsError, match="there is no image that you may start"):
            parse_choice(options, offer)


def test_a_digest_is_known_once_the_registry_has_been_asked():
    menu = make_menu()
    listing = make_catalog(menu).listings["lab"]
    known = make_offer(catalog=Catalog(listings={"lab": listing}))
    assert parse_choice({"image": "w_2026_45"}, known).image.digest == digest_of("w_2026_45")
    choice = parse_choice({"profile": "r"}, known)
    assert choice.is_pinned
    assert choice.image.digest == ""


def test_what_is_not_pinned_is_started_by_its_tag():
    offer = make_offer(images=[{**LAB, "pin": False}])
    choice = parse_choice({"image": "w_2026_45"}, offer)
    assert not choice.is_pinned
    assert str(choice.image) == "registry.example.edu/science/lab:w_2026_45"


@pytest.mark.parametrize(
    ("user_options", "title"),
    [
        ({}, "Recommended (Weekly 2026_44)"),
        ({"image": "d_2026_11_17"}, "Daily 2026_11_17"),
        ({"profile": "r"}, "R"),
        (typed("ghcr.io/example/lab:1"), "ghcr.io/example/lab:1"),
    ],
)
def test_a_choice_has_the_title_that_the_user_saw(user_options, title):
    assert parse_choice(user_options, make_offer("developers")).title == title


def test_without_sizes_there_is_none():
    offer = make_offer(sizes=())
    assert parse_choice({}, offer).size is None
    with pytest.raises(OptionsError, match="'small' is not on offer"):
        parse_choice({"size": "small"}, offer)


def test_sizes_that_are_all_for_others_are_no_way_around_them():
    for offer in (
        make_offer(sizes=[{**SIZES[0], "groups": ["staff"]}]),
        make_offer(images=[{**R, "sizes": ["large"]}]),
    ):
        with pytest.raises(OptionsError, match=r"\['size'\]: there is no size that you may have"):
            parse_choice({}, offer)


LIMITS = [{"cpu": 4, "resources": {GPU: 0}}, {"cpu": 8, "resources": {GPU: 1}, "groups": ["gpu"]}]


@pytest.mark.parametrize(
    ("groups", "cpu_in_use", "user_options", "problem"),
    [
        ((), 0, {}, ""),
        ((), 2, {}, ""),
        # The default counts like what is named.
        ((), 3, {}, "'medium' takes 2 CPU, and 3 of your 4 are in use"),
        ((), 3, {"size": "medium"}, "'medium' takes 2 CPU, and 3 of your 4 are in use"),
        ((), 3, {"size": "small"}, ""),
        ((), 4, {"size": "small"}, "'small' takes 1 CPU, and 4 of your 4 are in use"),
        (("gpu",), 4, {"size": "gpu"}, ""),
        (("gpu",), 5, {"size": "gpu"}, "'gpu' takes 4 CPU, and 5 of your 8 are in use"),
    ],
)
def test_a_size_fits_beside_what_other_servers_have(groups, cpu_in_use, user_options, problem):
    used = Amount(cpu=cpu_in_use, memory_bytes=0, resources={})
    offer = make_offer(*groups, limits=LIMITS, used=used)
    if problem:
        with pytest.raises(OptionsError) as caught:
            parse_choice(user_options, offer)
        assert str(caught.value) == f"user_options['size']: {problem}"
    else:
        parse_choice(user_options, offer)


class Spawner:
    """What an override may look at."""

    tolerations = ({"key": "old"},)


def merged(choice):
    found = {}
    for overrides in overrides_of(choice):
        for name, value in overrides.items():
            new = value(Spawner) if callable(value) else value
            old = found.get(name)
            found[name] = {**old, **new} if isinstance(old, dict) else new
    return found


def test_a_choice_becomes_options_of_kubespawner():
    image = {**R, "kubespawner_override": {"cmd": ["start"], "image": "evil.example.org/lab"}}
    size = {
        "name": "big",
        "cpu": 4,
        "memory": "16G",
        "memory_guarantee": "1G",
        "resources": {GPU: 1},
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": GPU, "operator": "Exists"}],
    }
    flags = ["debug", {"name": "dev", "environment": {"API": "dev"}}]
    offer = make_offer(images=[image], sizes=[size], flags=flags)
    choice = parse_choice({"debug": "yes", "dev": "yes"}, offer)
    assert merged(choice) == {
        "cmd": ["start"],
        "image": R_IMAGE,
        "cpu_limit": 4.0,
        "cpu_guarantee": 1.0,
        "mem_limit": 16 * GIB,
        "mem_guarantee": GIB,
        "extra_resource_limits": {GPU: 1},
        "extra_resource_guarantees": {GPU: 1},
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "old"}, {"key": GPU, "operator": "Exists"}],
        "debug": True,
        "environment": {"API": "dev"},
    }


def test_without_a_size_kubespawners_own_options_stay():
    choice = parse_choice({}, make_offer(images=[R], sizes=(), flags=()))
    assert merged(choice) == {"image": R_IMAGE}


@pytest.mark.parametrize(("groups", "user_options", "expected"), ACCEPTED)
def test_a_choice_survives_the_hubs_restart(groups, user_options, expected):
    choice = parse_choice(user_options, make_offer(*groups))
    description = json.loads(json.dumps(describe_choice(choice)))
    assert (description["entry"], description["image"]) == expected[:2]
    assert description["digest"] == choice.image.digest
    assert description["title"] == choice.title
    assert " ".join(description["flags"]) == expected[3]
    assert description["size"]["name"] == expected[2]
    assert amount_in(description) == amount_of(choice.size)


def test_a_choice_without_a_size_takes_nothing():
    choice = parse_choice({}, make_offer(sizes=()))
    assert amount_in(describe_choice(choice)) == NOTHING
    # Of a server that an older hub has started.
    assert amount_in({}) == NOTHING


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
known_words = st.sampled_from(
    ["lab", "r", "own", "recommended", "w_2026_45", "small", "large", "yes", "no", ""]
)
nearly_options = st.dictionaries(
    st.sampled_from(["profile", "image", TYPED, "size", "debug", "clear_local"]) | st.text(),
    known_words | documents,
)


@given(nearly_options | documents, st.sets(st.sampled_from(EVERYTHING)))
def test_whatever_is_asked_for_is_on_offer_or_refused(user_options, groups):
    offer = make_offer(*groups)
    try:
        choice = parse_choice(user_options, offer)
    except OptionsError:
        return
    entry = next(entry for entry in offer.entries if entry.source.name == choice.entry)
    assert choice.size in entry.sizes
    assert all(flag in offer.flags for flag in choice.flags)
    assert set(user_options) <= {"profile", "image", TYPED, "size", "debug", "clear_local"}
    assert choice.image.host in {"ghcr.io", "registry.example.edu", "quay.io"}
