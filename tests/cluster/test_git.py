"""Git and ssh in a user's server, with what the operator has configured and nothing by hand."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import unquote

import pytest

from tests.support.git_server import GitServer, SshServer, make_key, make_repository
from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess
from tests.support.users import read_user

pytestmark = pytest.mark.cluster

TOKEN = "t0ken-of-ada/that nobody+may%see:@"

#: What lasts, on an export that squashes root.
LINKS = {
    ".gitconfig": {"target": "config/gitconfig", "kind": "file"},
    ".git-credentials": {"target": "config/git-credentials", "kind": "file"},
}

#: Runs one command line in the user's server; says how it ended and what it printed.
RUN = """
import json, subprocess
done = subprocess.run({command!r}, shell=True, capture_output=True, text=True, timeout=50)
print(json.dumps([done.returncode, done.stdout + done.stderr]))
"""


@pytest.fixture(scope="module")
def by_file(bed, tmp_path_factory):
    """A git server that takes what the login has left: here, what the directory calls the user."""
    folder = tmp_path_factory.mktemp("by-file")
    make_repository(folder, "course", **{"lesson.txt": "of the file\n"})
    subject = f"uid=ada,ou=people,{bed.directory.base_dn}"
    server = GitServer(folder, bed.host_ip, "x-access-token", subject)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def by_helper(bed, tmp_path_factory):
    """A git server that takes a token which the operator keeps in a Secret."""
    folder = tmp_path_factory.mktemp("by-helper")
    make_repository(folder, "course", **{"lesson.txt": "of the helper\n"})
    server = GitServer(folder, bed.host_ip, "ada", TOKEN)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ssh_server(bed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    make_repository(folder, "course", **{"lesson.txt": "by ssh\n"})
    server = SshServer(folder, bed.host_ip)
    server.repository = folder / "course.git"
    yield server
    server.stop()


@pytest.fixture(scope="module")
def other_ssh_server(bed, tmp_path_factory):
    """One whose key is not the one that the operator has pinned."""
    server = SshServer(tmp_path_factory.mktemp("other-ssh"), bed.host_ip)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def git_options(by_file, by_helper, module_namespace):
    # As kubectl makes it of a file.
    tokens = {"metadata": {"name": "git-tokens"}, "stringData": {"ada": f"{TOKEN}\n"}}
    module_namespace.apply({"apiVersion": "v1", "kind": "Secret", **tokens})
    return {
        "git_credentials": [
            {"host": by_file.host, "token": {"auth_state": "profile.subject"}},
            {
                "host": by_helper.host,
                "username": "{username}",
                "token": {"secret": "git-tokens", "key": "{username}"},
                "keep": "helper",
            },
        ]
    }


@pytest.fixture(scope="module")
def ssh_options(bed, ssh_server, other_ssh_server, tmp_path_factory):
    wrong = make_key(tmp_path_factory.mktemp("key") / "wrong")
    return {
        "ssh_known_hosts": "# Of the operator's.\n"
        f"{ssh_server.known_host}\n"
        f"[{bed.host_ip}]:{other_ssh_server.port} {wrong}\n",
        "ssh_hosts": {
            bed.host_ip: {
                "User": "root",
                "IdentityFile": "~/.ssh/user_syskey",
                "RequestTTY": False,
                "BatchMode": True,
            }
        },
    }


@pytest.fixture(scope="module")
def hub(bed, git_options, ssh_options, module_namespace, tmp_path_factory):
    lasting = [bed.homes.real / "ada" / link["target"] for link in LINKS.values()]
    for path in lasting:
        path.unlink(missing_ok=True)
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {"ProfileKubeSpawner": {**git_options, **ssh_options, "home_links": LINKS}},
        ),
    )
    yield process
    process.stop()
    for path in lasting:
        path.unlink(missing_ok=True)


async def run(client, command):
    """Run a command line in the user's server; return what it printed."""
    code, output = json.loads(await client.run_code(RUN.format(command=command)))
    assert code == 0, output
    return output


async def fails(client, command):
    code, output = json.loads(await client.run_code(RUN.format(command=command)))
    assert code != 0, output
    return output


@pytest.fixture
async def ada(hub):
    async with HubClient(hub.url, "ada") as client:
        assert (await client.log_in("ada-secret"))[0] == 200
        await client.start_server()
        yield client


def show(repository, what):
    command = ["git", "-C", str(repository), "show", what]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def trusting(server):
    """The shell's words that let git trust the test's authority."""
    certificate = server.ca_file.read_text()
    return f"cat > /tmp/ca.crt <<'EOF'\n{certificate}EOF\nexport GIT_SSL_CAINFO=/tmp/ca.crt\n"


