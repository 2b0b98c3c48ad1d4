import pytest

from jhk8s_ext.menu.image import is_digest, is_tag, parse_image

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("lab", ("registry-1.docker.io", "library/lab", "latest")),
        ("jupyter/lab:2", ("registry-1.docker.io", "jupyter/lab", "2")),
        ("docker.io/jupyter/lab", ("registry-1.docker.io", "jupyter/lab", "latest")),
        ("quay.io/jupyter/lab:x", ("quay.io", "jupyter/lab", "x")),
        ("localhost/lab", ("localhost", "lab", "latest")),
        ("10.88.0.1:5000/a/b/lab:1", ("10.88.0.1:5000", "a/b/lab", "1")),
        ("h.io/l:1@" + DIGEST, ("h.io", "l", DIGEST)),
    ],
)
def test_names_are_read_as_kubernetes_does(image, parts):
    parsed = parse_image(image)
    assert (parsed.host, parsed.name, parsed.reference) == parts


@pytest.mark.parametrize(
    "image",
    [
        "",
        "Lab",
        "lab:",
        "lab:a b",
        "lab:1\n",
        "h.io/",
        "h.io/../lab",
        "lab@sha256:1",
        "a//b",
        "lab?x",
        "lab:{username}",
        "h.io/l:@" + DIGEST,
    ],
)
def test_what_is_no_name_is_refused(image):
    with pytest.raises(ValueError, match=r".*"):
        parse_image(image)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("lab", "docker.io/library/lab"),
        ("quay.io/jupyter/lab:x", "quay.io/jupyter/lab:x"),
        ("h.io/l@" + DIGEST, "h.io/l@" + DIGEST),
        ("h.io/l:1@" + DIGEST, "h.io/l:1@" + DIGEST),
    ],
)
def test_a_pod_gets_tag_and_digest(image, text):
    assert str(parse_image(image)) == text
    assert parse_image(text) == parse_image(image)


def test_an_image_is_pinned_by_its_digest():
    tagged = parse_image("h.io/l").at(tag="w_2026_45")
    assert tagged.reference == "w_2026_45"
    assert tagged.at(digest=DIGEST).reference == DIGEST
    assert tagged.repository == "h.io/l"


def test_tags_and_digests_are_told_from_other_texts():
    assert is_tag("w_2026-45.x")
    assert not any(
        map(is_tag, ["", ".a", "-a", "a" * 129, "a:b", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
    )
    assert is_digest(DIGEST)
    assert not is_digest("sha256:xyz")
