"""What an error report shows: neither a key, nor a token, nor anything of a session.

Error reporters print the local variables of all frames in a traceback. The values that must not
appear are in global variables here, and the frames of the tests do not hold them.
"""

from __future__ import annotations

import html
import inspect
import secrets
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import djsession
from djsession import (
    AccessDenied,
    ConfigurationError,
    Gate,
    SessionCodec,
    SessionError,
    SessionMiddleware,
    Settings,
    dumps,
    errors,
    loads,
)
from djsession.errors import DjsessionError, hide_locals, without_traceback
from djsession.wsgi import check_request
from tests.helpers.tokens import jwt_of, token_of
from tests.helpers.wsgi import Recorder

# Made anew each time, so that no line of source code shows them.
KEY = secrets.token_hex(16)
OTHER_KEY = secrets.token_hex(16)
MARKER = secrets.token_hex(16)
QUOTED_KEY = f'"{KEY}"'
NOT_ASCII_KEY = f"{KEY}é"

SESSION: dict[str, Any] = {"username": MARKER, "email": f"{MARKER}@example.com"}
UNSERIALIZABLE = {**SESSION, "a": object()}
NOT_A_NUMBER = {**SESSION, "a": float("nan")}
NOT_TAGS = {**SESSION, "last_visited": f"{MARKER} {MARKER}"}
ITSELF: dict[str, Any] = dict(SESSION)
ITSELF["itself"] = ITSELF
DEEP: Any = MARKER
for _ in range(100_000):
    DEEP = [DEEP]
DEEP = {"a": DEEP}
WRONG_FORMAT: Any = "jwe"


class Date:
    """A date class of an application, with a mistake in it."""

    raises: type[Exception] = AttributeError

    def isoformat(self) -> str:
        local = KEY + MARKER
        raise self.raises(len(local))


WITH_DATE = {**SESSION, "at": Date()}

M = MARKER.encode()
PLAINTEXTS = {
    "not ASCII": b'{"a": "%b\xff"}' % M,
    "not JSON": b'{"a": "%b"' % M,
    "not an object": b'["%b"]' % M,
    "a repeated name": b'{"%b": "%b", "%b": 1}' % (M, M, M),
    "too deep": b'{"a": %b"%b"%b}' % (b"[" * 100, M, b"]" * 100),
    "far too deep": b'{"a": %b"%b"%b}' % (b"[" * 5_000, M, b"]" * 5_000),
    "last_visited": b'{"last_visited": "%b %b"}' % (M, M),
    "exp as text": b'{"exp": "%b"}' % M,
    "expired": b'{"exp": 1, "a": "%b"}' % M,
    "a huge integer": b'{"a": "%b", "b": %b}' % (M, b"9" * 5_000),
}
TOKENS = {
    **{f"openssl: {name}": token_of(text, KEY) for name, text in PLAINTEXTS.items()},
    **{f"jwt: {name}": jwt_of(text, KEY) for name, text in PLAINTEXTS.items()},
    "openssl: wrong key": token_of(b'{"a": "%b"}' % M, OTHER_KEY),
    "openssl: changed": token_of(b'{"a": "%b"}' % M, KEY)[:-12] + "AAAAAAAAAAA=",
    "openssl: cut off": token_of(b'{"a": "%b"}' % M, KEY)[:-12],
    "openssl: not base64": token_of(b'{"a": "%b"}' % M, KEY) + "!",
    "jwt: wrong key": jwt_of(b'{"exp": 9999999999, "a": "%b"}' % M, OTHER_KEY),
    "jwt: cut off": jwt_of(b'{"exp": 9999999999, "a": "%b"}' % M, KEY)[:-3],
    "jwt: two parts": jwt_of(b'{"exp": 9999999999, "a": "%b"}' % M, KEY).rpartition(".")[0],
    "jwt: not ASCII": jwt_of(b'{"exp": 9999999999, "a": "%b"}' % M, KEY) + "é",
    "neither": MARKER + "!",
}
# A jwt does not need these.
for excluded in ("a repeated name", "last_visited"):
    TOKENS[f"jwt: {excluded}"] = jwt_of(PLAINTEXTS[excluded], KEY)  # without exp
TOO_LARGE = dumps({**SESSION, "a": "x" * 60_000}, KEY)

