"""The test bed is what its README claims."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

GROUPS_OF = "(|(memberUid={0})(member=uid={0},ou=people,dc=example,dc=edu))"


def ldapsearch(bed, *words, user="uid=ada,ou=people", password="ada-secret"):
    """Search over StartTLS, which must succeed (-ZZ), verified against the bed's authority."""
    directory = bed.directory
    command = ["ldapsearch", "-x", "-ZZ", "-LLL", "-o", "ldif-wrap=no", "-b", directory.base_dn]
    command += ["-H", f"ldap://{bed.host_ip}:{directory.port}"]
    if user:
        command += ["-D", f"{user},{directory.base_dn}", "-w", password]
    environ = os.environ | {"LDAPTLS_CACERT": directory.ca_file}
    return subprocess.run(
        [*command, *words], env=environ, capture_output=True, text=True, check=False
    )


def run_pod(namespace, image, script, *, uid, host_path):
    """Run a script in a pod under the restricted Pod Security Standard, but for the volume."""
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe"},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsUser": uid,
                    "runAsGroup": uid,
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "probe",
                        "image": image,
                        "command": ["sh", "-ec", script],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [{"name": "homes", "mountPath": "/mnt/home"}],
                    }
                ],
                "volumes": [{"name": "homes", "hostPath": {"path": str(host_path)}}],
            },
        }
    )
    pod = namespace.wait_for(
        "pod", "probe", lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), 120
    )
    output = namespace.text("logs", "probe")
    assert pod["status"]["phase"] == "Succeeded", output
    return output


def test_node_is_ready(kubectl):
    conditions = [
        condition["status"]
        for node in kubectl.json("get", "nodes")["items"]
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert conditions
    assert set(conditions) == {"True"}


def test_registry_has_the_images(bed):
    assert set(bed.images) == {"lab", "stacks", "bare", "python", "hub"}
    for reference in bed.images.values():
        name, tag = reference.removeprefix(f"{bed.registry}/").split(":")
        with urllib.request.urlopen(f"http://{bed.registry}/v2/{name}/tags/list") as answer:
            assert tag in json.load(answer)["tags"]


def test_users_read_the_directory_over_starttls(bed):
    found = ldapsearch(bed, "(uid=zoe)", "cn", "userPassword")
    assert found.returncode == 0, found.stderr
    assert "cn:: Wm/DqyB7QnJhY2VzfSBNw7xsbGVy" in found.stdout  # Zoë {Braces} Müller
    assert "userPassword" not in found.stdout


def test_directory_shows_nothing_to_strangers(bed):
    anonymous = ldapsearch(bed, user=None)
    assert (anonymous.returncode, anonymous.stdout) == (50, "")  # insufficientAccessRights
    assert ldapsearch(bed, password="wrong").returncode == 49  # invalidCredentials


def test_directory_certificate_is_verified(bed, tmp_path):
    others = tmp_path / "pki"
    subprocess.run(
        [Path(__file__).with_name("pki.sh"), others, "other", "DNS:localhost"], check=True
    )
    command = ["ldapwhoami", "-x", "-H", f"ldaps://{bed.host_ip}:{bed.directory.tls_port}"]
    for authority, expected in ((bed.directory.ca_file, 0), (str(others / "ca.crt"), 255)):
        environ = os.environ | {"LDAPTLS_CACERT": authority}
        done = subprocess.run(command, env=environ, capture_output=True, check=False)
        assert done.returncode == expected, done.stderr


@pytest.mark.parametrize(("user", "count"), [("ada", 1), ("grace", 0), ("linus", 40), ("zoe", 3)])
def test_users_are_in_as_many_groups(bed, user, count):
    found = ldapsearch(bed, GROUPS_OF.format(user), "gidNumber")
    assert found.stdout.count("gidNumber: ") == count


def test_homes_have_the_directory_s_uids(bed):
    for name, uid in bed.homes.owners.items():
        found = ldapsearch(bed, f"(uidNumber={uid})", "uid", "gidNumber")
        assert f"uid: {name}\n" in found.stdout
        assert (bed.homes.real / name).stat().st_uid == uid
        assert (bed.homes.plain / name).stat().st_uid == uid


def test_root_is_squashed(bed):
    assert os.getuid() == 0
    assert (bed.homes.real / "ada").is_dir()
    with pytest.raises(PermissionError):
        (bed.homes.squashed / "ada").stat()


@pytest.mark.parametrize("export", ["plain", "squashed"])
def test_pod_writes_its_user_s_home_and_no_other(bed, namespace, export):
    file = f"/mnt/home/ada/{namespace.namespace}"
    output = run_pod(
        namespace,
        bed.images["lab"],
        f"id -u; ! ls /mnt/home/grace 2>/dev/null; echo hello > {file}; rm -v {file}",
        uid=10001,
        host_path=getattr(bed.homes, export),
    )
    assert output.splitlines() == ["10001", f"removed '{file}'"]


def test_pod_runs_under_the_runtime_s_seccomp_filter(bed, namespace):
    output = run_pod(
        namespace,
        bed.images["lab"],
        "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; ! unshare --user true",
        uid=10001,
        host_path=bed.homes.plain,
    )
    status = dict(line.split(":\t") for line in output.splitlines() if ":\t" in line)
    # 2: a filter, as in seccomp(2)
    assert status == {"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0000000000000000"}


@pytest.mark.parametrize(
    ("image", "commands"),
    [
        ("lab", ["jupyterhub-singleuser --version", "jupyter lab --version", "git --version"]),
        ("stacks", ["jupyterhub-singleuser --version", "test -u /usr/bin/sudo", "tini --version"]),
        ("stacks", ["start.sh true | grep 'stacks: a program of start-notebook.d'"]),
        ("bare", ["jupyterhub-singleuser --version", "jupyter lab --version"]),
        ("python", ["python3 --version"]),
        ("hub", ["jupyterhub --version", "configurable-http-proxy --version"]),
        ("hub", ["python3 -c 'import jhk8s_ext.hub.spawner, jhk8s_ext.hub.authenticators'"]),
    ],
)
def test_image_runs_its_programs(bed, namespace, image, commands):
    script = "\n".join(f"{command} >/dev/null; echo ok" for command in commands)
    output = run_pod(namespace, bed.images[image], script, uid=10001, host_path=bed.homes.plain)
    assert output.splitlines().count("ok") == len(commands)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("lab", ["jhk8s-start", "jupyterhub-singleuser", "sudo", "tini"]),
        ("stacks", ["jupyterhub-singleuser", "start.sh", "sudo", "tini"]),
        ("bare", ["jupyterhub-singleuser"]),
        ("python", []),
    ],
)
def test_image_has_no_more_than_it_should(bed, namespace, image, found):
    looked_up = "jhk8s-start jupyterhub-singleuser start.sh sudo tini"
    script = (
        f"for name in {looked_up}; do if command -v $name >/dev/null; then echo $name; fi; done"
    )
    output = run_pod(namespace, bed.images[image], script, uid=10001, host_path=bed.homes.plain)
    assert [line.rpartition("/")[2] for line in output.splitlines()] == found


def test_lab_image_has_the_start_shim(bed, namespace):
    script = "head -c 2 /usr/local/bin/jhk8s-start"
    output = run_pod(namespace, bed.images["lab"], script, uid=10001, host_path=bed.homes.plain)
    assert output == "#!"
