import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home import build_home, is_inner_path
from jhk8s_ext.pod.home_links import HomeLink, parse_home_links
from jhk8s_ext.pod.template import expand_fields
from tests.support.pods import (
    HOMES,
    HOST_PATH,
    LINKS,
    NFS,
    OWN_CLAIM,
    PVC_NAME,
    SHARED_CLAIM,
    make_home_settings,
)
from tests.support.profiles import awkward_text, make_profile, profiles

SOURCES = {
    "claim": SHARED_CLAIM,
    "own claim": OWN_CLAIM,
    "nfs": NFS,
    "hostPath": HOST_PATH,
    "csi": {"csi": {"driver": "x", "volumeAttributes": {"share": "{uid}"}}},
}
EXPANDED = {
    "claim": SHARED_CLAIM,
    "own claim": {"persistentVolumeClaim": {"claimName": PVC_NAME}},
    "nfs": NFS,
    "hostPath": HOST_PATH,
    "csi": {"csi": {"driver": "x", "volumeAttributes": {"share": "10001"}}},
}
EPHEMERAL_VOLUME = {"name": "jhk8s-ephemeral", "emptyDir": {}}
EPHEMERAL_MOUNT = {"name": "jhk8s-ephemeral", "mountPath": "/home"}


def home_of(volume=None, profile=None, **changes):
    return build_home(profile or make_profile(), make_home_settings(volume, **changes), PVC_NAME)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("subdirectory", "mount_path"), [("{username}", "/home"), ("", "/home/ada"), ("ada", "/home")]
)
def test_direct_home_is_the_real_one(kind, subdirectory, mount_path):
    home = home_of(SOURCES[kind], subdirectory=subdirectory)
    assert home.fragment.volumes == [{"name": "jhk8s-homes", **EXPANDED[kind]}]
    assert home.fragment.mounts == [{"name": "jhk8s-homes", "mountPath": mount_path}]
    assert (home.path, home.kind, home.store, home.links) == ("/home/ada", "direct", None, ())


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("subdirectory", "mount_path", "store"),
    [
        ("{username}", "/mnt/home", "/mnt/home/ada"),
        ("a/{username}", "/mnt/home", "/mnt/home/a/ada"),
        ("{uid}", "/mnt/home", "/mnt/home/10001"),
        ("", "/mnt/home/ada", "/mnt/home/ada"),
    ],
)
def test_linked_home_is_made_beside_the_real_one(kind, subdirectory, mount_path, store):
    home = home_of(SOURCES[kind], layout="linked", subdirectory=subdirectory)
    assert home.fragment.volumes == [EPHEMERAL_VOLUME, {"name": "jhk8s-homes", **EXPANDED[kind]}]
    assert home.fragment.mounts == [
        EPHEMERAL_MOUNT,
        {"name": "jhk8s-homes", "mountPath": mount_path},
    ]
    assert (home.path, home.kind, home.store) == ("/home/ada", "ephemeral", store)
    assert home.links == parse_home_links(LINKS)


@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_without_a_volume_nothing_lasts(layout):
    home = home_of(layout=layout)
    assert home.fragment.volumes == [EPHEMERAL_VOLUME]
    assert home.fragment.mounts == [EPHEMERAL_MOUNT]
    assert home.fragment.pod_security == {}
    assert (home.path, home.kind, home.store, home.links) == ("/home/ada", "ephemeral", None, ())


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("layout", ["direct", "linked"])
@pytest.mark.parametrize("subdirectory", ["{username}", ""])
def test_only_a_claim_of_the_users_own_is_opened_by_fs_group(kind, layout, subdirectory):
    home = home_of(SOURCES[kind], layout=layout, subdirectory=subdirectory)
    opened = {"fsGroup": 10001, "fsGroupChangePolicy": "OnRootMismatch"}
    is_own = not subdirectory or kind == "own claim"
    is_own_claim = is_own and "persistentVolumeClaim" in SOURCES[kind]
    assert home.fragment.pod_security == (opened if is_own_claim else {})


WHOLE_HOMES = {name: home for name, home in HOMES.items() if not home.sub_path}


@pytest.mark.parametrize("home", WHOLE_HOMES.values(), ids=WHOLE_HOMES)
@given(profile=profiles())
def test_home_is_never_mounted_by_sub_path_unasked(home, profile):
    try:
        built = build_home(profile, home, PVC_NAME)
    except ConfigError:
        return
    assert all(mount.keys() == {"name", "mountPath"} for mount in built.fragment.mounts)
    volumes = {volume["name"] for volume in built.fragment.volumes}
    assert {mount["name"] for mount in built.fragment.mounts} == volumes


