"""For each thing that goes wrong, an input that has it and the sentence that comes out."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import Session, SessionCodec, SessionError, Settings, commands, dumps
from djsession.codec import FORMATS, Format
from djsession.doctor import Case, Configuration, InputError, RecordedRequest, Report
from djsession.doctor.diagnosis import NGINX_LIMIT
from tests.helpers.commands import ROOT, command
from tests.helpers.nginx import running_nginx
from tests.helpers.servers import http
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, load_capture
from tests.helpers.strategies import ANY_SESSIONS
from tests.helpers.tokens import REFUSED, forge, token_of

TOKEN = dumps(XIA, KEY)
JWT = dumps(XIA, KEY, "jwt")
SHELL_KEY = "k3y!@#$%^*-_=+ab".replace("$%^*-_=+ab", "")  # what a shell leaves of one


def openssl(*options: str) -> str:
    """Return the token that ``openssl enc`` writes of a session."""
    done = subprocess.run(
        [command("openssl"), "enc", "-aes-256-cbc", "-a", "-A", *options, "-pass", f"pass:{KEY}"],
        input=json.dumps(XIA).encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def examine(text: str, keys: Sequence[str] = (KEY,), **settings: Any) -> Report:
    """Return the report on a text, with keys and settings as somebody configured them."""
    return commands.examine(text, Configuration.of(keys, settings))


def ids(text: str, *keys: str, **settings: Any) -> list[str]:
    return [finding.id for finding in examine(text, keys or (KEY,), **settings).findings]


def sentence(name: str, text: str, *keys: str, **settings: Any) -> str:
    """Return the sentence and the remedy of the one finding of that name."""
    report = examine(text, keys or (KEY,), **settings)
    [found] = [finding for finding in report.findings if finding.id == name]
    return f"{found.sentence} {found.remedy}"


class TestDiagnosisOfKeys:
    def test_a_wrong_key_is_named_as_the_cause(self) -> None:
        assert ids(TOKEN, OTHER_KEY) == ["wrong-key"]
        found = sentence("wrong-key", TOKEN, OTHER_KEY)
        assert found.startswith("The token was not written with this key: most likely DJAODJIN_")
        assert "The jwt was not signed with any of these keys" in sentence(
            "wrong-key", JWT, OTHER_KEY, "an0ther-key-of-16"[:16]
        )

    def test_a_wrong_key_that_yields_valid_padding_by_chance_is_still_wrong(self) -> None:
        assert {tuple(ids(dumps(XIA, KEY), OTHER_KEY)) for _ in range(600)} == {("wrong-key",)}

    @pytest.mark.parametrize(
        ("key", "what"),
        [
            (f'"{KEY}"', "quotes"),
            (f"'{KEY}'", "quotes"),
            (f"{KEY}\n", "white space or a line end"),
            (f"{KEY}\r", "white space or a line end"),
            (f" {KEY}", "white space or a line end"),
            (f'" {KEY}" ', "white space or a line end"),
        ],
    )
    def test_quotes_or_white_space_around_a_key_are_named(self, key: str, what: str) -> None:
        for token in (TOKEN, JWT):
            report = examine(token, (key,))
            assert not report.decodes  # an application does not start with it
            assert [finding.id for finding in report.findings if finding.is_cause] == []
            assert f"has {what} around it, and works without" in report.findings[0].sentence
            assert f"has {what} around it, and does not work without" in sentence(
                "key-quotes", token, key.replace(KEY, OTHER_KEY)
            )

    def test_a_short_key_suggests_that_a_shell_removed_characters(self) -> None:
        found = sentence("key-length", TOKEN, "k3y!@#ab")
        assert "is 8 characters long, but the proxy's keys have 16: a shell may have removed" in (
            found
        )
        assert "single quotes" in found
        assert "key-length" in ids(TOKEN, "k3y!@#-_=+ab")
        # One of another length that works is nobody's mistake.
        assert ids(dumps(XIA, "short"), "short") == []
        assert ids(dumps(XIA, "x" * 32), "y" * 32) == ["wrong-key"]

    @pytest.mark.parametrize(
        ("name", "key", "what"),
        [
            ("key-base64", b64encode(KEY.encode()).decode(), "is the base64 encoding of the key"),
            ("key-url-encoded", quote(KEY, safe=""), "is URL-encoded"),
            ("key-escaped", KEY.replace("$", "$$"), "has every $ doubled"),
            ("key-escaped", KEY.replace("%", "%%"), "has every % doubled"),
            ("key-escaped", KEY.replace("$", "\\$"), "has a backslash before a character"),
            ("key-escaped", KEY.replace("!", "\\!").replace("#", "\\#"), "a backslash before"),
        ],
    )
    def test_a_key_that_was_encoded_once_too_often_is_recognized(
        self, name: str, key: str, what: str
    ) -> None:
        for token in (TOKEN, JWT):
            found = sentence(name, token, key)
            assert what in found
            assert "The original key works." in found
            assert ids(token, key) == [name]

    def test_a_key_that_was_decoded_by_mistake_is_recognized(self) -> None:
        base64_key = b64encode(b"twelve bytes").decode()  # itself of 16 characters
        assert "was base64-decoded" in sentence(
            "key-base64", dumps(XIA, base64_key), "twelve bytes"
        )
        assert "was URL-decoded" in sentence("key-url-encoded", dumps(XIA, "a%40b"), "a@b")

    @pytest.mark.parametrize(("single", "double"), [("$", "$$"), ("%", "%%")])
    def test_a_key_in_which_doubled_signs_became_single_is_recognized(
        self, single: str, double: str
    ) -> None:
        key = f"abc{double}defghijk{double}l"
        found = sentence("key-unescaped", dumps(XIA, key), key.replace(double, single))
        assert f"lacks every second {single}" in found

    @pytest.mark.parametrize(
        ("key", "keys"),
        [
            ("abcdefg,hijklmno", ["abcdefg", "hijklmno"]),
            ("abcdefg,hijklmno", [KEY, "abcdefg", "hijklmno"]),
            ("a,bcdef,g,ijklmno", ["a", "bcdef", "g", "ijklmno"]),
            ("abcdefghijklmno,", ["abcdefghijklmno", ""]),
        ],
    )
    def test_a_key_that_was_split_at_its_comma_is_recognized(
        self, key: str, keys: list[str]
    ) -> None:
        for format in FORMATS:
            found = sentence("key-comma", dumps(XIA, key, format), *keys)
            assert "since commas separate keys in it" in found
            assert "Generate a new key without a comma" in found
            assert ids(dumps(XIA, key, format), *keys) == ["key-comma"]
        assert "key-comma" not in ids(TOKEN, *keys)

    def test_a_missing_key_and_one_outside_ascii_are_reported(self) -> None:
        assert "There is no secret key" in sentence("no-key", TOKEN, "")
        assert examine(TOKEN, ()).findings[0].id == "no-key"
        assert "outside ASCII" in sentence("key-not-ascii", TOKEN, "clé-de-16-lettres")

    def test_a_key_that_was_encoded_is_the_whole_reason(self) -> None:
        assert ids(TOKEN, b64encode(KEY.encode()).decode()) == ["key-base64"]

    def test_a_key_that_is_too_long_does_not_blame_the_shell(self) -> None:
        assert "a shell may" not in sentence("key-length", TOKEN, KEY + "x")
        assert "a shell may" in sentence("key-length", TOKEN, KEY[:5])

    def test_a_quoted_key_is_explained_without_blaming_the_shell(self) -> None:
        report = examine(TOKEN, [f'"{KEY}"'])
        assert "an application does not start with this key" in report.as_text()
        assert "programs that read an env file keep them" in " ".join(report.as_text().split())
        assert "shell" not in examine(TOKEN, [f"{KEY}\n"]).as_text()

    def test_without_a_key_the_trace_fails_at_the_key_and_tries_no_other(self) -> None:
        report = examine(TOKEN, [])
        assert report.traces[0].failed is not None
        assert report.traces[0].failed.name == "secret key"
        assert [finding.id for finding in report.findings] == ["no-key"]


class TestDiagnosisOfSessionBackends:
    def test_the_proxys_own_session_id_is_recognized(self) -> None:
        own = "abcdefghijklmnopqrstuvwxyz012345"
        for text in (f"Cookie: sessionid={own}", f'Cookie: a=b; sessionid="{own}"', own):
            assert "proxy's own session id" in sentence("opaque-cookie", text)

    def test_a_jwt_in_the_cookie_and_a_cookie_token_in_the_header_are_named(self) -> None:
        assert "uses the JWT session backend" in sentence(
            "jwt-backend", f"Authorization: Bearer {JWT}"
        )
        assert "The cookie contains a jwt" in sentence("jwt-in-cookie", f"Cookie: sessionid={JWT}")
        assert "A token of the cookie format does not count in an Authorization" in sentence(
            "does-not-count", f"Authorization: Bearer {TOKEN}"
        )
        assert not examine(f"Authorization: Bearer {TOKEN}").decodes

    def test_an_empty_bearer_header_is_a_visitor_of_the_jwt_backend(self) -> None:
        assert "a visitor who is not signed in" in sentence("bearer-empty", "Authorization: Bearer")

    def test_an_authorization_header_of_another_scheme_is_reported(self) -> None:
        text = "GET / HTTP/1.1\nAuthorization: Basic dXNlcjpwYXNz\n"
        assert ids(text) == ["no-token", "other-scheme"]

    def test_without_a_token_a_cookie_with_a_similar_name_is_pointed_out(self) -> None:
        assert "Send the request through the proxy" in sentence(
            "no-token", "GET / HTTP/1.1\nHost: x\n"
        )
        for name in ("SessionID", "session_id"):
            found = sentence("cookie-name", f'Cookie: a=b; {name}="{TOKEN}"')
            assert f"The cookie '{name}' looks like the session cookie" in found
        assert ids("Cookie: a=b; c=U2FsdGVk") == ["no-token"]

    @pytest.mark.parametrize(
        "headers",
        [
            "X-Forwarded-For: 10.0.0.1",
            "X-Real-IP: 10.0.0.1\nCookie: a=b; sessionid=abcdefghijklmnopqrstuvwxyz012345",
            "X-Forwarded-For: 10.0.0.1\nAuthorization: Basic dXNlcjpwYXNz",
        ],
    )
    def test_a_proxied_request_without_a_token_suggests_the_no_session_backend(
        self, headers: str
    ) -> None:
        text = f"GET / HTTP/1.1\n{headers}\n"
        assert ids(text) == ["no-session-backend"]
        found = sentence("no-session-backend", text)
        assert "session backend is 'No session forwarded'" in found
        assert "The key has nothing to do with it." in found

    @pytest.mark.parametrize(
        "headers",
        [
            "Authorization: Bearer",
            "Authorization: Bearer api-key",
            "Cookie: sessionid=hello",
            f"Cookie: other={TOKEN}",
        ],
    )
    def test_a_token_or_bearer_header_rules_out_the_no_session_backend(self, headers: str) -> None:
        text = f"GET / HTTP/1.1\nX-Forwarded-For: 10.0.0.1\n{headers}\n"
        assert "no-session-backend" not in ids(text)

    @pytest.mark.parametrize("name", ["bearer-anonymous", "cookie-anonymous"])
    def test_recorded_requests_of_visitors_are_recognized(self, name: str) -> None:
        environ = load_capture(ROOT / f"tests/captures/{name}.json").environ
        text = "GET / HTTP/1.1\n" + "".join(
            f"{key[5:].replace('_', '-')}: {value}\n"
            for key, value in environ.items()
            if key.startswith("HTTP_")
        )
        expected = {"bearer-anonymous": "bearer-empty", "cookie-anonymous": "empty-session"}[name]
        assert expected in ids(text)
        assert "no-session-backend" not in ids(text)


class TestDiagnosisInDevelopment:
    """The keys of mockup logins come and go, and the proxy has no part in them."""

    def examine(self, text: str, key: str = KEY) -> Report:
        configuration = Configuration.of_settings(Settings(key), is_development=True)
        return commands.examine(text, configuration)

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_cookie_of_an_earlier_run_asks_for_a_new_login(self, format: Format) -> None:
        [finding] = self.examine(f"Cookie: sessionid={dumps(XIA, OTHER_KEY, format)}").findings
        assert (finding.id, finding.is_cause) == ("earlier-run", True)
        # Signing in again does not help behind a stand-in that has another key.
        assert finding.remedy.startswith("Sign in again. ")
        assert "'djsession serve'" in finding.remedy
        assert "from an earlier run of the server" in finding.sentence
        assert "proxy" not in finding.sentence

    def test_a_short_key_and_no_token_are_normal(self) -> None:
        report = self.examine(f"Cookie: sessionid={TOKEN}", "secret")
        assert [finding.id for finding in report.findings] == ["earlier-run"]
        [finding] = self.examine("Cookie: a=b").findings
        assert (finding.id, finding.remedy) == ("no-token", "Sign in.")


class TestDiagnosisOfExpiry:
    def test_an_expired_jwt_says_how_long_ago(self) -> None:
        old = forge({"alg": "HS256"}, json.dumps({**XIA, "exp": int(time.time()) - 7200}).encode())
        assert ids(old) == ["expired"]
        assert "The session expired 2 hours ago. Sign in again" in sentence("expired", old)

    def test_a_jwt_that_expired_a_minute_ago_suggests_a_fast_clock(self) -> None:
        new = forge({"alg": "HS256"}, json.dumps({**XIA, "exp": int(time.time()) - 60}).encode())
        assert ids(new) == ["expired", "clock"]
        assert "this machine's clock is fast" in sentence("clock", new)

    def test_a_jwt_that_expires_too_far_ahead_suggests_a_slow_clock(self) -> None:
        ahead = dumps({**XIA, "exp": int(time.time()) + 3 * 3600}, KEY, "jwt")
        assert "behind the proxy's" in sentence("clock", ahead)
        assert ids(JWT) == []
        for far in (10**400, 1e300):
            assert ids(dumps({**XIA, "exp": far}, KEY, "jwt")) == ["clock"]

    def test_a_mockup_login_lasts_longer_than_the_proxys_tokens(self) -> None:
        session = {**XIA, "exp": int(time.time()) + 86400}
        assert ids(f"Cookie: sessionid={dumps(session, KEY)}") == []
        assert ids(f"Cookie: sessionid={dumps(session, KEY, 'jwt')}") == ["jwt-in-cookie"]

    def test_an_expired_jwt_is_recognized_under_either_of_two_keys(self) -> None:
        old = forge({"alg": "HS256"}, json.dumps({"exp": 1}).encode())
        assert ids(old, KEY, OTHER_KEY) == ids(old, OTHER_KEY, KEY) == ["expired"]

    def test_an_expired_jwt_of_another_key_reports_the_key_only(self) -> None:
        old = forge({"alg": "HS256"}, json.dumps({"exp": 1}).encode(), key=OTHER_KEY)
        assert ids(old) == ["wrong-key"]

    def test_an_unsupported_algorithm_and_an_invalid_exp_are_named(self) -> None:
        assert ids(forge({"alg": "none"})) == ["jwt-algorithm"]
        assert ids(forge({"alg": "HS256"}, b'{"exp": "tomorrow"}')) == ["invalid-exp"]
        assert ids(forge({"alg": "HS256"}, b'{"username": "xia"}')) == ["invalid-exp"]
        assert ids(forge({"alg": "HS256", "crit": ["exp"]}, b"{}")) == ["jwt-algorithm"]

    @pytest.mark.parametrize("payload", [b"[]", b"\xff", b"xia", b"", b'{"exp": NaN}'])
    def test_a_signed_payload_that_is_not_a_session(self, payload: bytes) -> None:
        # The signature has shown that the key is right.
        assert ids(forge({"alg": "HS256"}, payload)) == ["not-a-session"]


class TestDiagnosisOfDamagedTokens:
    @pytest.mark.parametrize("left", [100, 101, 102, 103, 104, 120, 200, 300])
    def test_a_token_that_was_cut_off_is_recognized(self, left: int) -> None:
        assert ids(TOKEN[:left]) == ["cut-off"]
        assert "a limit on the size of a header, by a line wrap or in copying" in sentence(
            "cut-off", TOKEN[:left]
        )

    def test_a_jwt_that_was_cut_off_is_recognized(self) -> None:
        assert ids(JWT.rpartition(".")[0]) == ["cut-off"]
        assert ids(JWT.partition(".")[0]) == ["cut-off"]

    def test_a_token_that_lost_its_base64_padding_is_recognized(self) -> None:
        token = next(token for n in range(9) if (token := dumps({"a": "x" * n}, KEY))[-1] == "=")
        assert "lacks the = at its end" in sentence("cut-off", token.rstrip("="))

    @pytest.mark.parametrize(
        ("name", "damaged", "what"),
        [
            ("url-encoded", quote(TOKEN, safe=""), "is URL-encoded"),
            ("double-quoted", f"%22{quote(TOKEN, safe='')}%22", "quotes"),
            ("double-quoted", f'""{TOKEN}""', "quotes"),
            ("double-quoted", f'\\"{TOKEN}\\"', "quotes"),
            ("double-quoted", f"'{TOKEN}'", "quotes"),
            ("line-wrap", f"{TOKEN[:76]}\n{TOKEN[76:152]}\n{TOKEN[152:]}", "is wrapped"),
        ],
        ids=range(6),
    )
    def test_quoting_wrapping_or_url_encoding_on_the_way_is_undone_and_named(
        self, name: str, damaged: str, what: str
    ) -> None:
        found = sentence(name, damaged)
        assert what in found
        assert "once this is undone, it decodes" in found
        assert [name] == [
            finding.id for finding in examine(damaged, (KEY,)).findings if finding.is_cause
        ]
        if "\n" not in damaged:
            assert name in ids(f"Cookie: a=b; sessionid={damaged}")

    def test_plus_signs_turned_into_spaces_or_url_safe_signs_are_named(self) -> None:
        # Not at the end, where a space is lost.
        tokens = (dumps(XIA, KEY) for _ in iter(int, 1))
        token = next(token for token in tokens if "+" in token and token[-1] != "+")
        assert "spaces in place of +" in sentence("url-encoded", token.replace("+", " "))
        assert "URL-safe base64 alphabet" in sentence(
            "url-encoded", token.replace("+", "-").replace("/", "_")
        )

    def test_text_that_is_not_a_token_is_reported_as_such(self) -> None:
        for text in ("ghp_somebodys_token", "a.b.c", "Cookie: sessionid=hello"):
            assert "not-a-token" in ids(text)

    def test_a_token_over_max_token_size_names_the_setting(self) -> None:
        assert "longer than max_token_size. Raise max_token_size" in sentence(
            "too-large", TOKEN, max_token_size=10
        )

    def test_a_format_that_the_settings_exclude_names_the_setting(self) -> None:
        for token, formats in ((TOKEN, ["jwt"]), (JWT, ["openssl"])):
            found = sentence("format-refused", token, formats=formats)
            assert "a format that the setting formats excludes. Set formats" in found

    @pytest.mark.parametrize(
        ("plaintext", "what"),
        [
            (b'{"username": "xia", "username": "admin"}', "repeats a name within one object"),
            (b'{"roles": ' + b"[" * 70 + b"]" * 70 + b"}", "more than 64 levels deep"),
            (b'{"last_visited": "\\" \\""}', "last_visited contains characters"),
        ],
        ids=range(3),
    )
    def test_a_plaintext_that_the_proxy_never_writes_is_reported_as_altered(
        self, plaintext: bytes, what: str
    ) -> None:
        found = sentence("altered", token_of(plaintext))
        assert what in found
        assert "set trusted_proxies" in found
        assert ids(token_of(plaintext), OTHER_KEY) == ["wrong-key"]


class TestDiagnosisOfOpensslOutput:
    """With the real command."""

    def test_a_token_written_with_md5_decodes(self) -> None:
        assert examine(openssl("-md", "md5"), (KEY,)).decodes

    @pytest.mark.filterwarnings("ignore")
    def test_tokens_written_with_sha256_or_pbkdf2_are_recognized(self) -> None:
        assert "-md sha256, its default" in sentence("sha256", openssl())
        assert "-md sha256, its default" in sentence("sha256", openssl("-md", "sha256"))
        assert "with -pbkdf2" in sentence("pbkdf2", openssl("-pbkdf2"))
        for options in ((), ("-pbkdf2",)):
            [finding] = examine(openssl(*options), (KEY,)).findings
            assert finding.is_cause
            assert ids(openssl(*options), OTHER_KEY) == ["wrong-key"]

    def test_output_that_is_wrapped_into_lines_is_recognized(self) -> None:
        done = subprocess.run(
            [command("openssl"), "enc", "-aes-256-cbc", "-a", "-md", "md5", "-pass", f"pass:{KEY}"],
            input=json.dumps(XIA).encode(),
            capture_output=True,
            check=True,
        )
        assert "line-wrap" in ids(done.stdout.decode())


class TestDiagnosisOfSessions:
    def test_an_empty_session_decodes_and_is_explained(self) -> None:
        assert "lets anyone through here" in sentence("empty-session", dumps({}, KEY))
        assert examine(dumps({}, KEY), (KEY,)).decodes

    def test_a_session_without_a_username_is_pointed_out(self) -> None:
        assert "does not contain a username" in sentence(
            "no-username", dumps({"last_visited": None}, KEY)
        )

    def test_plaintext_that_is_not_a_json_object_is_not_a_session(self) -> None:
        for plaintext in (b'[{"username": "xia"}]', b"{'a': 1}", b"hello, world"):
            assert ids(token_of(plaintext)) == ["not-a-session"]

    def test_json_with_characters_outside_ascii_is_reported(self) -> None:
        plaintext = '{"username": "xia", "site": {"printable_name": "Café"}}'.encode()
        assert "with this key, but its JSON contains characters outside ASCII" in sentence(
            "not-ascii", token_of(plaintext)
        )
        assert ids(token_of(plaintext), OTHER_KEY) == ["wrong-key"]


DANA_JWT = dumps({"username": "dana"}, KEY, "jwt")


class TestDiagnosisOfSeveralTokens:
    def test_two_different_sessions_give_no_session_and_show_neither_user(self) -> None:
        text = f"GET / HTTP/1.1\nCookie: sessionid={TOKEN}\nAuthorization: Bearer {DANA_JWT}\n"
        report = examine(text)
        assert not report.decodes
        assert report.session is None
        assert [finding.id for finding in report.findings if finding.is_cause] == [
            "no-token-counts"
        ]
        assert "No token was accepted: the request carries two different sessions." in sentence(
            "no-token-counts", text
        )
        for shown in (report.as_text(), report.as_json()):
            assert "xia" not in shown
            assert "dana" not in shown
        assert "There is no session." in report.as_text()
        document = json.loads(report.as_json())
        assert (document["decodes"], document["session"]) == (False, None)
        assert [token["decodes"] for token in document["tokens"]] == [True, True]

    def test_two_tokens_of_one_session_are_fine(self) -> None:
        text = f"GET / HTTP/1.1\nCookie: sessionid={TOKEN}\nAuthorization: Bearer {JWT}\n"
        assert examine(text).decodes
        assert ids(text) == ["jwt-backend"]

    def test_too_many_session_cookies_or_characters_are_reported(self) -> None:
        tokens = "; ".join(f"sessionid={dumps(XIA, KEY)}" for _ in range(5))
        assert "more than 4 session cookies" in sentence("no-token-counts", f"Cookie: {tokens}")
        text = f"GET / HTTP/1.1\nCookie: sessionid={TOKEN}\nAuthorization: Bearer {JWT}\n"
        size = max(len(TOKEN), len(JWT))
        assert "max_token_size" in sentence("no-token-counts", text, max_token_size=size)

    def test_an_empty_bearer_header_overrules_the_cookie(self) -> None:
        text = f"GET / HTTP/1.1\nCookie: sessionid={TOKEN}\nAuthorization: Bearer\n"
        assert not examine(text).decodes
        found = sentence("no-token-counts", text)
        assert "Authorization: Bearer is empty, so nobody is signed in at the proxy" in found
        assert examine(text, formats=["openssl"]).decodes

    def test_a_token_that_is_ignored_beside_one_that_counts_is_no_cause(self) -> None:
        for cookie, bearer in ((TOKEN, "somebodys-api-key"), (TOKEN, TOKEN), (DANA_JWT, JWT)):
            text = f"GET / HTTP/1.1\nCookie: sessionid={cookie}\nAuthorization: Bearer {bearer}\n"
            report = examine(text)
            assert report.decodes
            assert report.session is not None
            assert report.session["username"] == "xia"
            [finding] = [item for item in report.findings if item.id == "does-not-count"]
            assert not finding.is_cause
            assert "somebodys-api-key" not in report.as_text()

    def test_a_jwt_cookie_ignored_beside_a_bearer_header_is_the_cause(self) -> None:
        text = f"GET / HTTP/1.1\nCookie: sessionid={JWT}\nAuthorization: Bearer api-key\n"
        report = examine(text)
        assert not report.decodes
        assert "A jwt in the cookie does not count beside an Authorization: Bearer header." in (
            sentence("does-not-count", text)
        )
        steps = [step for step in report.traces[0].steps if step.status == "failed"]
        assert [step.name for step in steps] == ["transport"]


class TestDiagnosisOfSettings:
    @pytest.mark.parametrize(
        ("settings", "what"),
        [
            ({"allowed_no_session": ["static/"]}, "allowed_no_session: 'static/' must start with"),
            ({"max_token_size": "64K"}, "max_token_size: must be a positive int"),
            ({"trusted_proxies": ["proxy"]}, "trusted_proxies: 'proxy' does not appear"),
        ],
    )
    def test_a_wrong_setting_is_named_and_left_out(
        self, settings: dict[str, Any], what: str
    ) -> None:
        assert what in sentence("settings", TOKEN, **settings)
        report = examine(TOKEN, **settings)
        assert [finding.is_cause for finding in report.findings] == [False]
        assert report.session is not None

    def test_trusted_proxies_are_not_checked_but_mentioned(self) -> None:
        # The input does not have the address of the connection.
        for text in (TOKEN, f"Cookie: sessionid={TOKEN}"):
            report = examine(text, trusted_proxies=["10.0.0.7"])
            assert report.decodes
            assert "trusted-proxies" in [finding.id for finding in report.findings]

    @pytest.mark.parametrize("peer", ["10.0.0.7", "10.0.0.8", ""])
    def test_a_peer_that_is_known_is_checked(self, peer: str) -> None:
        request = RecordedRequest("request", [("cookie", f"sessionid={TOKEN}")], "/", peer=peer)
        configuration = Configuration.of([KEY], {"trusted_proxies": ["10.0.0.7"]})
        report = Report.of(Case(request, configuration))
        assert report.decodes == (peer == "10.0.0.7")
        assert (report.session is None) != report.decodes
        causes = [finding.id for finding in report.findings]
        assert causes == ([] if report.decodes else ["trusted-proxies"])


class TestDiagnosisOfRequests:
    def test_a_header_over_the_limits_of_gunicorn_and_nginx_is_reported(self) -> None:
        token = dumps({**XIA, "bio": "x" * 6500}, KEY)
        found = sentence("header-limit", f"GET / HTTP/1.1\nCookie: sessionid={token}\n")
        assert "gunicorn refuses headers over 8190 bytes" in found
        assert "nginx in front of the application refuses headers over 8192 bytes" in found
        assert "limit-request-field-size" in found
        assert "large_client_header_buffers 4 32k" in found
        assert ids(f"Cookie: sessionid={TOKEN}") == []

    @pytest.mark.server
    def test_nginx_accepts_a_header_of_exactly_the_documented_limit(self, tmp_path: Path) -> None:
        directives = "server { listen 127.0.0.1:{port}; location / { return 204; } }"
        with running_nginx(directives, tmp_path) as port:
            for size, status in ((NGINX_LIMIT, 204), (NGINX_LIMIT + 1, 400)):
                value = "x" * (size - len("X-A: \r\n"))
                assert http(port, X_A=value)[0] == status

    @pytest.mark.parametrize(
        "path",
        ["/login-admin", "/Login/", "/login/../app", "/login//x", "/%2e/login", "/login/%252e"],
    )
    def test_a_path_that_only_resembles_an_open_one_is_reported(self, path: str) -> None:
        found = ids(f"GET {path} HTTP/1.1\n", allowed_no_session=["/login"])
        expected = [] if path == "/%2e/login" else ["path-not-open"]
        assert [item for item in found if item.startswith("path")] == expected

    def test_open_and_closed_paths_are_told_apart(self) -> None:
        options = {"allowed_no_session": ["/login", "/"]}
        assert "path-open" in ids("GET /login/x HTTP/1.1\n", **options)
        assert "path-open" in ids("GET / HTTP/1.1\n", **options)
        assert "matches only the home page" in sentence(
            "path-not-open", "GET /x HTTP/1.1\n", **options
        )
        assert ids("GET /x HTTP/1.1\n", allowed_no_session=["/login"]) == ["no-token"]


SECRETS = st.sampled_from([KEY, OTHER_KEY, TOKEN, JWT, "Cookie: sessionid=", "GET / HTTP/1.1\n"])
INPUTS = (
    st.text()
    | st.lists(SECRETS | st.text(max_size=5), max_size=6).map("".join)
    | st.binary().map(lambda data: data.decode("utf-8", "replace"))
    | st.sampled_from([token for _, token in REFUSED.values()])
)
CREDENTIAL = "AKIA-of-somebody"


@given(INPUTS, st.lists(st.sampled_from([KEY, OTHER_KEY, f'"{KEY}"', "", "é"]), max_size=3))
def test_the_doctor_reports_on_any_input_and_shows_no_key(text: str, keys: list[str]) -> None:
    try:
        report = examine(text, keys, allowed_no_session=["/login"])
    except InputError:
        return
    for shown in (report.as_text(), report.as_text(colour=True), report.as_json()):
        assert shown.isascii()
        for key in keys:
            assert len(key) < 6 or key not in shown
    json.loads(report.as_json())


def test_the_json_report_of_an_infinite_number_is_valid_json() -> None:
    token = token_of(b'{"a": 1e999}')
    assert json.loads(examine(token, (KEY,)).as_json(), parse_constant=pytest.fail)


@given(ANY_SESSIONS)
def test_the_doctor_agrees_with_the_codec_on_any_session(session: dict[str, Any]) -> None:
    token = token_of(json.dumps(session).encode())
    report = examine(token)
    found = SessionCodec(KEY).try_loads(token)
    assert report.decodes == isinstance(found, Session)
    if isinstance(found, SessionError):
        assert found.id in [finding.id for finding in report.findings if finding.is_cause]
    assert report.as_text().isascii()
    json.loads(report.as_json())


@given(
    st.sampled_from(["secret_key", "access_key", "security_token", "session_key", "password"]),
    st.sampled_from(["openssl", "jwt"]),
    st.sampled_from([KEY, OTHER_KEY]),
    st.dictionaries(st.text(), st.text() | st.just(KEY), max_size=3),
)
def test_the_doctor_never_shows_a_credential_or_a_key(
    name: str, format: Any, key: str, more: dict[str, str]
) -> None:
    token = dumps({**more, name: CREDENTIAL, "nested": [{name: CREDENTIAL}]}, KEY, format)
    for text in (token, f"Cookie: sessionid={token}", f"Authorization: Bearer {token}"):
        report: Report = examine(text, (key,))
        counts = format == "jwt" or not text.startswith("Authorization")
        assert report.decodes == (key == KEY and counts)
        for shown in (report.as_text(), report.as_json()):
            assert CREDENTIAL not in shown
            assert key not in shown