CODEC = SessionCodec(KEY)
GATE = Gate(Settings(KEY))
ENVIRON = {"DJAODJIN_SECRET_KEY": KEY}
SECRET_VALUES: list[str] = [KEY, OTHER_KEY, MARKER]


ENVIRONS = {
    case: {"PATH_INFO": "/", "HTTP_COOKIE": f'sessionid="{token}"'}
    for case, token in TOKENS.items()
}


# Each calls one public function, without a parameter or a variable of its own.
def load() -> None:
    loads(TOKENS[CASE], KEY)


def load_bytes() -> None:
    loads(TOKENS[CASE].encode("latin-1", "replace"), KEY)


def load_with_codec() -> None:
    CODEC.loads(TOKENS[CASE])


def check_with_gate() -> None:
    GATE.check(GATE.decode(f'sessionid="{TOKENS[CASE]}"'), "GET", "/")


def check_wsgi_request() -> None:
    check_request(GATE, ENVIRONS[CASE])


CASE = ""

LOADING = [load, load_bytes, load_with_codec, check_with_gate, check_wsgi_request]

OTHERS: dict[str, Callable[[], object]] = {
    "loads: too large": lambda: loads(TOO_LARGE, KEY),
    "loads: another type": lambda: loads(SESSION, KEY),  # type: ignore[arg-type]
    "loads: no token": lambda: loads(None, KEY),  # type: ignore[arg-type]
    "loads: key in quotes": lambda: loads(TOO_LARGE, QUOTED_KEY),
    "loads: key not ASCII": lambda: loads(TOO_LARGE, [KEY, NOT_ASCII_KEY]),
    "loads: key of another type": lambda: loads(TOO_LARGE, KEY.encode()),  # type: ignore[arg-type]
    "dumps: a type": lambda: dumps(UNSERIALIZABLE, KEY),
    "dumps: a type in a jwt": lambda: dumps(UNSERIALIZABLE, KEY, "jwt"),
    "dumps: a number": lambda: dumps(NOT_A_NUMBER, KEY),
    "dumps: last_visited": lambda: dumps(NOT_TAGS, KEY),
    "dumps: itself": lambda: dumps(ITSELF, KEY),
    "dumps: too deep": lambda: dumps(DEEP, KEY),
    "dumps: a format": lambda: dumps(SESSION, KEY, WRONG_FORMAT),
    "dumps: another type": lambda: dumps(MARKER, KEY),  # type: ignore[arg-type]
    "dumps: key in quotes": lambda: dumps(SESSION, QUOTED_KEY),
    "codec.dumps: a type": lambda: CODEC.dumps(UNSERIALIZABLE),
    "codec.dumps: a number": lambda: CODEC.dumps(NOT_A_NUMBER, "jwt"),
    "codec.dumps: last_visited": lambda: CODEC.dumps(NOT_TAGS),
    "codec.dumps: a format": lambda: CODEC.dumps(SESSION, WRONG_FORMAT),
    "codec.loads: too large": lambda: CODEC.loads(TOO_LARGE),
    "codec.loads: another type": lambda: CODEC.loads(MARKER.encode()[0]),  # type: ignore[arg-type]
    "SessionCodec: key in quotes": lambda: SessionCodec(QUOTED_KEY),
    "SessionCodec: key not ASCII": lambda: SessionCodec([KEY, NOT_ASCII_KEY]),
    "SessionCodec: several, one empty": lambda: SessionCodec([KEY, ""]),
    "Settings: key in quotes": lambda: Settings(QUOTED_KEY),
    "Settings: wrong value": lambda: Settings(KEY, cookie_name="a b"),
    "Settings: wrong path": lambda: Settings(KEY, allowed_no_session=["x"]),
    "Settings: wrong peer": lambda: Settings(KEY, trusted_proxies=["x"]),
    "Settings: unknown name": lambda: Settings(KEY, cookie="x"),
    "Settings: unknown name of a key": lambda: Settings(key=KEY),
    "from_environ: key in quotes": lambda: Settings.from_environ(
        {"DJAODJIN_SECRET_KEY": QUOTED_KEY}
    ),
    "from_environ: wrong value": lambda: Settings.from_environ(
        {**ENVIRON, "DJSESSION_MAX_TOKEN_SIZE": "64K"}
    ),
    "from_environ: unknown name": lambda: Settings.from_environ({**ENVIRON, "DJSESSION_X": "1"}),
    "from_environ: another name of the key": lambda: Settings.from_environ(
        {"DJSESSION_SECRET_KEY": KEY}
    ),
    "from_environ: explicit key": lambda: Settings.from_environ({}, secret_key=QUOTED_KEY),
    "from_mapping: key in quotes": lambda: Settings.from_mapping(
        {"DJAODJIN_SECRET_KEY": QUOTED_KEY}
    ),
    "from_mapping: wrong value": lambda: Settings.from_mapping(
        {"DJSESSION_FORMATS": "jwe"}, secret_key=KEY
    ),
    "from_mapping: unknown name": lambda: Settings.from_mapping(
        {**ENVIRON, "DJSESSION_X": "1"}, environ=ENVIRON
    ),
    "SessionMiddleware: key in quotes": lambda: SessionMiddleware(
        Recorder(), secret_key=QUOTED_KEY
    ),
    "SessionMiddleware: wrong value": lambda: SessionMiddleware(
        Recorder(), secret_key=KEY, cookie_name="a b"
    ),
    "SessionMiddleware: wrong list": lambda: SessionMiddleware(
        Recorder(),
        secret_key=[KEY, OTHER_KEY],
        allowed_no_session="/",
    ),
    "SessionMiddleware: unknown name": lambda: SessionMiddleware(
        Recorder(),
        secret_key=KEY,
        cookie="x",  # type: ignore[call-arg]
    ),
}


