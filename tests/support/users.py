"""What the directory says of somebody, asked without any code of ours."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

import ldap3


@dataclass(frozen=True)
class DirectoryUser:
    uid: int
    gid: int
    group_names: dict[int, str]
    full_name: str


def read_user(directory: Any, username: str) -> DirectoryUser:
    """Read an account of ou=people as the service account.

    Parameters
    ----------
    directory
        The ``directory`` of the test bed's description.
    username
        The account's ``uid``.
    """
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=directory.ca_file)
    server = ldap3.Server("127.0.0.1", directory.port, tls=tls, get_info=ldap3.NONE)
    connection = ldap3.Connection(
        server,
        directory.service_dn,
        directory.service_password,
        auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND,
    )
    # Not a with statement: ldap3 then leaves a connection open that was bound before.
    try:
        dn = f"uid={username},ou=people,{directory.base_dn}"
        wanted = ["uidNumber", "gidNumber", "cn"]
        connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=wanted)
        (user,) = connection.entries
        groups = f"(|(memberUid={username})(member={dn}))"
        base = f"ou=groups,{directory.base_dn}"
        connection.search(base, groups, attributes=["gidNumber", "cn"])
        names = {int(str(group.gidNumber)): str(group.cn) for group in connection.entries}
    finally:
        connection.unbind()
    return DirectoryUser(
        uid=int(str(user.uidNumber)),
        gid=int(str(user.gidNumber)),
        group_names=names,
        full_name=str(user.cn),
    )
