import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home_links import HomeLink
from jhk8s_ext.pod.volumes import ExtraVolume, check_mount_path, parse_extra_volumes
from tests.support.claims import JSON

SETTING = "ProfileKubeSpawner.extra_volumes"
CLAIM = {"persistentVolumeClaim": {"claimName": "courses"}}


def parse(**changes):
    document = {"name": "data", "volume": CLAIM, "mount_path": "/data"} | changes
    (volume,) = parse_extra_volumes([document], SETTING)
    return volume


def test_little_is_needed():
    assert parse() == ExtraVolume(
        setting=f"{SETTING}[0]",
        name="data",
        source=CLAIM,
        mount_path="/data",
        sub_path="",
        read_only=False,
        groups=(),
        per_group=False,
        links=(),
    )


def test_everything_is_read():
    volume = parse(
        mount_path="/courses/{group}",
        sub_path="{group_gid}/{username}",
        read_only=True,
        groups=["cs*", "math101"],
        per_group=True,
        links={"courses/{group}": {"target": ".", "essential": True}, "{uid}": "a/b"},
    )
    assert volume == ExtraVolume(
        setting=f"{SETTING}[0]",
        name="data",
        source=CLAIM,
        mount_path="/courses/{group}",
        sub_path="{group_gid}/{username}",
        read_only=True,
        groups=("cs*", "math101"),
        per_group=True,
        links=(
            HomeLink(
                path="courses/{group}", target=".", kind="directory", mode="0700", essential=True
            ),
            HomeLink(path="{uid}", target="a/b", kind="directory", mode="0700", essential=False),
        ),
    )


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"name": None}, ".name", "is missing"),
        ({"name": ""}, ".name", "'' is not up to 52 of a-z, 0-9 and hyphens between them"),
        ({"name": "Data"}, ".name", "'Data' is not up to 52 of a-z"),
        ({"name": "da_ta"}, ".name", "'da_ta' is not up to 52 of a-z"),
        ({"name": "data-"}, ".name", "'data-' is not up to 52 of a-z"),
        ({"name": "data\n"}, ".name", r"'data\n' is not up to 52 of a-z"),
        ({"name": "a" * 53}, ".name", "'aaa"),
        ({"name": "jhk8s-homes"}, ".name", "'jhk8s-homes' begins with 'jhk8s-', which is ours"),
        ({"name": 7}, ".name", "7 is not a text"),
        ({"volume": None}, ".volume", "is not one Kubernetes volume source"),
        ({"volume": {}}, ".volume", "is not one Kubernetes volume source"),
        ({"volume": {"nfs": {}, "emptyDir": {}}}, ".volume", "is not one Kubernetes volume source"),
        ({"volume": {"nfs": "10.0.0.5:/export"}}, ".volume", "is not one Kubernetes volume sou"),
        ({"volume": "courses"}, ".volume", "'courses' is not a mapping"),
        ({"volume": {"nfs": {"path": "/{cn}"}}}, ".volume", "unknown field {cn} in '/{cn}'"),
        # Only where there is one mount for each group.
        ({"volume": {"nfs": {"path": "/{group}"}}}, ".volume", "unknown field {group}"),
        ({"mount_path": None}, ".mount_path", "is missing"),
        ({"mount_path": "data"}, ".mount_path", "'data' is not a plain absolute path"),
        ({"mount_path": "/data/"}, ".mount_path", "'/data/' is not a plain absolute path"),
        ({"mount_path": "/da:ta"}, ".mount_path", "'/da:ta' is not a plain absolute path"),
        ({"mount_path": "/data/{group}"}, ".mount_path", "unknown field {group}"),
        ({"mount_path": "/etc/{username}"}, ".mount_path", "'/etc/ada' would hide a part of /etc"),
        ({"sub_path": "/data"}, ".sub_path", "'/data' is not a path inside the volume"),
        ({"sub_path": "../data"}, ".sub_path", "'../data' is not a path inside the volume"),
        ({"sub_path": "."}, ".sub_path", "'.' is not a path inside the volume"),
        ({"sub_path": "{cn}"}, ".sub_path", "unknown field {cn}"),
        ({"read_only": "yes"}, ".read_only", "'yes' is not true or false"),
        ({"groups": "cs101"}, ".groups", "'cs101' is not a list"),
        ({"groups": []}, ".groups", "is empty: leave it out to have no restriction"),
        ({"groups": [20101]}, ".groups", "20101 is not a text"),
        ({"groups": ["data science"]}, ".groups", "no profile has a group 'data science', see"),
        ({"groups": ["staff"]}, ".groups", "no profile has a group 'staff', see `jhk8s profile`"),
        ({"per_group": True}, ".mount_path", "'/data' is one place for many groups: put {group}"),
        (
            {"per_group": True, "mount_path": "/data/{group}"},
            ".per_group",
            "needs groups, as ['cs*']",
        ),
        ({"links": ["data"]}, ".links", "['data'] is not a mapping"),
        ({"links": {"../x": "."}}, ".links['../x']", "'../x' is not a path inside the home"),
        ({"links": {"x": "../x"}}, ".links['x'].target", "'../x' is not a path inside the volume"),
        ({"links": {"x": "/etc"}}, ".links['x'].target", "'/etc' is not a path inside the volume"),
        ({"links": {"x": "{cn}"}}, ".links['x'].target", "unknown field {cn}"),
        ({"links": {"{cn}": "x"}}, ".links['{cn}']", "unknown field {cn}"),
        (
            {"links": {"x": {"target": ".", "kind": "file"}}},
            ".links['x'].target",
            "the whole volume is no file",
        ),
        ({"links": {"x": {"target": "x", "mode": 7}}}, ".links['x'].mode", "7 is not octal text"),
        ({"readonly": True}, ".readonly", "there is no such key; 'read_only' is close"),
    ],
)
def test_value_that_cannot_work_is_named(changes, key, problem):
    with pytest.raises(ConfigError) as caught:
        parse(**changes)
    assert caught.value.setting == f"{SETTING}[0]{key}"
    assert str(caught.value).startswith(f"{caught.value.setting}: {problem}")


