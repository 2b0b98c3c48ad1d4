"""What the start spec may say, and the sentence that refuses anything else."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jhk8s_singleuser.exits import BAD_SPEC, StartError
from jhk8s_singleuser.spec import (
    Group,
    Home,
    Hooks,
    Image,
    Link,
    Size,
    StartSpec,
    User,
)
from jhk8s_singleuser.spec_parser import parse_spec, read_spec

NO_HOOKS = Hooks(before=(), after=(), as_root=False, essential=False)

LINKED = StartSpec(
    start_as="user",
    user=User(
        name="ada",
        uid=10001,
        gid=10001,
        shell="/bin/bash",
        full_name="Ada Lovelace",
        groups=(Group(name="ada", gid=10001), Group(name="cs101", gid=20101)),
        extra_gids=(),
        sudo=False,
    ),
    home=Home(
        path="/home/ada",
        kind="ephemeral",
        store="/mnt/home/ada",
        links=(
            Link(path="work", target="work", kind="directory", mode=0o700, essential=False),
            Link(
                path=".gitconfig",
                target="config/gitconfig",
                kind="file",
                mode=0o700,
                essential=False,
            ),
            Link(path="store", target=".", kind="directory", mode=0o700, essential=False),
        ),
        wait_seconds=0,
        skeleton=None,
        umask=None,
    ),
    files=(),
    git_credentials=(),
    hooks=NO_HOOKS,
    working_directory="/home/ada/work",
    unset=("SUDO_USER",),
    image=None,
    size=None,
    label=None,
    move_aside=(),
)

DIGEST = "sha256:" + 4 * "0123456789abcdef"

CHOSEN = StartSpec(
    start_as="user",
    user=User(
        name="ada",
        uid=10001,
        gid=10001,
        shell="/bin/bash",
        full_name="Ada Lovelace",
        groups=(Group(name="ada", gid=10001),),
        extra_gids=(),
        sudo=False,
    ),
    home=Home(
        path="/home/ada",
        kind="direct",
        store=None,
        links=(),
        wait_seconds=0,
        skeleton=None,
        umask=None,
    ),
    files=(),
    git_credentials=(),
    hooks=NO_HOOKS,
    label=None,
    working_directory="/home/ada",
    unset=(),
    image=Image(
        reference=f"registry.example.edu/science/lab:w_2026_45@{DIGEST}",
        digest=DIGEST,
        title="Weekly 2026_45",
    ),
    size=Size(name="large", title="Large", cpu=4.0, memory_bytes=16 * 1024**3),
    move_aside=(".local", ".jupyter/lab/workspaces"),
)

#: What may be empty, and what may be any number above 0.
MAY_BE = {
    ("user.full_name", ""),
    ("home.wait_seconds", 0),
    ("files[0].text", ""),
    ("image.digest", ""),
    ("image.title", ""),
    ("size.title", ""),
    ("size.cpu", 1.5),
    ("label.stage", ""),
    ("label.color", ""),
    ("label.text_color", ""),
    ("label.style", ""),
}


def nodes(value, path=""):
    """Yield the path of every value below this one, as the refusals write it."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            yield here, value, key
            yield from nodes(item, here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            here = f"{path}[{index}]"
            yield here, value, index
            yield from nodes(item, here)


def refusal(document):
    with pytest.raises(StartError) as caught:
        parse_spec(document)
    assert caught.value.exit_code == BAD_SPEC
    return caught.value.sentence


def test_linked(linked):
    assert parse_spec(linked) == LINKED


def test_chosen(chosen):
    assert parse_spec(chosen) == CHOSEN


def test_every_document_of_the_contract_is_accepted(any_document):
    assert isinstance(parse_spec(any_document), StartSpec)


def test_a_missing_key_is_refused_wherever_it_is_missing(any_document):
    keys = [path for path, _, key in nodes(any_document) if isinstance(key, str)]
    assert len(keys) >= 16
    for path in keys:
        document = copy.deepcopy(any_document)
        _, parent, key = next(node for node in nodes(document) if node[0] == path)
        del parent[key]
        where = path.rpartition(".")[0] or "the document"
        assert refusal(document) == f"{where}: the key {key!r} is missing"


@pytest.mark.parametrize(("name", "count"), [("linked", 9), ("chosen", 7), ("everything", 13)])
def test_an_unknown_key_is_refused_in_every_object(request, name, count):
    whole = request.getfixturevalue(name)
    paths = ["", *(path for path, parent, key in nodes(whole) if isinstance(parent[key], dict))]
    assert len(paths) == count
    for path in paths:
        document = copy.deepcopy(whole)
        target = document
        if path:
            _, parent, key = next(node for node in nodes(document) if node[0] == path)
            target = parent[key]
        target["colour"] = "red"
        assert refusal(document).startswith(
            f"{path or 'the document'}: the key 'colour' is unknown; known are "
        )


def test_a_value_of_the_wrong_type_is_refused_wherever_it_is(any_document):
    for path, _, _ in nodes(any_document):
        for wrong in ({}, [], "", True, 1.5, 0):
            document = copy.deepcopy(any_document)
            _, parent, key = next(node for node in nodes(document) if node[0] == path)
            if isinstance(wrong, type(parent[key])) and not isinstance(parent[key], (str, int)):
                continue  # an empty list where a list belongs
            if isinstance(wrong, bool) and isinstance(parent[key], bool):
                continue
            if not isinstance(wrong, (dict, list, bool)) and (path, wrong) in MAY_BE:
                continue
            parent[key] = wrong
            assert refusal(document).startswith(path)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("version", 2, "version: 2 is not 1, the one version known here"),
        ("version", True, "version: true is not a whole number"),
        ("version", "1", 'version: "1" is not a whole number'),
        ("user", ["ada"], "user: a list is not an object"),
        ("user.name", "", "user.name: the string is empty"),
        ("user.name", "a\0", r"user.name: 'a\x00' holds a NUL character"),
        ("user.name", "\ud800", r"user.name: '\ud800' is not valid Unicode text"),
        ("user.uid", 0, "user.uid: 0 is not between 1 and 4294967294; 0 is root"),
        ("user.uid", -1, "user.uid: -1 is not between 1 and 4294967294; 0 is root"),
        ("user.uid", 10001.0, "user.uid: 10001.0 is not a whole number"),
        ("user.gid", 2**32 - 1, "user.gid: 4294967295 is not between 1 and 4294967294; 0 is root"),
        (
            "user.groups[1].gid",
            0,
            "user.groups[1].gid: 0 is not between 1 and 4294967294; 0 is root",
        ),
        ("user.groups", {}, "user.groups: an object is not a list"),
        ("user.shell", "bash", "user.shell: 'bash' is not an absolute path"),
        ("home.path", "home/ada", "home.path: 'home/ada' is not an absolute path"),
        ("home.path", "/", "home.path: '/' has a part that is '', where a name is needed"),
        (
            "home.path",
            "/home/../ada",
            "home.path: '/home/../ada' has a part that is '..', where a name is needed",
        ),
        (
            "home.path",
            "/home//ada",
            "home.path: '/home//ada' has a part that is '', where a name is needed",
        ),
        ("home.kind", "nfs", "home.kind: 'nfs' is not one of 'direct', 'ephemeral'"),
        (
            "home.kind",
            "direct",
            "home.store: '/mnt/home/ada' is given although home.kind is 'direct'",
        ),
        (
            "home.store",
            None,
            "home.links: there are links into the store although home.store is null",
        ),
        (
            "home.store",
            "/home/ada",
            "home.store: '/home/ada' is within the ephemeral home '/home/ada'",
        ),
        (
            "home.store",
            "/home/ada/store",
            "home.store: '/home/ada/store' is within the ephemeral home '/home/ada'",
        ),
        ("home.links[2].path", "/etc", "home.links[2].path: '/etc' is not a relative path"),
        (
            "home.links[2].path",
            "../bob",
            "home.links[2].path: '../bob' has a part that is '..', where a name is needed",
        ),
        (
            "home.links[2].path",
            ".",
            "home.links[2].path: '.' has a part that is '.', where a name is needed",
        ),
        (
            "home.links[2].path",
            "work",
            "home.links[0].path: 'work' is within home.links[2].path, 'work'",
        ),
        (
            "home.links[2].path",
            "work/in",
            "home.links[2].path: 'work/in' is within home.links[0].path, 'work'",
        ),
        (
            "home.links[1].target",
            "/x/..",
            "home.links[1].target: '/x/..' has a part that is '..', where a name is needed",
        ),
        (
            "home.links[2].target",
            "a/../../b",
            "home.links[2].target: 'a/../../b' has a part that is '..', where a name is needed",
        ),
        (
            "home.links[2].target",
            "a/",
            "home.links[2].target: 'a/' has a part that is '', where a name is needed",
        ),
        ("home.links[2].target", "", "home.links[2].target: the string is empty"),
        (
            "home.links[1].target",
            ".",
            "home.links[1].target: '.' is the store, a directory, although the kind is 'file'",
        ),
        (
            "home.links[0].kind",
            "socket",
            "home.links[0].kind: 'socket' is not one of 'directory', 'file'",
        ),
        *(
            (
                "home.links[0].mode",
                mode,
                f"home.links[0].mode: {mode!r} is not a mode of octal digits such as '0700'",
            )
            for mode in ("70", "0o70", "0800", "2770", "00700", "+700", "0-70")
        ),
        ("home.links[0].mode", 448, "home.links[0].mode: 448 is not a string"),
        ("working_directory", "work", "working_directory: 'work' is not an absolute path"),
        ("unset", None, "unset: null is not a list"),
        ("unset[0]", "", "unset[0]: the string is empty"),
    ],
)
def test_refusals(linked, path, value, sentence):
    _, parent, key = next(node for node in nodes(linked) if node[0] == path)
    parent[key] = value
    assert refusal(linked) == sentence


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("image", "lab", 'image: "lab" is not an object'),
        ("image.reference", "", "image.reference: the string is empty"),
        ("image.digest", None, "image.digest: null is not a string"),
        *(
            (
                "image.digest",
                digest,
                f"image.digest: {digest!r} is not a digest such as 'sha256:...'",
            )
            for digest in ("latest", "sha256:", ":0123")
        ),
        ("image.title", "a\0", r"image.title: 'a\x00' holds a NUL character"),
        ("size", [], "size: a list is not an object"),
        ("size.cpu", "4", 'size.cpu: "4" is not a number'),
        ("size.cpu", True, "size.cpu: true is not a number"),
        ("size.cpu", -0.5, "size.cpu: -0.5 is not a finite number above 0"),
        ("size.cpu", float("inf"), "size.cpu: inf is not a finite number above 0"),
        ("size.cpu", float("nan"), "size.cpu: nan is not a finite number above 0"),
        ("size.memory_bytes", 0, "size.memory_bytes: 0 is not above 0"),
        ("size.memory_bytes", 1e9, "size.memory_bytes: 1000000000.0 is not a whole number"),
        ("move_aside", ".local", 'move_aside: ".local" is not a list'),
        ("move_aside[0]", "/etc", "move_aside[0]: '/etc' is not a relative path"),
        (
            "move_aside[1]",
            ".jupyter/../..",
            "move_aside[1]: '.jupyter/../..' has a part that is '..', where a name is needed",
        ),
        (
            "move_aside[0]",
            ".",
            "move_aside[0]: '.' has a part that is '.', where a name is needed",
        ),
    ],
)
def test_refusals_of_what_was_chosen(chosen, path, value, sentence):
    _, parent, key = next(node for node in nodes(chosen) if node[0] == path)
    parent[key] = value
    assert refusal(chosen) == sentence


