import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.sources import (
    Repository,
    StaticImage,
    TypedImage,
    implied_source,
    parse_sources,
)
from tests.support.menus import make_source

DIGEST = "sha256:" + "0" * 64


def test_an_image_is_itself():
    source = make_source(image="quay.io/jupyter/r-notebook:4.4", recommended=True)
    assert isinstance(source, StaticImage)
    assert str(source.image) == "quay.io/jupyter/r-notebook:4.4"
    assert (source.title, source.description, source.is_pinned) == ("Lab", "", True)
    assert source.is_recommended
    assert not make_source(image="quay.io/jupyter/r-notebook:4.4").is_recommended


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("lab", "docker.io/library/lab:latest"),
        ("h.io/lab", "h.io/lab:latest"),
        ("h.io/lab@" + DIGEST, "h.io/lab@" + DIGEST),
    ],
)
def test_an_image_without_a_tag_is_the_latest(image, name):
    assert str(make_source(image=image).image) == name


def test_every_item_says_what_it_is_and_for_whom():
    source = make_source(
        image="h.io/lab:1",
        title="A lab",
        description="With all.",
        pin=False,
        sizes=["small", "large"],
        kubespawner_override={"cmd": ["start"]},
        groups=["staff"],
        default_for=["cs101"],
        default=True,
    )
    assert (source.title, source.description, source.is_pinned) == ("A lab", "With all.", False)
    assert source.sizes == {"small", "large"}
    assert source.override == {"cmd": ["start"]}
    assert source.audience.groups == {"staff"}
    assert source.audience.default_for == {"cs101"}
    assert source.audience.is_default


def test_a_repository_has_the_defaults_of_its_scheme():
    source = make_source(repository="h.io/lab", scheme="rubin")
    assert isinstance(source, Repository)
    assert (source.image.host, source.image.name, source.image.tag) == ("h.io", "lab", "")
    assert source.scheme.name == "rubin"
    assert source.show == {"release": 1, "weekly": 2, "daily": 3}
    assert (source.aliases, source.recommended, source.exclude) == ((), "", None)
    assert source.has_all_tags
    assert source.is_pinned


def test_a_repository_shows_what_the_operator_says():
    source = make_source(
        repository="h.io/lab",
        scheme="rubin",
        show={"experimental": 1, "daily": 2},
        aliases=["latest_weekly", "recommended"],
        recommended="recommended",
        exclude=["exp_*", "*-amd64", "w_202[0-4]_*"],
        all_tags=False,
    )
    # In the scheme's order.
    assert list(source.show.items()) == [("daily", 2), ("experimental", 1)]
    assert source.aliases == ("recommended", "latest_weekly")
    assert not source.has_all_tags
    matched = ["exp_a", "r27_0_0-amd64", "w_2024_01", "w_2025_01", "my_exp_a", "w_2025_01-amd64-x"]
    assert [bool(source.exclude.fullmatch(name)) for name in matched] == [True] * 3 + [False] * 3


def test_a_repository_may_show_nothing():
    assert make_source(repository="h.io/lab", show={}).show == {}
    assert not any(make_source(repository="h.io/lab", show={"release": 0}).show.values())


def test_a_typed_image_has_a_pattern_and_registries():
    source = make_source(pattern=r"ghcr\.io/.+", registries=["ghcr.io", "docker.io", "h.io:5000"])
    assert isinstance(source, TypedImage)
    assert source.pattern.fullmatch("ghcr.io/x")
    assert source.registries == {"ghcr.io", "registry-1.docker.io", "h.io:5000"}


