from __future__ import annotations

import logging
from typing import Any

import pytest

from djsession import AccessDenied, ConfigurationError, Gate, Session, dumps
from djsession.gate import DecodedRequest
from djsession.transport import REPLACED_PEER
from tests.helpers.gates import Request, ask, check, decode, make_gate, request
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import OPAQUE, REFUSED, forge, jwt_of, token_of

DANA = {"username": "dana"}
OPENSSL, JWT = dumps(XIA, KEY), dumps(XIA, KEY, "jwt")


def username(head: Request, **settings: Any) -> str | None:
    """Return who is signed in, "" for a session without a user, and None without a session."""
    session = ask(make_gate(**settings), head)
    return None if session is None else session.username or ""


class TestGateAndPaths:
    def test_an_open_path_passes_with_an_empty_session(self) -> None:
        gate = make_gate("/login")
        head = request("/login/x")
        assert gate.is_open("/login/x")
        session = ask(gate, head)
        assert session == {}
        assert type(session) is Session

    def test_a_path_without_an_entry_does_not_pass_without_a_session(self) -> None:
        gate = make_gate("/login")
        assert not gate.is_open("/secret")
        assert ask(gate, request("/secret")) is None

    def test_an_entry_opens_a_path_unless_the_shell_says_otherwise(self) -> None:
        gate = make_gate("/login")
        assert gate.check(decode(gate, request("/login")), "GET", "/login") == {}

    def test_no_path_is_open_where_the_shell_says_so(self) -> None:
        gate = make_gate("/login", "/")
        for path in ("/login", "/"):
            assert ask(gate, request(path, may_be_open=False)) is None

    def test_the_log_says_that_an_entry_does_not_count(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = make_gate("/login")
        why = "allowed_no_session lists the path, but does not open it"
        for path, token in (("/login", None), ("/login", "garbage"), ("/secret", None)):
            with caplog.at_level(logging.INFO):
                assert ask(gate, request(path, token=token, may_be_open=False)) is None
            assert (why in caplog.records[-1].getMessage()) == (path == "/login")
        assert ask(gate, request("/secret")) is None
        assert caplog.text.count(why) == 2

    def test_a_session_passes_anywhere(self) -> None:
        for path in ("/secret", "/login", "*", "", "\ufffd"):
            assert ask(make_gate("/login"), request(path, token=OPENSSL)) == XIA

    def test_a_session_passes_where_no_path_may_be_open(self) -> None:
        assert ask(make_gate(), request(token=OPENSSL, may_be_open=False)) == XIA

    @pytest.mark.parametrize("entry", ["", "static/", "/a//b", "/a/../b"])
    def test_an_entry_that_is_not_a_path_stops_the_application(self, entry: str) -> None:
        with pytest.raises(ConfigurationError, match="allowed_no_session"):
            make_gate(entry)


class TestGateAndSessions:
    def test_a_session_without_a_user_passes_too(self) -> None:
        session = ask(make_gate(), request(token=dumps({}, KEY)))
        assert session == {}
        assert type(session) is Session

    def test_without_a_token_there_is_no_session(self) -> None:
        decoded = decode(make_gate(), request())
        assert decoded.session is None
        assert not decoded.carries_token

    @pytest.mark.parametrize("token", [token for _, token in REFUSED.values()], ids=REFUSED)
    def test_a_refused_token_is_not_a_session(self, token: str) -> None:
        assert ask(make_gate(), request(token=token)) is None
        assert ask(make_gate(), request(bearer=token)) is None
        assert ask(make_gate("/login"), request("/login", token=token)) == {}

    def test_every_refusal_of_the_gate_is_the_same(self) -> None:
        messages = set()
        for token in ("", "garbage", dumps(XIA, OTHER_KEY), forge({"alg": "none"}), OPAQUE):
            gate, head = make_gate(), request(token=token)
            with pytest.raises(AccessDenied) as caught:
                check(gate, head, decode(gate, head))
            messages.add((str(caught.value), repr(caught.value.args)))
        assert messages == {("Forbidden", "('Forbidden',)")}

    def test_the_cookie_may_have_another_name(self) -> None:
        head = request(cookie=f"djs={OPENSSL}")
        assert username(head, cookie_name="djs") == "xia"
        assert username(head) is None

    def test_all_keys_of_a_rotation_open_a_session(self) -> None:
        for key in (KEY, OTHER_KEY):
            assert username(request(token=dumps(XIA, key)), key=[KEY, OTHER_KEY]) == "xia"

    def test_a_token_over_the_size_limit_is_not_a_session(self) -> None:
        assert username(request(token=OPENSSL), max_token_size=len(OPENSSL)) == "xia"
        assert username(request(token=OPENSSL), max_token_size=len(OPENSSL) - 1) is None


class TestGateAndTransports:
    """Rules 1 to 3: what could not have come from the proxy does not count."""

    def test_an_openssl_token_counts_in_the_cookie_only(self) -> None:
        assert username(request(token=OPENSSL)) == "xia"
        assert username(request(bearer=OPENSSL)) is None

    def test_a_jwt_counts_in_the_header(self) -> None:
        assert username(request(bearer=JWT)) == "xia"

    def test_a_jwt_in_the_cookie_counts_without_a_bearer_header(self) -> None:
        assert username(request(token=JWT)) == "xia"
        assert username(request(token=JWT, authorization="Basic eDp5")) == "xia"

    @pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer garbage", "Bearer a.b.c"])
    def test_a_jwt_in_the_cookie_does_not_count_beside_one(self, header: str) -> None:
        assert username(request(token=JWT, authorization=header)) is None

    def test_a_stale_jwt_in_the_cookie_does_not_outrank_the_header(self) -> None:
        stale = dumps(DANA, KEY, "jwt")
        assert username(request(token=stale, bearer=JWT)) == "xia"
        assert username(request(token=JWT, bearer=stale)) == "dana"

    def test_a_jwt_in_the_cookie_is_not_even_a_conflict(self) -> None:
        # The one in the header is from the proxy, whatever was planted in the browser.
        head = request(cookie=f"sessionid={dumps({}, KEY, 'jwt')}", bearer=JWT)
        assert username(head) == "xia"

    def test_an_openssl_token_in_the_header_is_not_a_conflict(self) -> None:
        assert username(request(token=OPENSSL, bearer=dumps(DANA, KEY))) == "xia"
        assert username(request(token=dumps(DANA, KEY), bearer=OPENSSL)) == "dana"

    @pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer", "BEARER  "])
    @pytest.mark.parametrize(
        "token", [OPENSSL, JWT, dumps({}, KEY)], ids=["openssl", "jwt", "without a user"]
    )
    def test_an_empty_bearer_header_means_that_nobody_is_signed_in(
        self, header: str, token: str
    ) -> None:
        head = request(token=token, authorization=header)
        assert username(head) is None
        assert username(head, formats=["jwt"]) is None

    def test_an_empty_bearer_header_means_nothing_where_the_site_does_not_use_jwt(self) -> None:
        for header in ("Bearer", "Bearer "):
            head = request(token=OPENSSL, authorization=header)
            assert username(head, formats=["openssl"]) == "xia"

    def test_an_empty_bearer_header_does_not_close_an_open_path(self) -> None:
        head = request("/login", token=OPENSSL, authorization="Bearer")
        assert ask(make_gate("/login"), head) == {}

    @pytest.mark.parametrize("formats", [["openssl"], ["jwt"]])
    def test_a_format_that_is_excluded_counts_nowhere(self, formats: list[str]) -> None:
        excluded = JWT if formats == ["openssl"] else OPENSSL
        assert username(request(token=excluded), formats=formats) is None
        assert username(request(bearer=excluded), formats=formats) is None

    def test_an_overheard_cookie_does_not_count_where_it_is_excluded(self) -> None:
        overheard = dumps(DANA, KEY)
        head = request(cookie=f"sessionid={OPAQUE}; sessionid={overheard}", bearer=JWT)
        assert username(head, formats=["jwt"]) == "xia"
        assert username(head) is None  # two different sessions


class TestGateAndSeveralTokens:
    """Rules 4 to 6."""

    @pytest.mark.parametrize("other", [DANA, {}, {"username": None}, {**XIA, "email": "x@y.z"}])
    def test_two_different_sessions_are_no_session(self, other: dict[str, Any]) -> None:
        another = dumps(other, KEY)
        assert username(request(cookie=f"sessionid={OPENSSL}; sessionid={another}")) is None
        assert username(request(cookie=f"sessionid={another}; sessionid={OPENSSL}")) is None
        assert username(request(token=another, bearer=JWT)) is None
        assert username(request(token=OPENSSL, bearer=dumps(other, KEY, "jwt"))) is None

    def test_two_different_sessions_are_no_session_on_an_open_path_either(self) -> None:
        head = request("/login", cookie=f"sessionid={OPENSSL}; sessionid={dumps(DANA, KEY)}")
        assert ask(make_gate("/login"), head) == {}

    def test_equal_sessions_are_one_session(self) -> None:
        again = dumps(XIA, KEY)
        assert again != OPENSSL
        assert username(request(cookie=f"sessionid={OPENSSL}; sessionid={again}")) == "xia"
        assert username(request(token=OPENSSL, bearer=JWT)) == "xia"

    def test_sessions_may_differ_in_exp_and_last_visited(self) -> None:
        visited = dumps({**XIA, "last_visited": "2026-01-01T00:00:00+00:00"}, KEY)
        assert username(request(cookie=f"sessionid={OPENSSL}; sessionid={visited}")) == "xia"
        expiring = dumps({**XIA, "exp": 9_999_999_999}, KEY)
        assert username(request(cookie=f"sessionid={expiring}; sessionid={OPENSSL}")) == "xia"

    def test_sessions_under_two_keys_must_be_equal_as_well(self) -> None:
        old = dumps(DANA, OTHER_KEY)
        head = request(cookie=f"sessionid={OPENSSL}; sessionid={old}")
        assert username(head, key=[KEY, OTHER_KEY]) is None
        assert username(head) == "xia"

    @pytest.mark.parametrize(
        "foreign",
        ["ghp_0123456789", "a.b.c", dumps(XIA, OTHER_KEY, "jwt"), forge({"alg": "none"})],
        ids=["opaque", "three parts", "jwt of another key", "jwt of another algorithm"],
    )
    def test_a_foreign_api_key_beside_a_valid_cookie_is_ignored(self, foreign: str) -> None:
        assert username(request(token=OPENSSL, bearer=foreign)) == "xia"

    @pytest.mark.parametrize(
        "foreign",
        ["garbage", dumps(DANA, OTHER_KEY), OPAQUE],
        ids=["garbage", "other key", "opaque"],
    )
    def test_a_foreign_cookie_beside_a_valid_token_is_ignored(self, foreign: str) -> None:
        assert username(request(token=foreign, bearer=JWT)) == "xia"
        assert username(request(cookie=f"sessionid={foreign}; sessionid={OPENSSL}")) == "xia"
        assert username(request(cookie=f"sessionid={OPENSSL}; sessionid={foreign}")) == "xia"

    def test_an_expired_token_beside_a_valid_one_is_ignored(self) -> None:
        expired = jwt_of(b'{"username": "dana", "exp": 1}')
        assert username(request(token=OPENSSL, bearer=expired)) == "xia"

    def test_at_most_four_cookies_are_tried(self) -> None:
        three = "; ".join(["sessionid=garbage"] * 3)
        assert username(request(cookie=f"{three}; sessionid={OPENSSL}")) == "xia"
        assert username(request(cookie=f"{three}; sessionid={OPENSSL}", bearer="a.b.c")) == "xia"
        for header in (
            f"{three}; sessionid=garbage; sessionid={OPENSSL}",
            f"sessionid={OPENSSL}; {three}; sessionid=garbage",
            "; ".join([f"sessionid={OPENSSL}"] * 5),
        ):
            assert username(request(cookie=header)) is None
            assert username(request(cookie=header, bearer=JWT)) is None

    def test_nothing_is_decrypted_of_too_many_cookies(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = make_gate()
        monkeypatch.setattr(gate.codec, "try_loads", lambda token: pytest.fail("decoded"))
        decode(gate, request(cookie="; ".join([f"sessionid={OPENSSL}"] * 5)))
        decode(gate, request(token=OPENSSL, bearer="x" * 65_536))

    def test_all_tokens_together_are_at_most_max_token_size(self) -> None:
        size = len(OPENSSL) + len(JWT)
        both = request(token=OPENSSL, bearer=JWT)
        assert username(both, max_token_size=size) == "xia"
        assert username(both, max_token_size=size - 1) is None
        twice = request(cookie=f"sessionid={OPENSSL}; sessionid={OPENSSL}")
        assert username(twice, max_token_size=2 * len(OPENSSL)) == "xia"
        assert username(twice, max_token_size=2 * len(OPENSSL) - 1) is None

    def test_tokens_that_do_not_count_are_added_up_as_well(self) -> None:
        head = request(token=OPENSSL, bearer="x" * 100)
        assert username(head, max_token_size=len(OPENSSL) + 100) == "xia"
        assert username(head, max_token_size=len(OPENSSL) + 99) is None


class TestGateAndTrustedProxies:
    def test_by_default_the_peer_is_not_checked(self) -> None:
        for peer in (None, "", "192.0.2.1", "garbage"):
            assert username(request(token=OPENSSL, peer=peer)) == "xia"

    @pytest.mark.parametrize(
        "head",
        [{"token": OPENSSL}, {"bearer": JWT}, {"token": JWT}],
        ids=["openssl", "jwt", "jwt in the cookie"],
    )
    def test_only_a_trusted_peer_may_send_a_session(self, head: Any) -> None:
        trusted = ["10.0.0.7", "10.1.0.0/16"]
        for peer in ("10.0.0.7", "10.1.2.3", "::ffff:10.0.0.7"):
            assert username(request(**head, peer=peer), trusted_proxies=trusted) == "xia"
        others = ("10.0.0.8", "::1", "", None, "localhost", "garbage", "10.0.0.7, 1.1.1.1")
        for other in others:
            assert username(request(**head, peer=other), trusted_proxies=trusted) is None

    def test_a_peer_on_a_unix_socket_is_trusted_by_name(self) -> None:
        for reported in (None, "", "localhost"):
            head = request(token=OPENSSL, peer=reported)
            assert username(head, trusted_proxies=["unix"]) == "xia"
        assert username(request(token=OPENSSL, peer="127.0.0.1"), trusted_proxies=["unix"]) is None

    def test_an_open_path_stays_open_to_everybody(self) -> None:
        gate = make_gate("/login", trusted_proxies=["10.0.0.7"])
        assert ask(gate, request("/login", token=OPENSSL, peer="192.0.2.1")) == {}
        assert ask(gate, request("/login", peer="192.0.2.1")) == {}

    def test_the_cause_says_whether_the_peer_is_known(self) -> None:
        gate = make_gate(trusted_proxies=["10.0.0.7"])
        for peer in ("192.0.2.1", None):
            causes = decode(gate, request(token=OPENSSL, peer=peer)).causes
            assert causes == ("the request did not come from one of trusted_proxies",)
        assert decode(gate, request(token=OPENSSL, peer=REPLACED_PEER)).causes == (
            "trusted_proxies cannot be checked, since an address from X-Forwarded-For may have"
            " replaced that of the connection; put SessionMiddleware around ProxyFix, and run"
            " uvicorn with --no-proxy-headers",
        )

    def test_nothing_is_decrypted_for_another_peer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = make_gate(trusted_proxies=["10.0.0.7"])
        monkeypatch.setattr(gate.codec, "try_loads", lambda token: pytest.fail("decoded"))
        decoded = decode(gate, request(token=OPENSSL, peer="192.0.2.1"))
        assert decoded.session is None
        assert decoded.carries_token


TRUSTING: dict[str, Any] = {"trusted_proxies": ["10.0.0.7"]}
CONFLICT = "the request carries two different sessions"
# Requests on every way through the gate: whether they carry a token, and one of the causes why they
# do not carry a session, if so.
WAYS: dict[str, tuple[Request, dict[str, Any], bool, str]] = {
    "one cookie": (request(token=OPENSSL), {}, True, ""),
    "one refused cookie": (request(token="garbage"), {}, True, "cookie sessionid: "),
    "a token in the header": (request(bearer=JWT), {}, True, ""),
    "a refused token in the header": (request(bearer="a.b.c"), {}, True, "Authorization: "),
    "two equal sessions": (request(token=OPENSSL, bearer=JWT), {}, True, ""),
    "two sessions": (request(token=dumps(DANA, KEY), bearer=JWT), {}, True, CONFLICT),
    "no token": (request(), {}, False, "the request carries no session token, "),
    "an empty header": (request(authorization="Bearer"), {}, False, "Authorization: Bearer is"),
    "an empty header and a cookie": (
        request(token=OPENSSL, authorization="Bearer"),
        {},
        True,
        "Authorization: Bearer is",
    ),
    "another peer": (request(peer="::1"), TRUSTING, False, "the request did not come from"),
    "another peer and a cookie": (
        request(token=OPENSSL, peer="::1"),
        TRUSTING,
        True,
        "the request did not come from",
    ),
    "a trusted peer": (request(token=OPENSSL, peer="10.0.0.7"), TRUSTING, True, ""),
}


@pytest.mark.parametrize(("head", "settings", "carries_token", "cause"), WAYS.values(), ids=WAYS)
def test_what_was_decoded_holds_all_that_another_gate_needs(
    head: Request, settings: dict[str, Any], carries_token: bool, cause: str
) -> None:
    gate = make_gate(**settings)
    decoded = decode(gate, head)
    assert decoded.settings is gate.settings
    assert decoded.received == (head.cookie, head.authorization, head.peer)
    assert decoded.carries_token is carries_token
    assert (decoded.session is None) == bool(cause)
    assert all(found.startswith(cause) for found in decoded.causes)
    assert len(decoded.causes) == bool(cause)
    assert decode(gate, head, decoded) is decoded


@pytest.mark.parametrize("token", [OPENSSL, JWT, "garbage"], ids=["openssl", "jwt", "refused"])
def test_a_single_cookie_takes_the_fast_path(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = make_gate()
    monkeypatch.setattr(gate, "_decode_by_rules", lambda headers: pytest.fail("the slow path"))
    decode(gate, request(token=token))


# Settings under which the same request carries a session, and under which it does not.
DIFFERENT_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "secret_key": ({}, {"key": OTHER_KEY}),
    "cookie_name": ({}, {"cookie_name": "djs"}),
    "max_token_size": ({}, {"max_token_size": len(OPENSSL) - 1}),
    "formats": ({}, {"formats": ["jwt"]}),
    "trusted_proxies": ({}, {"trusted_proxies": ["10.0.0.7"]}),
}


class TestStackedGates:
    """What one gate found in a request is used by the gates further in."""

    def test_a_token_is_decoded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        outer, inner = make_gate(), make_gate()
        head = request(token=OPENSSL)
        earlier = decode(outer, head)
        monkeypatch.setattr(inner.codec, "try_loads", lambda token: pytest.fail("decoded again"))
        assert decode(inner, head, earlier) is earlier
        assert check(inner, head, earlier) is earlier.session

    def test_an_equal_request_on_another_path_is_not_decoded_again(self) -> None:
        # A dispatcher changes PATH_INFO on the way in.
        gate = make_gate()
        earlier = decode(gate, request("/app/x", token=OPENSSL))
        assert decode(gate, request("/x", token=OPENSSL), earlier) is earlier

    def test_an_inner_gate_has_its_own_open_paths(self) -> None:
        outer, inner = make_gate("/login"), make_gate()
        head = request("/login")
        decoded = decode(inner, head, decode(outer, head))
        assert check(outer, head, decoded) == {}
        with pytest.raises(AccessDenied):
            check(inner, head, decoded)

    @pytest.mark.parametrize("name", DIFFERENT_SETTINGS)
    def test_a_gate_that_decodes_differently_looks_again(self, name: str) -> None:
        gates = [make_gate(**settings) for settings in DIFFERENT_SETTINGS[name]]
        head = request(token=OPENSSL, peer="192.0.2.1")
        accepting, refusing = gates
        for outer, inner in (gates, gates[::-1]):
            found = decode(inner, head, decode(outer, head)).session
            assert (found == XIA) == (inner is accepting)
            assert (found is None) == (inner is refusing)

    def test_every_setting_that_decides_is_tested(self) -> None:
        assert len(make_gate().settings.decoding) == len(DIFFERENT_SETTINGS)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (request(token=OPENSSL), request(token=dumps(DANA, KEY))),
            (request(bearer=JWT), request(bearer=dumps(DANA, KEY, "jwt"))),
            # One of the two headers is the same.
            (request(token=OPENSSL), request(token=OPENSSL, authorization="Bearer")),
            (request(token=JWT), request(token=JWT, authorization="Bearer")),
            (request(bearer=JWT), request(token=dumps(DANA, KEY), bearer=JWT)),
            (request(token=OPENSSL), request(token=None)),
            (request(bearer=JWT), request()),
        ],
        ids=[
            "another cookie",
            "another header",
            "an openssl cookie and then an empty header",
            "a jwt cookie and then an empty header",
            "a conflicting cookie beside the same header",
            "the cookie went",
            "the header went",
        ],
    )
    def test_headers_that_changed_in_between_are_decoded_again(
        self, first: Request, second: Request
    ) -> None:
        gate = make_gate()
        for one, other in ((first, second), (second, first)):
            found = decode(gate, other, decode(gate, one))
            assert found.session == decode(gate, other).session
            assert found.session != decode(gate, one).session

    def test_a_peer_that_changed_in_between_is_checked_again(self) -> None:
        gate = make_gate(trusted_proxies=["10.0.0.7"])
        trusted = request(token=OPENSSL, peer="10.0.0.7")
        other = request(token=OPENSSL, peer="192.0.2.1")
        assert decode(gate, other, decode(gate, trusted)).session is None
        assert decode(gate, trusted, decode(gate, other)).session == XIA

    def test_what_is_kept_for_others_shows_nothing(self) -> None:
        decoded = decode(make_gate(), request(token=OPENSSL))
        kept = repr(decoded) + repr(decoded.session) + repr(decoded.settings)
        assert OPENSSL[10:30] not in kept
        assert "xia" not in kept
        assert KEY not in kept