@pytest.mark.parametrize("kind", ["by_file", "by_helper"])
async def test_somebody_clones_commits_and_pushes(bed, request, ada, kind):
    server = request.getfixturevalue(kind)
    said = await run(
        ada,
        trusting(server)
        + f"rm -rf /tmp/{kind}; git clone --quiet https://{server.host}/course.git /tmp/{kind}\n"
        f"cd /tmp/{kind}; cat lesson.txt; echo more >> lesson.txt; git commit --quiet -am More\n"
        "git push --quiet; git log -1 --format='%an <%ae>'; cat .git/config",
    )
    person = read_user(bed.directory, "ada")
    lines = said.splitlines()
    assert lines[0] == ("of the file" if kind == "by_file" else "of the helper")
    assert lines[1] == f"{person.full_name} <ada@example.edu>"
    assert show(server.folder / "course.git", "main:lesson.txt").splitlines()[1:] == ["more"]
    # Only who has to show a token does, and to this server alone.
    assert set(server.asked) == {"", server.authorization}
    assert "t0ken" not in said
    assert "uid=" not in said


async def test_the_file_has_one_line_and_nobody_else_reads_it(bed, ada, by_file):
    said = await run(ada, "stat -Lc '%a %u' ~/.git-credentials; cat ~/.git-credentials")
    assert said.splitlines()[0] == f"600 {read_user(bed.directory, 'ada').uid}"
    [line] = said.splitlines()[1:]
    assert line.startswith("https://x-access-token:uid%3dada%2cou%3dpeople")
    assert unquote(line).endswith(f"@{by_file.host}")


async def test_the_next_start_replaces_that_line_and_no_other(bed, ada, by_file):
    mine = "# mine\nhttps://ada:mine@git.example.org"
    stale = f"https://x-access-token:old@{by_file.host}"
    await run(ada, f"printf '%s\n' '{stale}' '{mine}' > ~/.git-credentials")
    await ada.stop_server()
    await ada.start_server()
    said = await run(ada, "cat ~/.git-credentials; readlink ~/.git-credentials")
    ours, *others = said.splitlines()
    assert "old" not in ours
    assert unquote(ours).endswith(f"@{by_file.host}")
    assert others == [*mine.splitlines(), "/mnt/home/ada/config/git-credentials"]
    # No lock and no other leftover.
    config = bed.homes.real / "ada/config"
    assert sorted(path.name for path in config.glob("git-credentials*")) == ["git-credentials"]


async def test_no_token_is_in_the_servers_environment(ada):
    said = await run(
        ada, "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; cat /proc/*/cmdline"
    )
    assert "GIT_CONFIG_SYSTEM=/etc/jhk8s/gitconfig" in said
    assert "JHK8S_GIT" not in said
    assert "t0ken" not in said
    assert "ou=people" not in said


async def test_no_token_is_in_the_pod_or_in_a_log(ada, hub, module_namespace):
    pod = module_namespace.json("get", "pod", "jupyter-ada")
    logs = module_namespace.text("logs", "jupyter-ada") + hub.log.read_text()
    described = module_namespace.text("describe", "pod", "jupyter-ada")
    for shown in (json.dumps(pod), logs, described):
        assert "t0ken" not in shown
        assert "ou%3dpeople" not in shown
    annotations = json.dumps(pod["metadata"]["annotations"])
    assert "uid=ada" not in annotations


async def test_what_users_configure_themselves_wins(ada):
    said = await run(
        ada,
        "git config --global user.email mine@example.org; git config user.email\n"
        "git config user.name; ls -l ~/.gitconfig; git config --global --unset user.email",
    )
    assert said.splitlines()[0] == "mine@example.org"
    assert "config/gitconfig" in said


async def test_somebody_without_a_token_has_a_server(bed, hub, by_file, by_helper):
    async with HubClient(hub.url, "grace") as client:
        assert (await client.log_in("grace-secret"))[0] == 200
        await client.start_server()
        said = await fails(
            client,
            trusting(by_helper)
            + f"GIT_TERMINAL_PROMPT=0 git ls-remote https://{by_helper.host}/course.git",
        )
        assert "terminal prompts disabled" in said
        assert "cat:" not in said
        await client.stop_server()


async def test_a_pinned_host_is_known_before_its_first_use(bed, ada, ssh_server):
    key = ssh_server.user_key.read_text()
    url = f"ssh://{bed.host_ip}:{ssh_server.port}{ssh_server.repository}"
    said = await run(
        ada,
        "umask 077; mkdir -p ~/.ssh; rm -f ~/.ssh/known_hosts\n"
        f"cat > ~/.ssh/user_syskey <<'EOF'\n{key}EOF\nrm -rf /tmp/by_ssh\n"
        f"git clone --quiet {url} /tmp/by_ssh\ncat /tmp/by_ssh/lesson.txt",
    )
    assert said == "by ssh\n"
    files = "ls -l /etc/ssh/ssh_config.d/10-jhk8s.conf /etc/ssh/ssh_config; cat /etc/ssh/ssh_config"
    assert "Include /etc/ssh/ssh_config.d/*.conf" in await run(ada, files)


async def test_a_host_with_another_key_is_refused(bed, ada, other_ssh_server):
    said = await fails(ada, f"ssh -p {other_ssh_server.port} {bed.host_ip} true")
    assert (
        "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said
    )