@pytest.mark.parametrize("subdirectory", ["{username}", "people/{username}", "{uid}"])
@pytest.mark.parametrize("kind", SOURCES)
def test_direct_home_by_sub_path_is_the_users_folder_alone(kind, subdirectory):
    home = home_of(SOURCES[kind], subdirectory=subdirectory, sub_path=True)
    folder = subdirectory.format(username="ada", uid=10001)
    # The folder need not be called as the home is.
    assert home.fragment.mounts == [
        {"name": "jhk8s-homes", "mountPath": "/home/ada", "subPath": folder}
    ]
    assert (home.path, home.kind, home.store) == ("/home/ada", "direct", None)


@pytest.mark.parametrize("subdirectory", ["{username}", "people/{username}", "{uid}"])
def test_linked_home_by_sub_path_lies_where_the_whole_volume_would_have_it(subdirectory):
    changes = {"layout": "linked", "subdirectory": subdirectory}
    home = home_of(NFS, **changes, sub_path=True)
    assert home.store == home_of(NFS, **changes).store
    assert home.fragment.mounts == [
        EPHEMERAL_MOUNT,
        {
            "name": "jhk8s-homes",
            "mountPath": home.store,
            "subPath": home.store.removeprefix("/mnt/home/"),
        },
    ]


@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_sub_path_of_nothing_is_refused(layout):
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner.home_sub_path: needs home_subdir"):
        home_of(NFS, layout=layout, subdirectory="", sub_path=True)


@pytest.mark.parametrize(
    ("volume", "subdirectory", "sub_path", "is_shared"),
    [
        (NFS, "{username}", False, True),
        (NFS, "{username}", True, False),
        (NFS, "{uid}", True, False),
        # One folder for all, in whatever way it is mounted.
        (NFS, "everybody", True, True),
        (NFS, "{gid}", True, True),
        (NFS, "", False, True),
        (SHARED_CLAIM, "{username}", False, True),
        (SHARED_CLAIM, "{username}", True, False),
        (OWN_CLAIM, "", False, False),
        (OWN_CLAIM, "home", False, False),
        (OWN_CLAIM, "home", True, False),
        ({"nfs": {"server": "x", "path": "/home/{username}"}}, "", False, False),
        ({"nfs": {"server": "x", "path": "/groups/{gid}"}}, "", False, True),
        ({"csi": {"driver": "x", "volumeAttributes": {"a": ["{uid}"]}}}, "", False, False),
        ({}, "{username}", False, False),
    ],
)
@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_home_is_shared_where_others_are_within_reach(
    layout, volume, subdirectory, sub_path, is_shared
):
    profile = make_profile(home="/srv/people/home")
    if not sub_path and layout == "direct" and subdirectory:
        folder = subdirectory.format(username="ada", uid=10001)
        profile = make_profile(home=f"/srv/{folder}")
    home = home_of(volume, profile, layout=layout, subdirectory=subdirectory, sub_path=sub_path)
    assert home.is_shared is is_shared


@pytest.mark.parametrize(
    ("volume", "own_claim"),
    [
        (OWN_CLAIM, PVC_NAME),
        ({"persistentVolumeClaim": {"claimName": "home-{uid}"}}, "home-10001"),
        (SHARED_CLAIM, ""),
        ({"nfs": {"server": "x", "path": "/home/{username}"}}, ""),
        ({}, ""),
    ],
)
def test_own_claim_is_named(volume, own_claim):
    assert home_of(volume, subdirectory="").own_claim == own_claim


@pytest.mark.parametrize(
    ("changes", "setting", "problem"),
    [
        ({"subdirectory": "{user}"}, "home_subdirectory", "unknown field {user} in '{user}'"),
        ({"subdirectory": "{}"}, "home_subdirectory", "unknown field {} in '{}'"),
        ({"subdirectory": "../ada"}, "home_subdirectory", "'../ada' is not a path inside the vol"),
        ({"subdirectory": ".."}, "home_subdirectory", "'..' is not a path inside the volume"),
        ({"subdirectory": "."}, "home_subdirectory", "'.' is not a path inside the volume"),
        ({"subdirectory": "/ada"}, "home_subdirectory", "'/ada' is not a path inside the volume"),
        ({"subdirectory": "a//b"}, "home_subdirectory", "'a//b' is not a path inside the volume"),
        ({"subdirectory": "ada\n"}, "home_subdirectory", r"'ada\n' is not a path inside the vol"),
        ({"volume": {"nfs": {"path": "/{cn}"}}}, "home_volume", "unknown field {cn} in '/{cn}'"),
        ({"volume": {"persistentVolumeClaim": "homes"}}, "home_volume", "is not one Kubernetes vo"),
        ({"volume": {"nfs": {}, "name": "homes"}}, "home_volume", "is not one Kubernetes volume"),
        (
            {"volume": {"persistentVolumeClaim": {"claim": "homes"}}},
            "home_volume.persistentVolumeClaim.claimName",
            "is missing, or no text",
        ),
    ],
)
@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_template_that_cannot_work_is_refused(layout, changes, setting, problem):
    with pytest.raises(ConfigError) as caught:
        home_of(**{"volume": NFS, "layout": layout} | changes)
    assert caught.value.setting == f"ProfileKubeSpawner.{setting}"
    assert str(caught.value).startswith(f"ProfileKubeSpawner.{setting}: {problem}")


