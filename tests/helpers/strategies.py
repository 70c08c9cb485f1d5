"""What Hypothesis generates: JSON, and sessions of every shape."""

from __future__ import annotations

from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
# Sessions as a serializer may have got them wrong: every kind of value under the names that
# djsession reads, with half surrogate pairs and integers beyond any float.
_NAMES = st.sampled_from(
    [
        *("username", "email", "full_name", "exp", "last_visited", "site", "slug"),
        *("roles", "manager", "printable_name", "subscriptions", "plan", "ends_at", "secret_key"),
    ]
)
_TEXT = st.text(st.characters(exclude_categories=[]))
_VALUES = st.recursive(
    JSON | _TEXT | st.integers(-(10**4000), 10**4000) | st.just("2030-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | _TEXT, inner, max_size=4),
    max_leaves=8,
)
ANY_SESSIONS = st.dictionaries(_NAMES | _TEXT, _VALUES, max_size=6)