REPOSITORY = {"repository": "h.io/lab", "scheme": "rubin"}
TYPED = {"pattern": ".+", "registries": ["ghcr.io"]}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, ": needs one of image, repository and pattern"),
        ({"image": None}, ": needs one of image, repository and pattern"),
        ({"image": "h.io/lab", **REPOSITORY}, ": needs one of image, repository and pattern"),
        ({"image": "h.io/lab", "name": "a b"}, ".name: 'a b' is not up to 40"),
        ({"image": 1}, ".image: 1 is not a text"),
        ({"image": "h.io/Lab"}, ".image: 'h.io/Lab' is not the name of an image"),
        ({"image": "h.io/{username}"}, ".image: 'h.io/{username}' is not the name of an image"),
        ({"image": "h.io/lab", "imge": 1}, ".imge: there is no such key; 'image' is close"),
        ({"image": "h.io/lab", "scheme": "rubin"}, ".scheme: there is no such key"),
        ({"image": "h.io/lab", "pin": "no"}, ".pin: 'no' is not true or false"),
        ({"image": "h.io/lab", "sizes": "small"}, ".sizes: 'small' is not a list"),
        (
            {"image": "h.io/lab", "kubespawner_override": {1: 2}},
            ".kubespawner_override: 1 is not the name of an option",
        ),
        (
            {"repository": "h.io/lab:1"},
            ".repository: 'h.io/lab:1' names one image; call it image, not repository",
        ),
        (
            {"repository": f"h.io/lab@{DIGEST}"},
            f".repository: 'h.io/lab@{DIGEST}' names one image",
        ),
        ({"repository": "h.io/lab", "scheme": "ruby"}, ".scheme: 'ruby' is none of the schemes"),
        ({**REPOSITORY, "aliases": "latest"}, ".aliases: 'latest' is not a list"),
        ({**REPOSITORY, "aliases": ["a", "a b"]}, ".aliases: 'a b' cannot be a tag"),
        ({**REPOSITORY, "recommended": "a:b"}, ".recommended: 'a:b' cannot be a tag"),
        ({**REPOSITORY, "recommended": True}, ".recommended: True is not a text"),
        ({**REPOSITORY, "show": ["weekly"]}, ".show: ['weekly'] is not a mapping"),
        ({**REPOSITORY, "show": {"monthly": 1}}, ".show: 'monthly' is none of the scheme's: rel"),
        ({**REPOSITORY, "show": {"weekly": -1}}, ".show.weekly: -1 is not a count"),
        ({**REPOSITORY, "show": {"weekly": True}}, ".show.weekly: True is not a count"),
        ({**REPOSITORY, "show": {"weekly": "2"}}, ".show.weekly: '2' is not a count"),
        ({**REPOSITORY, "exclude": "exp_*"}, ".exclude: 'exp_*' is not a list"),
        ({**TYPED, "pattern": "("}, ".pattern: '(' is no regular expression"),
        ({**TYPED, "registries": []}, ".registries: is missing: name the hosts"),
        ({"pattern": ".+"}, ".registries: is missing: name the hosts"),
        # To Kubernetes these are images of Docker Hub.
        ({**TYPED, "registries": ["registry"]}, ".registries: 'registry' is not the host"),
        ({**TYPED, "registries": ["library"]}, ".registries: 'library' is not the host"),
        # A part of a registry would become all of it.
        ({**TYPED, "registries": ["ghcr.io/us"]}, ".registries: 'ghcr.io/us' is not the host"),
        ({**TYPED, "registries": ["https://ghcr.io"]}, ".registries: 'https://ghcr.io' is not"),
    ],
)
def test_an_item_that_cannot_be_is_refused(keys, problem):
    with pytest.raises(ConfigError) as caught:
        make_source(**keys)
    assert str(caught.value).startswith(f"ImageMenu.images[0]{problem}")


def test_an_item_is_a_mapping_and_has_a_name_of_its_own():
    with pytest.raises(ConfigError, match=r"^ImageMenu\.images\[0\]: 'lab' is not a mapping"):
        parse_sources(["lab"])
    with pytest.raises(ConfigError, match=r"^ImageMenu\.images: 'lab' is there twice"):
        parse_sources([{"name": "lab", "image": f"h.io/lab:{tag}"} for tag in "ab"])


def test_without_images_there_is_kubespawners():
    source = implied_source("jupyterhub/singleuser:5")
    assert str(source.image) == "docker.io/jupyterhub/singleuser:5"
    assert not source.is_pinned
    assert source.audience.admits([])
    with pytest.raises(ConfigError, match=r"^KubeSpawner\.image: 'a b' is not the name of an"):
        implied_source("a b")
