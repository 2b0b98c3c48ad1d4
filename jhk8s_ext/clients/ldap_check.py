"""Finds filters and DNs that cannot work, without the directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldap3.core.exceptions import LDAPInvalidFilterError

from jhk8s_ext.clients.ldap_groups import in_chain
from jhk8s_ext.clients.ldap_message import encode_filter
from jhk8s_ext.clients.ldap_settings import Membership, Nesting
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.dn import is_dn

if TYPE_CHECKING:
    from jhk8s_ext.clients.ldap_settings import DirectorySettings

_CLASS = "LDAPProfileAuthenticator"
_EXAMPLE_DN = "uid=ada,dc=example"


def check_settings(settings: DirectorySettings) -> None:
    """Check filters, templates and DNs.

    Raises
    ------
    ConfigError
        Naming the first option that cannot work.
    """
    groups = settings.groups
    if groups.search_filter or groups.base or groups.rules.dns:
        _check_filter("group_search_filter", groups.search_filter, userdn=_EXAMPLE_DN, uid="ada")
    if settings.search_filter:
        _check_filter(
            "search_filter",
            settings.search_filter,
            username="ada",
            userattr=settings.user_attribute,
        )
    if settings.lookup:
        _check_filter(
            "lookup_dn_search_filter",
            settings.lookup.search_filter,
            login_attr=settings.user_attribute,
            login="ada",
        )
    for template in settings.bind_dn_templates:
        _check_template(template)
    for option, dn in (
        ("group_search_base", groups.base),
        ("user_search_base", settings.search_base),
    ):
        if dn and not is_dn(dn):
            raise ConfigError(f"{_CLASS}.{option}", f"{dn!r} is not a DN")
    _check_groups(settings)


def _check_groups(settings: DirectorySettings) -> None:
    groups = settings.groups
    for option, rules in (
        ("allowed_groups", groups.rules.allowed),
        ("blocked_groups", groups.rules.blocked),
        ("admin_groups", groups.rules.admin or ()),
    ):
        for rule in rules:
            if "=" in rule and not is_dn(rule):
                raise ConfigError(f"{_CLASS}.{option}", f"{rule!r} is not a DN")
            if not is_dn(rule) and not groups.base:
                raise ConfigError(
                    f"{_CLASS}.{option}",
                    f"{rule!r} is a name, for which group_search_base is needed",
                )
    if groups.nesting is Nesting.NO:
        return
    if not groups.base:
        raise ConfigError(f"{_CLASS}.nested_groups", "needs group_search_base")
    if groups.nesting is Nesting.IN_CHAIN:
        if groups.membership is Membership.MEMBER_OF:
            raise ConfigError(f"{_CLASS}.nested_groups", "in-chain needs group_membership search")
        if in_chain(groups.search_filter) == groups.search_filter:
            raise ConfigError(
                f"{_CLASS}.nested_groups", "in-chain needs (member={userdn}) in group_search_filter"
            )


def _check_filter(option: str, template: str, **values: str) -> None:
    try:
        encode_filter(template.format(**values))
    except (LookupError, ValueError, AttributeError) as error:
        known = " and ".join(f"{{{name}}}" for name in values)
        raise ConfigError(
            f"{_CLASS}.{option}", f"{template!r} may hold {known} and no other braces"
        ) from error
    except LDAPInvalidFilterError as error:
        raise ConfigError(f"{_CLASS}.{option}", f"{template!r} is not a filter: {error}") from error


def _check_template(template: str) -> None:
    option = f"{_CLASS}.bind_dn_template"
    try:
        dn = template.format(username="ada")
    except (LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            option, f"{template!r} may hold {{username}} and no other braces"
        ) from error
    # Active Directory takes ada@example.edu and EXAMPLE\ada too.
    is_name = "=" not in dn and ("@" in dn or "\\" in dn)
    if dn == template or not (is_dn(dn) or is_name):
        raise ConfigError(option, f"{template!r} is not a DN with {{username}} in it")
