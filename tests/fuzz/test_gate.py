"""The gate with any environ at all."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from djsession import AccessDenied, Session, dumps
from djsession.wsgi import DECODED_KEY, check_request, is_open
from tests.helpers.gates import make_gate
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import jwt_of, token_of

GATE = make_gate("/open", "/static/", trusted_proxies=["10.0.0.0/8", "unix"])

# A server decodes bytes as latin-1; an ASGI one passes what it likes.
NATIVE = st.binary(max_size=40).map(lambda data: data.decode("latin-1"))
SEGMENTS = st.sampled_from(
    ["open", "static", "secret", "..", ".", "", "%2e%2e", "\\", ";", "\x00", "Open", "é", "//"]
)
PATHS = st.lists(SEGMENTS | NATIVE).map("/".join) | NATIVE | st.text(max_size=20)
TOKENS = st.sampled_from(
    [
        *(
            dumps(XIA, KEY),
            dumps(XIA, OTHER_KEY),
            dumps({}, KEY),
            dumps(XIA, KEY, "jwt"),
            "garbage",
        ),
        *(token_of(b'{"username": "xia", "username": "root"}'), jwt_of(b'{"username": "root"}')),
    ]
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
        "HTTP_SCRIPT_NAME": PATHS,
        "REMOTE_ADDR": st.sampled_from(["10.0.0.7", "::ffff:10.0.0.7", "192.0.2.1", ""]) | NATIVE,
        "REMOTE_USER": NATIVE,
        "djsession.session": st.just(Session(username="root")),
    },
)


@given(ENVIRONS)
def test_any_request_passes_the_gate_or_is_refused(environ: dict[str, Any]) -> None:
    cookie, authorization = environ.get("HTTP_COOKIE", ""), environ.get("HTTP_AUTHORIZATION", "")
    try:
        session = check_request(GATE, environ)
    except AccessDenied:
        session = None
    found = environ["djsession.session"]
    assert isinstance(found, Session)
    assert environ.get("REMOTE_USER") in (None, "xia")
    if session is None:
        assert found == {}
        assert not is_open(GATE, environ)
    elif environ[DECODED_KEY].session is None:
        assert session == found == {}
        assert environ["PATH_INFO"].split("/")[1] in ("open", "static")
        assert "HTTP_SCRIPT_NAME" not in environ
    else:
        assert session.username in (None, "xia")
        # openssl in the cookie, or a jwt.
        assert "U2FsdGVkX1" in cookie or "eyJ" in cookie + authorization
        assert environ.get("REMOTE_ADDR", "") in ("10.0.0.7", "::ffff:10.0.0.7", "", "localhost")
        assert authorization.strip().lower() != "bearer"


@given(PATHS)
def test_any_path_that_the_gate_opens_has_no_second_reading(path: str) -> None:
    if is_open(GATE, {"PATH_INFO": path}):
        assert path.split("/")[1] in ("open", "static")
        assert not {"..", "."} & set(path.split("/"))
        assert "\\" not in path
        assert "//" not in path
        path.encode("latin-1").decode("utf-8")


@given(PATHS, PATHS)
def test_no_mount_point_opens_a_path_of_the_gate(mount: str, path: str) -> None:
    inside = is_open(GATE, {"PATH_INFO": path})
    assert is_open(GATE, {"SCRIPT_NAME": mount, "PATH_INFO": path}) == inside
    assert not is_open(GATE, {"HTTP_SCRIPT_NAME": mount, "PATH_INFO": path})
