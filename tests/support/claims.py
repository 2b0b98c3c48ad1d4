"""Whatever a provider's JSON may hold."""

from __future__ import annotations

from hypothesis import strategies as st

# What a provider's JSON may hold: halves of surrogate pairs, very long numbers, anything nested.
TEXT = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["root:x:0:0", "{username}", "{0.__class__}", "a\nb", "a\0b", "\ud800", "", "9" * 5000]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS | st.just(10**400),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=4),
    max_leaves=12,
)