def test_volume_that_is_no_mapping_is_named():
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner.extra_volumes\[1\]: 'x' is not a"):
        parse_extra_volumes([{"name": "a", "volume": CLAIM, "mount_path": "/a"}, "x"], SETTING)


def test_name_that_is_there_twice_is_refused():
    documents = [
        {"name": "data", "volume": CLAIM, "mount_path": path} for path in ("/data", "/more")
    ]
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner.extra_volumes: 'data' is there tw"):
        parse_extra_volumes(documents, SETTING)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.",
        "/..",
        "//",
        "/bin",
        "/boot/x",
        "/dev",
        "/dev/shm",
        "/etc",
        "/etc/jhk8s",
        "/etc/passwd",
        "/home",
        "/lib",
        "/lib64",
        "/opt",
        "/opt/conda",
        "/proc",
        "/proc/self",
        "/root",
        "/run",
        "/run/secrets",
        "/sbin",
        "/sys",
        "/tmp",
        "/usr",
        "/usr/bin",
        "/usr/lib/x",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/share",
        "/usr/share",
        "/var",
        "/var/lib",
        "/var/run/secrets",
        "/var/tmp",
    ],
)
def test_volume_hides_nothing_of_the_system(path):
    with pytest.raises(ConfigError, match=r"^S: .* (would hide|is not a plain absolute path)"):
        check_mount_path("S", path)


@pytest.mark.parametrize(
    "path",
    [
        "/data",
        "/datasets/sky",
        "/etcetera",
        "/home/shared",
        "/libs",
        "/mnt",
        "/mnt/x",
        "/opt/data",
        "/srv",
        "/tmp/scratch",
        "/usr/share/data",
        "/usr/local/share/data",
        "/var/data",
        "/var/lib/data",
        "/dev2",
    ],
)
def test_volume_may_be_mounted_elsewhere(path):
    check_mount_path("S", path)


@given(st.dictionaries(st.sampled_from(["name", "volume", "mount_path", "groups", "links"]), JSON))
def test_whatever_is_listed_is_parsed_or_refused(document):
    base = {"name": "data", "volume": CLAIM, "mount_path": "/data"}
    with contextlib.suppress(ConfigError):
        parse_extra_volumes([base | document], SETTING)