@pytest.mark.parametrize(
    ("subdirectory", "home"),
    [
        ("a/{username}", "/home/ada"),
        ("{uid}", "/home/ada"),
        ("da", "/home/ada"),
        ("home/{username}", "/home/ada"),
        ("{username}", "/ada"),
        ("", "/"),
    ],
)
def test_direct_home_has_to_lie_where_the_profile_says(subdirectory, home):
    with pytest.raises(ConfigError, match=r"is not the end of the home .* as home_layout 'direct'"):
        home_of(NFS, make_profile(home=home), subdirectory=subdirectory)


@pytest.mark.parametrize(
    ("home", "subdirectory", "mount_path"),
    [
        ("/users/staff/ada", "staff/{username}", "/users"),
        ("/home/10001", "{uid}", "/home"),
        ("/ada", "", "/ada"),
    ],
)
def test_direct_home_may_lie_elsewhere(home, subdirectory, mount_path):
    built = home_of(NFS, make_profile(home=home), subdirectory=subdirectory)
    assert built.fragment.mounts[0]["mountPath"] == mount_path
    assert built.path == home


@pytest.mark.parametrize(("volume", "layout"), [({}, "direct"), (NFS, "linked")])
@pytest.mark.parametrize("home", ["/ada", "/"])
def test_ephemeral_home_needs_a_folder_to_lie_in(volume, layout, home):
    with pytest.raises(ConfigError, match=r"^ProfileAuthenticator.home_template: .* root fold"):
        home_of(volume, make_profile(home=home), layout=layout)


@pytest.mark.parametrize(
    ("mount_root", "subdirectory", "home"),
    [
        ("/home", "{username}", "/home/ada"),
        ("/home", "", "/home/ada"),
        ("/home/ada/real", "{username}", "/home/ada"),
        ("/home/ada", "", "/home/ada"),
        ("/mnt", "{username}", "/mnt/home/ada"),
    ],
)
def test_real_home_and_ephemeral_home_keep_out_of_each_others_way(mount_root, subdirectory, home):
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner.home_mount_root: the real home"):
        home_of(
            NFS,
            make_profile(home=home),
            layout="linked",
            mount_root=mount_root,
            subdirectory=subdirectory,
        )


@pytest.mark.parametrize("mount_root", ["/homes", "/home/.real", "/mnt/home/of/all"])
def test_real_home_may_lie_anywhere_else(mount_root):
    home = home_of(NFS, layout="linked", mount_root=mount_root)
    assert home.store == f"{mount_root}/ada"


def test_volume_of_the_settings_is_left_alone():
    settings = make_home_settings(OWN_CLAIM, subdirectory="")
    home = build_home(make_profile(), settings, PVC_NAME)
    home.fragment.volumes[0]["persistentVolumeClaim"]["claimName"] = "changed"
    assert settings.volume == {"persistentVolumeClaim": {"claimName": "{pvc_name}"}}


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("{a}-{b}", "A-{a}"),
        ("{b}", "{a}"),
        ("{{a}}", "{A}"),
        ("{a", "{a"),
        ("a}", "a}"),
        ("", ""),
        (7, 7),
        (None, None),
        (True, True),
        ({"x": ["{a}", {"y": "{b}"}], "{a}": 1}, {"x": ["A", {"y": "{a}"}], "{a}": 1}),
    ],
)
def test_fields_are_expanded_once_in_every_text(template, expanded):
    assert expand_fields("S", template, {"a": "A", "b": "{a}"}) == expanded


@given(awkward_text)
def test_value_is_never_expanded_again(value):
    assert expand_fields("S", "<{a}|{b}>", {"a": value, "b": "{a}"}) == f"<{value}|{{a}}>"
    assert expand_fields("S", ["{a}"], {"a": value}) == [value]


@pytest.mark.parametrize("template", ["{c}", "{a.__class__}", "{a!r}", "{a:>9}", "{0}", "{}"])
def test_unknown_field_is_refused(template):
    with pytest.raises(ConfigError) as caught:
        expand_fields("Setting", template, {"a": "A", "b": "B"})
    assert str(caught.value) == (
        f"Setting: unknown field {template} in {template!r}; known are ['a', 'b']"
    )