def logged(caplog: pytest.LogCaptureFixture, gate: Gate, head: Request) -> list[tuple[str, str]]:
    """Return the level and the text of each line that a request adds to the log."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "djsession"):
        ask(gate, head)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


class TestLogOfTheGate:
    """Each refusal is one line with method, path and cause."""

    def test_the_first_request_without_a_token_is_a_warning_and_the_next_are_not(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = make_gate()
        [(level, line)] = logged(caplog, gate, request("/app/x", method="POST"))
        assert level == "WARNING"
        assert line == (
            "POST /app/x refused: the request carries no session token, neither in a cookie"
            " sessionid nor in an Authorization: Bearer header"
        )
        for path in ("/app/x", "/other"):
            [(level, line)] = logged(caplog, gate, request(path))
            assert level == "INFO"
            assert line.startswith(f"GET {path} refused: the request carries no session token")

    def test_each_gate_counts_for_itself(self, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(2):
            [(level, _)] = logged(caplog, make_gate(), request())
            assert level == "WARNING"

    def test_an_open_path_is_not_the_first_refusal(self, caplog: pytest.LogCaptureFixture) -> None:
        gate = make_gate("/login")
        assert logged(caplog, gate, request("/login")) == []
        [(level, _)] = logged(caplog, gate, request("/secret"))
        assert level == "WARNING"

    def test_a_refused_token_is_a_warning_each_time(self, caplog: pytest.LogCaptureFixture) -> None:
        gate = make_gate()
        for _ in range(3):
            [(level, line)] = logged(caplog, gate, request(token=dumps(XIA, OTHER_KEY, "jwt")))
            assert level == "WARNING"
            assert line.startswith(
                "GET /app/ refused: cookie sessionid: the signature of the jwt does not verify; "
            )
            assert "DJAODJIN_SECRET_KEY differs from the key at the proxy" in line

    def test_a_refused_token_is_not_the_first_request_without_one(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = make_gate()
        logged(caplog, gate, request(token="garbage"))
        assert logged(caplog, gate, request())[0][0] == "WARNING"
        assert logged(caplog, gate, request())[0][0] == "INFO"
        assert logged(caplog, gate, request(token="garbage"))[0][0] == "WARNING"

    def test_several_tokens_are_one_line_that_says_where_each_is(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        head = request(cookie="djs=garbage; djs=abc", bearer="a.b.c")
        [(_, line)] = logged(caplog, make_gate(cookie_name="djs"), head)
        assert line.count("cookie djs: the token is not valid base64") == 2
        assert line.count(" | Authorization: the signature of the jwt does not verify") == 1
        assert "\n" not in line

    @pytest.mark.parametrize(
        ("head", "settings", "cause"),
        [
            (
                request(cookie=f"sessionid={OPENSSL}; sessionid={dumps(DANA, KEY)}"),
                {},
                "the request carries two different sessions",
            ),
            (request(token=OPENSSL, authorization="Bearer"), {}, "nobody is signed in"),
            (request(bearer=OPENSSL), {}, "Authorization: a token of the cookie format"),
            (request(token=JWT, bearer="a.b.c"), {}, "a jwt in the cookie does not count beside"),
            (request(cookie="; ".join(["sessionid=a"] * 5)), {}, "more than 4 session cookies"),
            (request(token=OPENSSL, bearer="x" * 70_000), {}, "max_token_size"),
            (request(token=OPENSSL, peer="192.0.2.1"), {"trusted_proxies": ["::1"]}, "trusted_pro"),
            (request(token=OPENSSL), {"formats": ["jwt"]}, "the setting formats excludes"),
            (request(token=token_of(b'{"a": 1, "a": 2}')), {}, "repeats a name"),
        ],
        ids=[
            "conflict",
            "empty header",
            "openssl in the header",
            "jwt in the cookie",
            "cookies",
            "size",
            "peer",
            "format",
            "repeated name",
        ],
    )
    def test_the_line_of_a_refusal_says_the_cause(
        self, head: Request, settings: Any, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            [(level, line)] = logged(caplog, make_gate(**settings), head)
            assert level == "WARNING"
            assert line.startswith("GET /app/ refused: ")
            assert cause in line
            for secret in (KEY, OPENSSL, JWT, "xia", "dana", "192.0.2.1"):
                assert secret not in line

    def test_a_token_that_is_ignored_on_an_open_path_is_a_warning_too(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = make_gate("/login")
        for _ in range(2):
            [(level, line)] = logged(caplog, gate, request("/login", token="garbage"))
            assert level == "WARNING"
            assert line.startswith("GET /login passes without a session: cookie sessionid: ")

    @pytest.mark.parametrize(
        "head",
        [
            request(token=OPENSSL),
            request(bearer=JWT),
            request(cookie=f"sessionid={OPAQUE}", bearer=JWT),
            request(token=OPENSSL, bearer="somebodys-own-key"),
            request("/login"),
        ],
        ids=["cookie", "header", "opaque cookie and header", "cookie and foreign key", "open path"],
    )
    def test_a_request_that_passes_is_not_logged(
        self, head: Request, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert logged(caplog, make_gate("/login"), head) == []

    @pytest.mark.parametrize("authorization", [None, "Bearer", "Basic abc"])
    def test_the_proxys_own_session_id_is_not_a_refused_token(
        self, authorization: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate, head = make_gate(), request(token=OPAQUE, authorization=authorization)
        logged(caplog, gate, head)
        [(level, _)] = logged(caplog, gate, head)
        assert level == "INFO"

    @pytest.mark.parametrize(
        ("path", "written"),
        [
            ("/a\r\nGET /b", "/a\\r\\nGET /b"),
            ("/a\x00\x1b[31m", "/a\\x00\\x1b[31m"),
            ("/a\x7f\x85\x9f", "/a\\x7f\\x85\\x9f"),
            ("/a\u2028b\u2029", "/a\\u2028b\\u2029"),
            ("/\u202egnp.exe", "/\\u202egnp.exe"),
            ("/\u200e\u200f\u061c", "/\\u200e\\u200f\\u061c"),
            ("/\u202a\u202b\u202c\u202d", "/\\u202a\\u202b\\u202c\\u202d"),
            ("/\u2066\u2067\u2068\u2069", "/\\u2066\\u2067\\u2068\\u2069"),
            ("/\u200b", "/\\u200b"),
            ("/\ud800\udfff", "/\\ud800\\udfff"),
            ("/café/日本/😀", "/café/日本/😀"),
        ],
    )
    def test_a_path_cannot_break_or_disguise_the_line(
        self, path: str, written: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        [(_, line)] = logged(caplog, make_gate(), request(path))
        assert line.startswith(f"GET {written} refused: ")
        assert len(line.splitlines()) == 1
        line.encode()

    def test_a_percent_sign_in_a_path_is_not_a_placeholder(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        [(_, line)] = logged(caplog, make_gate(), request("/%s/%d/%(x)s"))
        assert line.startswith("GET /%s/%d/%(x)s refused")

    @pytest.mark.parametrize("method", ["GET\nx", "", "G\u202eT", "É"])
    def test_a_method_cannot_break_or_disguise_the_line(
        self, method: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        [(_, line)] = logged(caplog, make_gate(), request(method=method))
        assert line.startswith("? /app/ refused: ")

    def test_debug_has_the_steps_of_each_token(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "djsession"):
            decode(make_gate(), request(token=OPENSSL, bearer="a.b.c"))
        assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
        cookie, bearer = (record.getMessage() for record in caplog.records)
        assert cookie.startswith("session token: transport cookie, format openssl\n")
        assert bearer.startswith("session token: transport bearer, format jwt\n")

    @pytest.mark.parametrize(
        ("cookie", "found"),
        [(f'sessionid="{OPENSSL}"', "one pair removed"), (f"sessionid={OPENSSL}", "none")],
        ids=["quoted", "not quoted"],
    )
    def test_debug_says_whether_a_cookie_was_quoted(
        self, cookie: str, found: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, "djsession"):
            decode(make_gate(), request(cookie=cookie))
        [quotes] = [line for line in caplog.text.splitlines() if "quotes:" in line]
        assert quotes.split(maxsplit=2)[1:] == ["passed", found]


def test_a_gate_keeps_nothing_about_a_request() -> None:
    gate = make_gate()
    ask(gate, request())
    before = dict(vars(gate))
    for head in (request(token=OPENSSL), request(bearer="a.b.c"), request()):
        ask(gate, head)
    assert vars(gate) == before


def test_what_was_decoded_says_why_there_is_no_session() -> None:
    decoded = decode(make_gate(), request(bearer="a.b.c"))
    assert isinstance(decoded, DecodedRequest)
    assert decoded.session is None
    assert decoded.carries_token
    assert len(decoded.causes) == 1
    assert not decode(make_gate(), request(token=OPENSSL)).causes
    assert isinstance(decode(make_gate(), request(token=OPENSSL)).session, Session)


class TestGateAndOrigins:
    """See tests/test_asgi.py for what browsers and other clients send."""

    @pytest.mark.parametrize(
        ("origins", "hosts"),
        [
            ([], []),
            (["https://a.example:8000"], ["a.example:8000"]),
            (["HTTPS://A.EXAMPLE"], ["a.example"]),
            (["https://a.example"], ["A.EXAMPLE"]),
            (["https://WWW.example"], []),
            (["https://www.example", "https://a.example"], ["a.example"]),
        ],
    )
    def test_a_page_of_the_same_or_of_a_listed_site_keeps_the_session(
        self, origins: list[str], hosts: list[str]
    ) -> None:
        gate = make_gate(websocket_origins=["https://www.example"])
        decoded = decode(gate, request(token=OPENSSL))
        assert gate.check_origin(decoded, origins, hosts) is decoded

    @pytest.mark.parametrize(
        ("origins", "hosts"),
        [
            (["https://b.example"], ["a.example"]),
            (["https://a.example"], []),
            (["https://a.example"], ["a.example", "b.example"]),
            (["https://www.example", "https://b.example"], ["a.example"]),
            (["https://b.example", "https://www.example"], ["a.example"]),
            (["https://x://a.example"], ["a.example"]),
            (["null"], [""]),
        ],
    )
    def test_a_page_of_another_site_has_no_session(
        self, origins: list[str], hosts: list[str]
    ) -> None:
        gate = make_gate(websocket_origins=["https://www.example"])
        decoded = decode(gate, request(token=OPENSSL))
        found = gate.check_origin(decoded, origins, hosts)
        assert found.session is None
        assert found.carries_token is True
        assert (found.settings, found.received) == (decoded.settings, decoded.received)
        [cause] = found.causes
        assert cause.startswith("a page of another site opened the WebSocket: ")

    def test_without_a_session_the_causes_stay(self) -> None:
        gate = make_gate()
        decoded = decode(gate, request(token="garbage"))
        assert gate.check_origin(decoded, ["https://b.example"], ["a.example"]) is decoded