def provoke(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    return pytest.fail("nothing was raised")


def provoke_while_handling(function: Callable[[], object]) -> Exception:
    try:
        raise LookupError("the application's own")
    except LookupError:
        return provoke(function)


def reports(error: Exception) -> str:
    """Return what Python and Django report about an exception, with all local variables."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(found.format())
    debug = pytest.importorskip("django.views.debug")
    page: str = debug.ExceptionReporter(
        None, type(error), error, error.__traceback__
    ).get_traceback_html()
    return text + html.unescape(page)


def assert_shows_nothing(error: Exception, token: str = "") -> None:
    # The last frame is that of the decorator hide_locals, whose variables hold nothing.
    assert traceback.extract_tb(error.__traceback__)[-1].name == "wrapper"
    report = reports(error)
    assert type(error).__name__ in report
    # Some reporters shorten long values.
    parts = [token[at : at + 24] for at in range(24, len(token) - 24, 24)]
    shown = [secret for secret in (*SECRET_VALUES, *parts) if secret in report]
    assert not shown, f"the report shows {len(shown)} secret values"


@pytest.mark.parametrize("case", TOKENS)
@pytest.mark.parametrize("function", LOADING, ids=lambda function: function.__name__)
def test_the_traceback_of_a_refused_token_shows_nothing(
    function: Callable[[], object], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "CASE", case)
    expected = AccessDenied if function in (check_with_gate, check_wsgi_request) else SessionError
    error = provoke(function)
    assert isinstance(error, expected)
    assert error.__context__ is None
    assert error.__cause__ is None
    assert_shows_nothing(error, TOKENS[case])


@pytest.mark.parametrize("name", OTHERS)
def test_the_traceback_of_a_wrong_argument_shows_nothing(name: str) -> None:
    error = provoke(OTHERS[name])
    assert isinstance(error, (DjsessionError, TypeError, ValueError, RecursionError))
    assert error.__context__ is None
    assert error.__cause__ is None
    assert_shows_nothing(error, TOO_LARGE if "too large" in name else "")


@pytest.mark.parametrize("name", [name for name in OTHERS if "quotes" in name or "a type" in name])
def test_the_traceback_of_an_error_while_another_is_handled_shows_nothing(name: str) -> None:
    error = provoke_while_handling(OTHERS[name])
    assert isinstance(error.__context__, LookupError)
    assert_shows_nothing(error)


def leak() -> None:
    local = KEY + MARKER
    raise ValueError(len(local))


def test_a_report_would_show_a_local_variable() -> None:
    """Without this, the tests above would pass whatever the frames hold."""
    found = reports(provoke(leak))
    assert found.count(KEY + MARKER) >= 2


def chained() -> None:
    try:
        leak()
    except ValueError as error:
        raise LookupError from error


def test_a_report_would_show_the_local_variables_of_a_cause() -> None:
    assert reports(provoke(chained)).count(KEY + MARKER) >= 2


class TestHideLocals:
    def test_the_function_keeps_its_name_and_signature(self) -> None:
        for function in (loads, dumps, SessionCodec.loads, Gate.check, check_request):
            assert function.__doc__
            assert "args" not in inspect.signature(function).parameters
        assert loads.__name__ == "loads"

    def test_what_it_returns_is_passed_on(self) -> None:
        @hide_locals
        def double(number: int, *, plus: int = 0) -> int:
            return 2 * number + plus

        assert double(2, plus=1) == 5

    def test_other_exceptions_keep_their_traceback(self) -> None:
        # A mistake in djsession or in the application must stay findable.
        @hide_locals
        def fail() -> None:
            raise LookupError

        error = provoke(fail)
        assert "fail" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    @pytest.mark.parametrize("kind", [AttributeError, LookupError, OSError])
    def test_other_exceptions_show_no_local_variable(self, kind: type[Exception]) -> None:
        # isoformat() of the application may raise anything.
        for function in (lambda: dumps(WITH_DATE, KEY), lambda: CODEC.dumps(WITH_DATE, "jwt")):
            Date.raises = kind
            for error in (provoke(function), provoke_while_handling(function)):
                assert type(error) is kind
                assert "isoformat" in [
                    frame.name for frame in traceback.extract_tb(error.__traceback__)
                ]
                report = reports(error)
                shown = [secret for secret in SECRET_VALUES if secret in report]
                assert not shown, f"the report shows {len(shown)} secret values"

    def test_frames_below_the_function_are_not_in_the_traceback(self) -> None:
        @hide_locals
        def fail() -> None:
            leak()

        error = provoke(fail)
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names == ["provoke", "wrapper"]

    def test_without_traceback_removes_what_holds_frames(self) -> None:
        error = provoke(chained)
        assert without_traceback(error) is error
        assert error.__traceback__ is None
        assert error.__cause__ is None
        assert error.__context__ is None


CLASSES = [
    found
    for name in errors.__all__
    if isinstance(found := getattr(errors, name), type) and issubclass(found, Exception)
]
SESSION_ERRORS = [found for found in CLASSES if issubclass(found, SessionError)]


class TestErrorTree:
    def test_all_errors_derive_from_djsession_error(self) -> None:
        assert all(issubclass(found, DjsessionError) for found in CLASSES)
        assert not issubclass(SessionError, ConfigurationError)
        assert not issubclass(AccessDenied, SessionError)
        assert djsession.DjsessionError is DjsessionError

    @pytest.mark.parametrize("found", SESSION_ERRORS, ids=lambda found: found.__name__)
    def test_every_session_error_carries_what_the_doctor_needs(
        self, found: type[SessionError]
    ) -> None:
        error = found()
        assert error.id
        assert error.step or found is SessionError
        assert error.reason
        assert error.remedy
        assert str(error) == f"{error.reason}; {error.remedy}"
        for clause in (error.reason, error.remedy):
            assert not clause.endswith(".")
            # A clause starts without a capital, unless with a name.
            assert clause[0].islower() or clause.startswith("DJAODJIN")

    def test_each_session_error_has_a_reason_and_a_remedy_of_its_own(self) -> None:
        error = errors.InvalidJSON("a reason", "a remedy")
        assert (error.reason, error.remedy, str(error)) == (
            "a reason",
            "a remedy",
            "a reason; a remedy",
        )
        assert error.step == errors.InvalidJSON.step

    def test_every_access_denied_looks_the_same(self) -> None:
        assert str(AccessDenied()) == "Forbidden"
        with pytest.raises(TypeError):
            AccessDenied("why")  # type: ignore[call-arg]

    def test_the_problems_of_a_mockup_error_are_lines(self) -> None:
        error = errors.MockupError(["a.yaml:1: one", "a.yaml:2: two"])
        assert str(error) == "a.yaml:1: one\na.yaml:2: two"
        assert error.problems == ["a.yaml:1: one", "a.yaml:2: two"]

    def test_a_proxied_key_error_names_the_key(self) -> None:
        error = errors.ProxiedKeyError("roles", "ask the proxy")
        assert str(error) == "'roles' comes from the session proxy and is read-only: ask the proxy"
        assert isinstance(error, TypeError)
