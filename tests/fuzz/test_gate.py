"""The gate with any environ at all."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from djsession import AccessDenied, Gate, Session, Settings, dumps
from tests.conftest import KEY, OTHER_KEY, XIA

GATE = Gate(Settings(KEY, allowed_no_session=["/open", "/static/"]))

# A server decodes bytes as latin-1; an ASGI one passes what it likes.
NATIVE = st.binary(max_size=40).map(lambda data: data.decode("latin-1"))
SEGMENTS = st.sampled_from(
    ["open", "static", "secret", "..", ".", "", "%2e%2e", "\\", ";", "\x00", "Open", "é", "//"]
)
PATHS = st.lists(SEGMENTS | NATIVE).map("/".join) | NATIVE | st.text(max_size=20)
TOKENS = st.sampled_from(
    [dumps(XIA, KEY), dumps(XIA, OTHER_KEY), dumps({}, KEY), dumps(XIA, KEY, "jwt"), "garbage"]
)
COOKIES = st.lists(
    st.tuples(st.sampled_from(["sessionid", "a", "SessionID", " sessionid "]), TOKENS | NATIVE)
).map(lambda pairs: "; ".join("=".join(pair) for pair in pairs))
ENVIRONS = st.fixed_dictionaries(
    {},
    optional={
        "SCRIPT_NAME": PATHS,
        "PATH_INFO": PATHS,
        "HTTP_COOKIE": COOKIES | NATIVE,
        "HTTP_AUTHORIZATION": st.builds("{} {}".format, st.sampled_from(["Bearer", "x"]), TOKENS)
        | NATIVE,
        "REMOTE_USER": NATIVE,
        "djsession.session": st.just(Session(username="root")),
    },
)


@given(ENVIRONS)
def test_it_opens_or_refuses_and_nothing_else(environ: dict[str, Any]) -> None:
    sent = f"{environ.get('HTTP_COOKIE', '')} {environ.get('HTTP_AUTHORIZATION', '')}"
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    try:
        session = GATE.open(environ)
    except AccessDenied:
        session = None
    found = environ["djsession.session"]
    assert isinstance(found, Session)
    assert environ.get("REMOTE_USER") in (None, "xia")
    if session is None:
        assert found == {}
    elif session.username is None:
        # Nobody: the proxy says so, or the path is open, whole segments of it.
        assert "U2FsdGVkX1" in sent or path.split("/")[1] in ("open", "static")
    else:
        assert session.username == "xia"
        assert "U2FsdGVkX1" in sent or "eyJ" in sent


@given(PATHS)
def test_an_open_path_has_no_second_reading(path: str) -> None:
    if GATE.admits({}, path):
        assert path.split("/")[1] in ("open", "static")
        assert not {"..", "."} & set(path.split("/"))
        assert "\\" not in path
        assert "//" not in path
        path.encode("latin-1").decode("utf-8")
