"""Requests that come from this machine and stayed on it, and all those that did not."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.middleware.proxy_fix import ProxyFix

from djsession import dumps
from djsession.mockup import MockupApp
from djsession.mockup.locality import (
    is_local_host,
    is_loopback,
    is_this_machine,
    normalize_hosts,
    why_not_local,
)
from tests.helpers.mockup_client import HTML, LOCAL, SESSIONS, get, post, post_json
from tests.helpers.sessions import KEY, XIA
from tests.helpers.wsgi import Recorder

HOSTS = normalize_hosts(["Dev.example.com", "192.168.1.5", "[fd00::5]"])

OPTIONS = [
    "allow_remote=True",
    "djsession serve --allow-remote",
    "MOCKUP_ALLOW_REMOTE (Django)",
    "DJSESSION_MOCKUP_ALLOW_REMOTE (Flask)",
    "djsession.mockup_allow_remote (Pyramid)",
]
HOST_OPTIONS = [
    "hosts (MockupApp)",
    "djsession serve --allow-host",
    "MOCKUP_HOSTS (Django)",
    "DJSESSION_MOCKUP_HOSTS (Flask)",
    "djsession.mockup_hosts (Pyramid)",
]


def reason(**environ: Any) -> str | None:
    """Return why a request is not local, when it is apart from these variables."""
    variables = {**LOCAL, **environ}
    present = {name: value for name, value in variables.items() if value is not None}
    found = why_not_local(present, HOSTS)
    return None if found is None else found.reason


LOOPBACK = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"]
MAPPED = ["::ffff:127.0.0.1", "::FFFF:127.0.0.1", "::ffff:7f00:1"]
NOT_LOOPBACK = [
    "",
    " ",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1\n",
    "127.0.0.1.",
    "127.0.0.1:8000",
    "127.0.0.1.evil.example",
    "127.0.0.1, 10.0.0.1",
    "127.1",
    "127.0.0.01",
    "0177.0.0.1",
    "0x7f000001",
    "2130706433",
    "1",
    "\u0661\u0662\u0667.0.0.1",
    "10.0.0.1",
    "0.0.0.0",
    "128.0.0.1",
    "::",
    "::2",
    "[::1]",
    "::1%eth0",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "localhost",
    "unix:",
    "unknown",
    "192.168.1.5",
]


class TestLocalPeer:
    @pytest.mark.parametrize("address", LOOPBACK + MAPPED)
    def test_a_loopback_address_is_local(self, address: str) -> None:
        assert is_loopback(address)
        assert reason(REMOTE_ADDR=address) is None

    @pytest.mark.parametrize("address", [*NOT_LOOPBACK, None, 2130706433, 1, b"127.0.0.1"])
    def test_any_other_peer_is_not_local(self, address: object) -> None:
        assert not is_loopback(address)
        assert reason(REMOTE_ADDR=address) == "it did not come from a loopback address"

    def test_listing_an_address_as_a_host_does_not_admit_its_connections(self) -> None:
        assert reason(REMOTE_ADDR="192.168.1.5") is not None


class TestLocalHost:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "localhost:8000",
            "localhost.:8000",
            "localhost:",
            "app.localhost",
            "App.LocalHost.",
            "a.b.localhost:80",
            "my_app.localhost",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.0.0.2",
            "[::1]",
            "[::1]:8000",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:80",
            # Listed:
            "dev.example.com",
            "DEV.example.com.:8000",
            "192.168.1.5:8000",
            "[fd00:0::5]:8000",
        ],
    )
    def test_a_name_of_this_machine_is_local(self, host: str) -> None:
        assert is_local_host(host, HOSTS)
        assert reason(HTTP_HOST=host) is None

    @pytest.mark.parametrize(
        "host",
        [
            None,
            "",
            " ",
            "example.com",
            "www.dev.example.com",
            "localhost.example.com",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "localhost..",
            ".localhost",
            "a..localhost",
            "0.0.0.0",
            "10.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "127.0.0.1.",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "[127.0.0.1]",
            "[::1%eth0]",
            "[::1",
            "::1",
            "::1]",
            "[::1]8000",
            "[::1].localhost",
            "example.com/.localhost",
            "example.com#.localhost",
            "example.com?.localhost",
            "example.com\\.localhost",
            "example.com:80.localhost",
            "localhost:80:80",
            "localhost:evil",
            "localhost\n",
            " localhost",
            "localhost, evil.example",
            "localhost,localhost",
            "évil.localhost",
            "evîl.localhost",
            "localhost:\u0668",
            "user@localhost",
            "_hidden.localhost",
            "a._hidden.localhost",
            '"localhost"',
            "http://localhost",
        ],
    )
    def test_any_other_host_is_not_local(self, host: str | None) -> None:
        assert not is_local_host(host, HOSTS)
        assert reason(HTTP_HOST=host) == "its Host is not a name of this machine"

    def test_other_hosts_must_be_listed(self) -> None:
        assert is_local_host("dev.example.com", HOSTS)
        assert not is_local_host("dev.example.com", ())


class TestLocalProtocol:
    @pytest.mark.parametrize("protocol", ["HTTP/1.1", "http/1.1", "HTTP/2", "HTTP/2.0", "HTTP/3"])
    def test_http_1_1_and_later_is_local(self, protocol: str) -> None:
        assert reason(SERVER_PROTOCOL=protocol) is None

    @pytest.mark.parametrize(
        "protocol",
        [
            None,
            "",
            "HTTP/1.0",
            "HTTP/0.9",
            "HTTP/1",
            "HTTP/0.11",
            "HTTP/",
            "HTTP/1.",
            "HTTP/1.1\n",
            " HTTP/1.1",
            "HTTPS/1.1",
            "HTTP/\u0661.\u0661",
            "1.1",
            "INCLUDED",
            1.1,
        ],
    )
    def test_an_older_or_unknown_protocol_is_not_local(self, protocol: object) -> None:
        found = reason(SERVER_PROTOCOL=protocol)
        assert found is not None
        assert found.startswith("it was not sent with HTTP/1.1 or later")


class TestLocalOrigin:
    @pytest.mark.parametrize(
        "origin",
        [
            "http://localhost:5173",
            "HTTPS://LocalHost",
            "http://app.localhost",
            "http://127.0.0.1:8000",
            "http://[::1]:3000",
            "https://dev.example.com",
        ],
    )
    def test_an_origin_on_this_machine_is_local(self, origin: str) -> None:
        assert reason(HTTP_ORIGIN=origin) is None

    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "null",
            "localhost",
            "//localhost",
            "http://",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://user@localhost",
            "http://localhost@evil.example",
            "http://evil.example#.localhost",
            "http://localhost http://evil.example",
            "http://evil.example, http://localhost",
            "http://localhost/",
            "http://localhost\n",
            "file://",
            "file:///localhost",
            "chrome-extension://abcdef",
            "capacitor://localhost",
            "http://2130706433",
        ],
    )
    def test_any_other_origin_is_not_local(self, origin: str) -> None:
        assert reason(HTTP_ORIGIN=origin) == "its Origin is not on this machine"


# Values of headers that list addresses and hosts.
LOCAL_LISTS = [
    *LOOPBACK,
    *MAPPED,
    "127.0.0.1:52123",
    "[::1]:52123",
    "[::1]",
    " 127.0.0.1\t,  ::1 ",
    "localhost, localhost.:8000,APP.localhost",
    "127.0.0.1,192.168.1.5, dev.example.com, fd00::5",
]
REMOTE_LISTS = [
    "",
    ",",
    "127.0.0.1,",
    ",127.0.0.1",
    "127.0.0.1,,127.0.0.1",
    "127.0.0.1 ::1",
    "10.0.0.1",
    "10.0.0.1, 127.0.0.1",
    "127.0.0.1, 10.0.0.1",
    "127.0.0.1,::1,10.0.0.1:80",
    "::ffff:10.0.0.1",
    "[::ffff:10.0.0.1]:80",
    "::1%eth0",
    "::1:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "2130706433",
    "127.1",
    "unknown",
    "_hidden",
    "_hidden.localhost",
    "-",
    '"127.0.0.1"',
    '"127.0.0.1, 10.0.0.1"',
    "for=127.0.0.1",
    "127.0.0.1\n10.0.0.1",
    "127.0.0.1\x0b",
]


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("HTTP_X_FORWARDED_FOR", "X-Forwarded-For"),
        ("HTTP_X_FORWARDED_HOST", "X-Forwarded-Host"),
        ("HTTP_X_FORWARDED_SERVER", "X-Forwarded-Server"),
        ("HTTP_X_REAL_IP", "X-Real-IP"),
        ("HTTP_X_FORWARDED_BY", "X-Forwarded-*"),
        ("HTTP_X_FORWARDED", "X-Forwarded-*"),
        ("HTTP_X_FORWARDED_<B>", "X-Forwarded-*"),
    ],
)
class TestForwardingHeadersWithAddresses:
    @pytest.mark.parametrize("value", LOCAL_LISTS)
    def test_a_header_that_names_only_this_machine_is_local(
        self, variable: str, name: str, value: str
    ) -> None:
        assert reason(**{variable: value}) is None

    @pytest.mark.parametrize("value", [*REMOTE_LISTS, 2130706433])
    def test_a_header_that_names_one_other_machine_is_not_local(
        self, variable: str, name: str, value: object
    ) -> None:
        expected = f"its {name} header does not name only this machine"
        assert reason(**{variable: value}) == expected


class TestForwardingHeadersWithoutAddresses:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("PROTO", ["http", "HTTPS", "wss", "https, http", "ws,http"]),
            ("SCHEME", ["http", "https"]),
            ("PORT", ["80", "5173", "443, 8000", "65535"]),
            ("PREFIX", ["/", "/app", "/app/api/", "/caf%C3%A9", "/a, /b"]),
            ("SSL", ["on", "off", "On"]),
        ],
    )
    def test_a_well_formed_value_is_local(self, name: str, values: list[str]) -> None:
        for value in values:
            assert reason(**{f"HTTP_X_FORWARDED_{name}": value}) is None

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("PROTO", ["", "evil.example", "10.0.0.1", "http, 10.0.0.1", "http,", "http://a"]),
            ("SCHEME", ["", "evil.example", "127.0.0.1", "httpss"]),
            ("PORT", ["", "evil.example", "10.0.0.1", "2130706433", "-1", "80,", "\u0661"]),
            (
                "PREFIX",
                [
                    "",
                    "evil.example",
                    "//evil.example",
                    "/a, //evil.example",
                    "/\\evil",
                    "a",
                    "/a b",
                ],
            ),
            ("SSL", ["", "evil.example", "10.0.0.1", "on, 10.0.0.1"]),
        ],
    )
    def test_any_other_value_is_not_local(self, name: str, values: list[str]) -> None:
        for value in values:
            assert reason(**{f"HTTP_X_FORWARDED_{name}": value}) is not None


class TestLocalForwardedHeader:
    @pytest.mark.parametrize(
        "value",
        [
            "for=127.0.0.1",
            "FOR=127.0.0.1;Proto=HTTPS;HOST=localhost",
            'for="[::1]:52123"; proto=http ;\tby=127.0.0.1',
            'for="127.0.0.1:80", for="[::ffff:127.0.0.1]"',
            'for="\\127.0.0.1"',
            'for=localhost;host="localhost:8000"',
            "for=192.168.1.5;host=dev.example.com",
            "proto=https",
            "for=127.0.0.1;via=localhost",
        ],
    )
    def test_addresses_and_hosts_of_this_machine_are_local(self, value: str) -> None:
        assert reason(HTTP_FORWARDED=value) is None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            ",",
            ";",
            "127.0.0.1",
            "for",
            "for=",
            'for=""',
            "for=127.0.0.1,",
            "for=127.0.0.1;",
            ",for=127.0.0.1",
            "for = 127.0.0.1",
            "for=10.0.0.1",
            "for=127.0.0.1;by=10.0.0.1",
            "by=10.0.0.1",
            "host=evil.example",
            "for=127.0.0.1;host=evil.example",
            "for=127.0.0.1, for=10.0.0.1",
            "for=10.0.0.1, for=127.0.0.1",
            "for=127.0.0.1;for=10.0.0.1",
            "For=10.0.0.1",
            'for="10.0.0.1"',
            'for="[::ffff:10.0.0.1]:80"',
            'for="\\1\\0.0.0.1"',
            'for="127.0.0.1, 127.0.0.1"',
            'for="127.0.0.1", for="10.0.0.1"',
            'for="127.0.0.1;by=evil"',
            'for="127.0.0.1',
            'for=127.0.0.1"',
            'for="a\\"";by=127.0.0.1',
            "for=[::1]",
            "for=::1",
            "for=unknown",
            "for=_hidden",
            "for=_hidden.localhost",
            'for="127.0.0.1:_hidden"',
            "for=127.0.0.1.evil.example",
            "for=2130706433",
            "proto=evil.example",
            "proto=10.0.0.1",
            "for=127.0.0.1;secret=evil.example",
            "for=127.0.0.1 for=10.0.0.1",
            "for=127.0.0.1\nfor=10.0.0.1",
        ],
    )
    def test_any_other_value_is_not_local(self, value: str) -> None:
        assert reason(HTTP_FORWARDED=value) == (
            "its Forwarded header does not name only this machine"
        )


class TestLocalViaHeader:
    @pytest.mark.parametrize(
        "value",
        [
            "1.1 localhost",
            "HTTP/1.1 LOCALHOST:8000",
            "1.1 127.0.0.1:8000 (nginx)",
            "1.1  [::1]:80\t(a, b) , 2 app.localhost",
            "1.0 dev.example.com",
            "1.1 localhost (1.1 evil.example)",
            "1.1 localhost (\\) quoted)",
        ],
    )
    def test_proxies_on_this_machine_are_local(self, value: str) -> None:
        assert reason(HTTP_VIA=value) is None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            ",",
            "1.1",
            "localhost",
            "1.1 localhost,",
            "1.1 evil.example",
            "1.1 10.0.0.1",
            "1.1 squid",
            "1.1 _hidden.localhost",
            "1.1 localhost, 1.1 evil.example",
            "1.1 evil.example, 1.1 localhost",
            "1.1 localhost (a), 1.1 evil.example (b)",
            "1.1 localhost evil.example",
            "1.1 localhost (a (b), 1.1 evil.example",
            "1.1 localhost(a)",
            "1.1 localhost.evil.example",
            "1.1 ::ffff:10.0.0.1",
        ],
    )
    def test_any_other_proxy_is_not_local(self, value: str) -> None:
        assert reason(HTTP_VIA=value) == "its Via header does not name only this machine"


def test_the_headers_of_development_proxies_are_local() -> None:
    vite = {
        "HTTP_X_FORWARDED_FOR": "::ffff:127.0.0.1",
        "HTTP_X_FORWARDED_PORT": "5173",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_FORWARDED_HOST": "localhost:5173",
    }
    apache = {
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_HOST": "localhost:8080",
        "HTTP_X_FORWARDED_SERVER": "localhost",
        "HTTP_VIA": "1.1 localhost:8080 (Apache/2.4.66)",
    }
    assert reason(**vite) is None
    assert reason(**apache) is None


def test_headers_with_names_similar_to_forwarding_headers_do_not_matter() -> None:
    assert reason(HTTP_X_FORWARD="10.0.0.1", HTTP_X_VIA="1.1 evil.example") is None


class TestLocalityBehindProxyFix:
    """ProxyFix replaces the peer and the Host by headers that any client can send."""

    HEADERS = {  # noqa: RUF012
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_HOST": "localhost:8000",
        "HTTP_X_FORWARDED_PROTO": "http",
    }

    def fixed(self, inside: Recorder) -> ProxyFix:
        app = MockupApp(inside, SESSIONS, secret_key=KEY)
        return ProxyFix(app, x_for=1, x_host=1)

    def test_a_request_through_a_proxy_on_this_machine_is_local(self, inside: Recorder) -> None:
        assert get(self.fixed(inside), "/login/", **self.HEADERS).code == 200

    @pytest.mark.parametrize(
        ("original", "said"),
        [
            ({"REMOTE_ADDR": "10.0.0.1"}, "loopback address"),
            ({"REMOTE_ADDR": None}, "loopback address"),
            ({"HTTP_HOST": "evil.example"}, "its Host"),
            ({"HTTP_HOST": None}, "its Host"),
        ],
    )
    def test_the_original_peer_and_host_must_be_local_too(
        self, original: dict[str, Any], said: str, inside: Recorder
    ) -> None:
        answer = get(self.fixed(inside), "/login/", **self.HEADERS, **original)
        assert answer.code == 403
        assert said in answer.body.decode()

    @pytest.mark.parametrize("replaced", [{"REMOTE_ADDR": "10.0.0.1"}, {"HTTP_HOST": "evil"}])
    def test_the_peer_and_host_from_proxy_fix_must_be_local_too(
        self, replaced: dict[str, Any]
    ) -> None:
        assert reason(**{"werkzeug.proxy_fix.orig": LOCAL}) is None
        assert reason(**{"werkzeug.proxy_fix.orig": LOCAL}, **replaced) is not None

    @pytest.mark.parametrize(
        "original",
        [{}, {"REMOTE_ADDR": "127.0.0.1"}, {"HTTP_HOST": "localhost"}],
    )
    def test_a_missing_original_peer_or_host_is_not_local(self, original: dict[str, Any]) -> None:
        assert reason(**{"werkzeug.proxy_fix.orig": original}) is not None


REMOTE: list[dict[str, Any]] = [
    {"REMOTE_ADDR": "10.0.0.1"},
    {"REMOTE_ADDR": None},
    {"HTTP_HOST": "evil.example"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},
    {"HTTP_ORIGIN": "https://evil.example"},
    {"HTTP_FORWARDED": "for=10.0.0.1"},
    {"HTTP_X_FORWARDED_FOR": "10.0.0.1"},
    {"HTTP_X_REAL_IP": "10.0.0.1"},
    {"HTTP_VIA": "1.1 evil.example"},
    {"werkzeug.proxy_fix.orig": {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "localhost"}},
]


class TestRefusalOfRemoteRequests:
    @pytest.mark.parametrize("environ", REMOTE, ids=lambda environ: next(iter(environ)))
    @pytest.mark.parametrize("path", ["/login/", "/logout/", "/api/auth", "/djsession/", "/app/"])
    def test_a_request_that_is_not_local_gets_nothing(
        self, environ: dict[str, Any], path: str, inside: Recorder
    ) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=KEY, allowed_no_session=["/app"])
        cookie = f"sessionid={dumps(XIA, KEY)}"
        for answer in (
            get(app, path, HTTP_COOKIE=cookie, **environ),
            get(app, path, **HTML, **environ),
            post(app, path, {"user": "xia"}, **environ),
            post_json(app, {"username": "xia"}, path, **environ),
        ):
            assert answer.code == 403
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["Cache-Control"] == "no-store"
            assert b"xia" not in answer.body
        assert inside.environs == []

    @pytest.mark.parametrize("environ", REMOTE, ids=lambda environ: next(iter(environ)))
    def test_refuse_leaves_a_remote_request_to_the_application(
        self, environ: dict[str, Any]
    ) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY)
        local = {**LOCAL, **HTML, "REQUEST_METHOD": "GET", "PATH_INFO": "/app/"}
        assert app.refuse(dict(local)) is not None
        assert app.refuse({**local, **environ}) is None

    @pytest.mark.parametrize("environ", REMOTE, ids=lambda environ: next(iter(environ)))
    def test_it_says_why_and_which_option_is_missing(self, environ: dict[str, Any]) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY)
        text = get(app, "/login/", **environ).body.decode()
        page = get(app, "/login/", **HTML, **environ)
        expected = why_not_local({**LOCAL, **environ}, ())
        assert expected is not None
        for said in (expected.reason, *OPTIONS):
            assert said in text
        assert page.headers["Content-Type"].startswith("text/html")
        shown = page.body.decode()
        assert f"{expected.reason[:1].upper()}{expected.reason[1:]}." in shown
        for option in OPTIONS:
            name, _, where = option.partition(" (")
            code = f"<code>{name}</code>" + (f" ({where}" if where else "")
            assert (code in shown) or f"<code>{option}</code>" in shown

    def test_for_a_host_or_origin_it_also_names_allow_host(self) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY)
        for environ in ({"HTTP_HOST": "dev.example.com"}, {"HTTP_ORIGIN": "http://dev.example"}):
            text = get(app, "/login/", **environ).body.decode()
            assert all(option in text for option in HOST_OPTIONS)
            assert b"--allow-host" in get(app, "/login/", **HTML, **environ).body
        text = get(app, "/login/", REMOTE_ADDR="10.0.0.1").body.decode()
        assert "--allow-host" not in text

    @pytest.mark.parametrize(
        "variable",
        [
            *("HTTP_HOST", "HTTP_ORIGIN", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_FORWARDED"),
            *("HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_EVIL"),
        ],
    )
    def test_it_repeats_nothing_that_the_client_sent(
        self, variable: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY)
        evil = "<script>alert('evil')</script>"
        for headers in ({}, HTML):
            answer = get(app, f"/login/?{evil}", **{variable: evil}, **headers)
            assert answer.code == 403
            text = answer.body.decode() + caplog.text
            assert evil not in text
            assert escape(evil) not in text
            assert "evil" not in text.lower()

    def test_a_listed_host_is_answered(self) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY, hosts=["Dev.example.com"])
        assert get(app, "/login/", HTTP_HOST="dev.example.com:8000").code == 200
        assert get(app, "/login/", HTTP_X_FORWARDED_HOST="dev.example.com").code == 200
        assert get(app, "/login/", HTTP_HOST="www.dev.example.com").code == 403


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("REMOTE_ADDR", "HTTP_HOST", "SERVER_PROTOCOL", "HTTP_ORIGIN", "HTTP_FORWARDED"),
                *("HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"),
            ]
        ),
        st.text()
        | st.lists(
            st.sampled_from(
                [
                    *("for=", "by=", '"', "\\", ",", ";", " ", "1.1 ", "(", ")", "127.0.0.1"),
                    *("[::1]", "localhost", ".", "_", ":", "10.0.0.1", "evil.example", "http://"),
                ]
            )
        ).map("".join),
        min_size=1,
    )
)
def test_what_names_another_machine_is_never_local(environ: dict[str, str]) -> None:
    found = why_not_local({**LOCAL, **environ}, ())
    if any("10.0.0.1" in value or "evil" in value for value in environ.values()):
        # A comment in Via may say anything.
        assert found is not None or "(" in environ.get("HTTP_VIA", "")


@pytest.mark.parametrize("hostile", ['for="' + "\\a" * 30_000, "1.1 a (" * 9_000, "a=b;" * 15_000])
def test_a_long_hostile_header_is_checked_quickly(hostile: str) -> None:
    # A quadratic pattern would take minutes.
    for name in ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_ORIGIN"):
        assert reason(**{name: hostile}) is not None


def test_an_ipv6_address_needs_brackets_only_in_a_host() -> None:
    assert is_this_machine("::1", ())
    assert not is_local_host("::1", ())