@pytest.mark.parametrize("cpu", [1, 0.5, 10**400])
def test_any_number_of_cpus(chosen, cpu):
    chosen["size"]["cpu"] = cpu
    assert parse_spec(chosen).size.cpu == cpu


def test_an_image_without_digest_and_titles(chosen):
    chosen["image"].update(digest="", title="")
    chosen["size"]["title"] = ""
    spec = parse_spec(chosen)
    assert (spec.image.digest, spec.image.title, spec.size.title) == ("", "", "")


@pytest.mark.parametrize("document", [None, [], "spec", 1])
def test_a_document_that_is_no_object_is_refused(document):
    assert refusal(document).startswith("the document: ")


def test_a_later_version_is_refused_for_its_number_and_not_for_its_keys(linked):
    linked.update(version=2, colour="red")
    del linked["unset"]
    assert refusal(linked).startswith("version: 2 ")


def test_names_that_only_begin_alike_are_apart(linked):
    linked["home"]["links"][2]["path"] = "work2"
    linked["home"]["store"] = "/home/ada2"
    spec = parse_spec(linked)
    assert spec.home.links[2].path == "work2"
    assert spec.home.store == "/home/ada2"


@pytest.mark.parametrize("path", ["/", "/srv/course/", "/srv//course/../exam"])
def test_the_working_directory_may_be_any_absolute_path(linked, path):
    linked["working_directory"] = path
    assert parse_spec(linked).working_directory == path


