"""/etc/passwd and /etc/group of the container, so that ids have names in any image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from collections.abc import Callable

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest

PASSWD_ANNOTATION = "jhk8s-ext/passwd"  # noqa: S105 - the name of a file, no password
GROUP_ANNOTATION = "jhk8s-ext/group"

#: The accounts of base-passwd on Debian 12 and Ubuntu 24.04, which programs look up by name.
_SYSTEM_PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
games:x:5:60:games:/usr/games:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
lp:x:7:7:lp:/var/spool/lpd:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
news:x:9:9:news:/var/spool/news:/usr/sbin/nologin
uucp:x:10:10:uucp:/var/spool/uucp:/usr/sbin/nologin
proxy:x:13:13:proxy:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
list:x:38:38:Mailing List Manager:/var/list:/usr/sbin/nologin
irc:x:39:39:ircd:/run/ircd:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""  # noqa: S105 - the lines of a file, no password

#: The user of most notebook images: of the Docker Stacks, repo2docker, Zero to JupyterHub. The
#: start.sh of the former ends without a word where nobody has that name
#: (https://github.com/jupyter/docker-stacks/pull/1649).
_IMAGE_USER = "jovyan"
_IMAGE_PASSWD = f"{_IMAGE_USER}:x:1000:100::/home/jovyan:/bin/bash\n"  # no password either

_SYSTEM_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
lp:x:7:
mail:x:8:
news:x:9:
uucp:x:10:
man:x:12:
proxy:x:13:
kmem:x:15:
dialout:x:20:
fax:x:21:
voice:x:22:
cdrom:x:24:
floppy:x:25:
tape:x:26:
sudo:x:27:
audio:x:29:
dip:x:30:
www-data:x:33:
backup:x:34:
operator:x:37:
list:x:38:
irc:x:39:
src:x:40:
shadow:x:42:
utmp:x:43:
video:x:44:
sasl:x:45:
plugdev:x:46:
staff:x:50:
games:x:60:
users:x:100:
nogroup:x:65534:
"""


def build_accounts(profile: Profile) -> PodFragment:
    """Mount account files made for the profile over the image's own.

    The files travel as annotations and appear through a downward-API volume: no init container,
    no ConfigMap and no write access to the image is needed.
    """
    return PodFragment(
        origin="ProfileKubeSpawner (accounts)",
        annotations={
            PASSWD_ANNOTATION: build_passwd(profile),
            GROUP_ANNOTATION: build_group(profile),
        },
        volumes=[
            {
                "name": "jhk8s-accounts",
                "downwardAPI": {
                    "items": [
                        annotation_file("passwd", PASSWD_ANNOTATION),
                        annotation_file("group", GROUP_ANNOTATION),
                    ]
                },
            }
        ],
        mounts=[
            {
                "name": "jhk8s-accounts",
                "mountPath": f"/etc/{file}",
                "subPath": file,
                "readOnly": True,
            }
            for file in ("passwd", "group")
        ],
    )


def annotation_file(path: str, annotation: str) -> Manifest:
    """Return the downward-API item that shows an annotation as a file."""
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}


def build_passwd(profile: Profile) -> str:
    """Return the text of /etc/passwd, passwd(5)."""
    system = _without(
        _SYSTEM_PASSWD, lambda name, uid: uid == profile.uid or name == profile.username
    )
    own = (
        f"{profile.username}:x:{profile.uid}:{profile.gid}:"
        f"{gecos(profile.full_name)}:{profile.home}:{profile.shell}\n"
    )
    # Last: who looks for the id finds the user, whose it may be.
    return system + own + ("" if profile.username == _IMAGE_USER else _IMAGE_PASSWD)


def build_group(profile: Profile) -> str:
    """Return the text of /etc/group, group(5), with the user as a member of every group."""
    system = _without(_SYSTEM_GROUP, lambda _, gid: gid in profile.gids)
    groups = (f"{group.name}:x:{group.gid}:{profile.username}\n" for group in profile.groups)
    return system + "".join(groups)


def _without(lines: str, is_taken: Callable[[str, int], bool]) -> str:
    """Leave out the system entries whose name or id is the user's."""
    kept = []
    for line in lines.splitlines(keepends=True):
        name, _, number = line.split(":")[:3]
        if not is_taken(name, int(number)):
            kept.append(line)
    return "".join(kept)


def gecos(full_name: str) -> str:
    """Return a name as it may stand in passwd(5)."""
    # A colon would end the field, a comma starts the next part of GECOS, a newline the next line.
    return " ".join(
        "".join(c if c.isprintable() and c not in ":," else " " for c in full_name).split()
    )
