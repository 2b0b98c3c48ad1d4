"""What an Active Directory looks like, in slapd: its attributes, as far as logins need them."""

from __future__ import annotations

import base64
import struct
import uuid
from typing import TYPE_CHECKING

from tests.support.slapd import BASE_DN, BED, SERVICE_DN, SERVICE_PASSWORD

DOMAIN = "S-1-5-21-1111111111-2222222222-3333333333"
OTHER_DOMAIN = "S-1-5-21-1-2-3"
ADA_GUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
AD_PEOPLE, AD_GROUPS = f"ou=people,{BASE_DN}", f"ou=groups,{BASE_DN}"

if TYPE_CHECKING:
    from pathlib import Path

_STRING, _INTEGER, _DN, _BINARY = 15, 27, 12, 40
_RULES = {
    _STRING: "EQUALITY caseIgnoreMatch",
    _INTEGER: "EQUALITY integerMatch",
    _DN: "EQUALITY distinguishedNameMatch",
    _BINARY: "EQUALITY octetStringMatch",
}
_ATTRIBUTES = {
    "sAMAccountName": _STRING,
    "userPrincipalName": _STRING,
    "objectSid": _BINARY,
    "objectGUID": _BINARY,
    "primaryGroupID": _INTEGER,
    "userAccountControl": _INTEGER,
    "accountExpires": _INTEGER,
    "memberOf": _DN,
    "nsAccountLock": _STRING,
    "loginDisabled": _STRING,
    "shadowExpire": _INTEGER,
}


def schema():
    lines = [
        f"attributetype ( 1.3.6.1.4.1.99999.1.{number} NAME '{name}' {_RULES[syntax]} "
        f"SYNTAX 1.3.6.1.4.1.1466.115.121.1.{syntax} )"
        for number, (name, syntax) in enumerate(_ATTRIBUTES.items())
    ]
    lines.append(
        "objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'adObject' SUP top AUXILIARY "
        f"MAY ( {' $ '.join(_ATTRIBUTES)} ) )"
    )
    return "\n".join(lines) + "\n"


def sid(number, domain=DOMAIN):
    authority, *parts = map(int, f"{domain}-{number}".split("-")[2:])
    packed = struct.pack("<Q", len(parts) << 8 | 1)[:2] + authority.to_bytes(6, "big")
    return packed + struct.pack(f"<{len(parts)}I", *parts)


def entry(dn, **attributes):
    lines = [f"dn: {dn}"]
    for name, values in attributes.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, bytes):
                lines.append(f"{name}:: {base64.b64encode(value).decode()}")
            else:
                lines.append(f"{name}: {value}")
    return "\n".join(lines) + "\n\n"


def user(name, number, *, domain=DOMAIN, groups=(), **more):
    return entry(
        f"cn={name.title()},{AD_PEOPLE}",
        objectClass=["inetOrgPerson", "adObject"],
        cn=name.title(),
        sn=name,
        sAMAccountName=name,
        userPrincipalName=f"{name}@example.edu",
        objectSid=sid(number, domain),
        primaryGroupID=513,
        userPassword=f"{name}-secret",
        **({"userAccountControl": 512} | more),
        **({"memberOf": [f"cn={group},{AD_GROUPS}" for group in groups]} if groups else {}),
    )


def group(name, number, *members, domain=DOMAIN, groups=()):
    return entry(
        f"cn={name},{AD_GROUPS}",
        objectClass=["groupOfNames", "adObject"],
        cn=name,
        objectSid=sid(number, domain),
        member=list(members) or SERVICE_DN,
        **({"memberOf": [f"cn={group},{AD_GROUPS}" for group in groups]} if groups else {}),
    )


def tree(referral=""):
    ada = f"cn=Ada,{AD_PEOPLE}"
    parts = [
        entry(BASE_DN, objectClass="domain", dc="example"),
        entry(AD_PEOPLE, objectClass="organizationalUnit", ou="people"),
        entry(AD_GROUPS, objectClass="organizationalUnit", ou="groups"),
        entry(
            SERVICE_DN,
            objectClass=["organizationalRole", "simpleSecurityObject"],
            cn="hub-service",
            userPassword=SERVICE_PASSWORD,
        ),
        user("ada", 1103, groups=["Students", "Foreign"], objectGUID=ADA_GUID.bytes_le),
        user("alien", 1103, domain=OTHER_DOMAIN),
        user("disabled", 1104, userAccountControl=514),
        user("expired", 1105, accountExpires=132223104000000000),
        user("forever", 1106, accountExpires=2**63 - 1),
        user("locked", 1107, nsAccountLock="TRUE"),
        user("closed", 1108, loginDisabled="TRUE"),
        user("shadow", 1109, shadowExpire=1),
        group("Domain Users", 513),
        group("Students", 1201, ada, groups=["Everybody"]),
        # Everybody and Circle are members of each other.
        group(
            "Everybody",
            1202,
            f"cn=Students,{AD_GROUPS}",
            f"cn=Circle,{AD_GROUPS}",
            groups=["Circle"],
        ),
        group("Circle", 1203, f"cn=Everybody,{AD_GROUPS}", groups=["Everybody"]),
        group("Foreign", 1201, ada, domain=OTHER_DOMAIN),
    ]
    if referral:
        parts.append(
            entry(
                f"ou=elsewhere,{AD_GROUPS}",
                objectClass=["referral", "extensibleObject"],
                ou="elsewhere",
                ref=referral,
            )
        )
    return "".join(parts)


def write_source(folder: Path, referral="") -> Path:
    """Write what slapd is made from, in the place of the test bed's folder."""
    folder.mkdir()
    (folder / "ad.schema").write_text(schema())
    bed = BED / "directory"
    (folder / "posix.schema").write_text((bed / "posix.schema").read_text())
    conf = (bed / "slapd.conf").read_text()
    include = "include         ${SOURCE}/posix.schema\n"
    assert include in conf
    (folder / "slapd.conf").write_text(
        conf.replace(include, include + "include         ${SOURCE}/ad.schema\n")
    )
    (folder / "tree.ldif").write_text(tree(referral))
    return folder