@pytest.mark.parametrize(
    ("text", "mode"), [("0750", 0o750), ("750", 0o750), ("070", 0o070), ("0000", 0)]
)
def test_mode(linked, text, mode):
    linked["home"]["links"][0]["mode"] = text
    assert parse_spec(linked).home.links[0].mode == mode


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    st.data(),
)
def test_no_document_ends_in_anything_but_a_spec_or_a_refusal(value, data):
    document = to_document(data.draw(st.sampled_from([LINKED, CHOSEN])))
    path = data.draw(st.sampled_from([path for path, _, _ in nodes(document)]))
    _, parent, key = next(node for node in nodes(document) if node[0] == path)
    parent[key] = value
    try:
        assert isinstance(parse_spec(document), StartSpec)
    except StartError as error:
        assert error.exit_code == BAD_SPEC  # noqa: PT017 - either outcome is right


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b"]), min_size=1).map("/".join))
def test_an_accepted_relative_path_stays_below(path):
    document = to_document(LINKED)
    document["home"]["links"] = [
        {"path": path, "target": path, "kind": "directory", "mode": "0700", "essential": False}
    ]
    stays = all(part in {"a", "b"} for part in path.split("/"))
    try:
        parse_spec(document)
    except StartError:
        assert not stays
    else:
        assert stays


