"""Who the user is: pure code, frozen dataclasses in and out."""

from jhk8s_ext.identity.profile import Group, Profile

__all__ = ["Group", "Profile"]