@pytest.mark.parametrize(
    ("table", "links"),
    [
        ({}, []),
        ({"work": "."}, [("work", ".", "directory", "0700")]),
        ({"a/b": "c/d"}, [("a/b", "c/d", "directory", "0700")]),
        ({".ssh": {"target": "ssh"}}, [(".ssh", "ssh", "directory", "0700")]),
        ({"x": {"target": "y", "mode": "755"}}, [("x", "y", "directory", "755")]),
        (
            {".gitconfig": {"target": "git", "kind": "file", "mode": "0600"}},
            [(".gitconfig", "git", "file", "0600")],
        ),
        ({"...": "..x"}, [("...", "..x", "directory", "0700")]),
    ],
)
def test_link_table_is_parsed(table, links):
    assert parse_home_links(table) == tuple(
        HomeLink(path=path, target=target, kind=kind, mode=mode, essential=False)
        for path, target, kind, mode in links
    )


@pytest.mark.parametrize(
    ("path", "value", "field", "problem"),
    [
        ("work", None, "", "expected a text or an object, not None"),
        ("work", ["x"], "", "expected a text or an object, not ['x']"),
        ("work", 7, "", "expected a text or an object, not 7"),
        ("work", {"target": "x", "modes": "0700"}, "", "unknown key 'modes'"),
        ("work", {"target": "x", 1: "0700"}, "", "unknown key '1'"),
        ("", "x", "", "'' is not a path inside the home"),
        (".", "x", "", "'.' is not a path inside the home"),
        ("..", "x", "", "'..' is not a path inside the home"),
        ("../x", "x", "", "'../x' is not a path inside the home"),
        ("a/../../x", "x", "", "'a/../../x' is not a path inside the home"),
        ("/etc", "x", "", "'/etc' is not a path inside the home"),
        ("a/", "x", "", "'a/' is not a path inside the home"),
        ("a\0b", "x", "", r"'a\x00b' is not a path inside the home"),
        ("a\n", "x", "", r"'a\n' is not a path inside the home"),
        (2027, "x", "", "2027 is not a path inside the home"),
        (None, "x", "", "None is not a path inside the home"),
        ("work", {}, ".target", "None is neither a path inside the real home nor absolute"),
        ("work", "", ".target", "'' is neither a path inside the real home nor absolute"),
        ("work", "..", ".target", "'..' is neither a path inside the real home nor absolute"),
        (
            "work",
            "/etc/..",
            ".target",
            "'/etc/..' is neither a path inside the real home nor absolute",
        ),
        (
            "work",
            "a/../..",
            ".target",
            "'a/../..' is neither a path inside the real home nor absolute",
        ),
        ("work", {"target": 7}, ".target", "7 is neither a path inside the real home nor absolute"),
        ("work", {"target": "x", "kind": "dir"}, ".kind", "'dir' is neither"),
        ("work", {"target": "x", "kind": ["file"]}, ".kind", "['file'] is neither"),
        ("work", {"target": "x", "mode": 700}, ".mode", "700 is not octal text"),
        ("work", {"target": "x", "mode": "0o700"}, ".mode", "'0o700' is not octal text"),
        ("work", {"target": "x", "mode": "4755"}, ".mode", "'4755' is not octal text"),
        ("work", {"target": "x", "mode": "0780"}, ".mode", "'0780' is not octal text"),
        ("work", {"target": "x", "mode": "700\n"}, ".mode", r"'700\n' is not octal text"),
    ],
)
def test_link_that_cannot_work_is_refused(path, value, field, problem):
    with pytest.raises(ConfigError) as caught:
        parse_home_links({"ok": "ok", path: value})
    assert caught.value.setting == f"ProfileKubeSpawner.home_links[{path!r}]{field}"
    assert str(caught.value).startswith(f"{caught.value.setting}: {problem}")


@given(st.text(st.sampled_from("./ab\n"), max_size=12))
def test_inner_path_stays_inside(path):
    if is_inner_path(path):
        depth = 0
        for segment in path.split("/"):
            depth += -1 if segment == ".." else 1
            assert depth > 0
        assert not re.search(r"^/|/$|//|\n", path)


@pytest.mark.parametrize("subdirectory", ["{username}", ""])
def test_one_claim_that_kubespawner_makes_for_all_is_nobodys_own(subdirectory):
    settings = make_home_settings(OWN_CLAIM, subdirectory=subdirectory)
    home = build_home(make_profile(), settings, "homes", pvc_is_own=False)
    assert home.is_shared
    assert home.own_claim == ""
    # Without a subdirectory the operator says that the volume is the user's.
    assert bool(home.fragment.pod_security) is not bool(subdirectory)