def to_document(spec):
    """Write a spec as the document it was read from."""
    document = json.loads(json.dumps(spec, default=vars))
    for link in document["home"]["links"]:
        link["mode"] = f"{link['mode']:04o}"
    return {"version": 1, **document}


def test_read(tmp_path, linked):
    path = tmp_path / "start.json"
    path.write_text(json.dumps(linked))
    assert read_spec(str(path)) == LINKED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": Expecting value: line 1 column 1 (char 0)"),
        (b"{", ": Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'"\xff"', ": 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"),
    ],
)
def test_a_file_that_is_not_json(tmp_path, content, problem):
    path = tmp_path / "start.json"
    path.write_bytes(content)
    with pytest.raises(StartError) as caught:
        read_spec(str(path))
    assert caught.value.sentence == f"the start spec {path} is not JSON{problem}"
    assert caught.value.exit_code == BAD_SPEC


def test_a_file_that_nests_too_deep(tmp_path):
    path = tmp_path / "start.json"
    path.write_text("[" * 200_000)
    with pytest.raises(StartError, match="is not JSON: "):
        read_spec(str(path))


def test_a_missing_file(tmp_path):
    path = tmp_path / "start.json"
    with pytest.raises(StartError) as caught:
        read_spec(str(path))
    assert caught.value.sentence == (
        f"the start spec {path} cannot be read: No such file or directory"
    )
    assert caught.value.exit_code == BAD_SPEC
