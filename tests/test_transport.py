from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import Session, dumps
from djsession.codec import FORMATS
from djsession.errors import TokenTooLarge
from djsession.transport import (
    MAX_COOKIES,
    TrustedProxies,
    bearer_token,
    cookie_tokens,
    find_candidates,
    refusal_of_request,
    sessions_agree,
    sole_token,
)
from tests.helpers.sessions import CAPTURES, KEY, XIA, load_capture
from tests.helpers.tokens import OPAQUE

OPENSSL = dumps(XIA, KEY)
JWT = dumps(XIA, KEY, "jwt")


def cookies(header: str, name: str = "sessionid") -> list[str]:
    found = find_candidates(header, None, name)
    assert all(candidate.transport == "cookie" for candidate in found)
    return [candidate.token for candidate in found]


def bearer(header: str) -> list[str]:
    found = find_candidates(None, header, "sessionid")
    assert all(candidate.transport == "bearer" for candidate in found)
    return [candidate.token for candidate in found]


# Parts of Cookie headers, most of them in a spelling that the proxy does not use.
_PARTS = st.sampled_from(
    ["sessionid", "=", '"', '="', ";", "; ", " ", "a", "ab.c", "x=1; ", 'sessionid="ab', OPAQUE]
)


class TestSoleToken:
    """The fast path, for what the proxy sends."""

    @pytest.mark.parametrize(
        "before", ["", "a=1; ", '_ga=GA1.2; theme="dark; mode"; ', "se=1; sessioni=2; "]
    )
    @pytest.mark.parametrize("after", ["", "; a=1", ";a=1", "; user=1", "; sessioni=2"])
    def test_the_token_of_the_proxy_is_found(self, before: str, after: str) -> None:
        assert sole_token(f'{before}sessionid="{OPENSSL}"{after}', 'sessionid="') == OPENSSL

    @pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
    def test_it_is_found_in_every_capture(self, path: Path) -> None:
        header = load_capture(path).environ.get("HTTP_COOKIE", "")
        found = cookie_tokens(header, "sessionid")
        assert found == ([sole_token(header, 'sessionid="')] if found else [])

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "a=1",
            "sessionid=abc",
            'sessionid="abc',
            'sessionid="abc" ;a=1',
            'sessionid="abc"def',
            'sessionid="abc;def"',
            'sessionid=""',
            'xsessionid="abc"',
            'x sessionid="abc"',
            'a=1;sessionid="abc"',
            f'sessionid="{OPAQUE}"',
            'sessionid=def; sessionid="abc"',
            'sessionid ="def"; sessionid="abc"',
            'sessionid="abc"; sessionid=def',
            'sessionid="abc"; sessionid="def"',
        ],
    )
    def test_whatever_else_is_looked_at_more_closely(self, header: str) -> None:
        assert sole_token(header, 'sessionid="') == ""

    @given(st.lists(_PARTS, max_size=12).map("".join) | st.text())
    def test_it_never_differs_from_the_rules(self, header: str) -> None:
        found = sole_token(header, 'sessionid="')
        assert found == "" or [found] == cookie_tokens(header, "sessionid")


class TestFindingTokens:
    @pytest.mark.parametrize(
        "header",
        [
            "sessionid=abc",
            'sessionid="abc"',
            '_ga=GA1.2; csrftoken=x; sessionid="abc"; theme="dark mode"',
            'a=1;sessionid="abc";b=2',
            ' sessionid = "abc" ',
            "sessionid=abc; xsessionid=no; sessionidx=no; sessionid2=no",
            'other="sessionid=no"; sessionid=abc',
            "xsessionid=no; sessionid=abc",
            "sessionid=; sessionid=abc",
            f"sessionid={OPAQUE}; sessionid=abc",
        ],
    )
    def test_the_cookie_is_found(self, header: str) -> None:
        assert cookies(header) == ["abc"]

    @pytest.mark.parametrize(
        "header",
        ["", ";", "a=1", "sessionid", "sessionid=", 'sessionid=""', 'sessionid="', "SESSIONID=abc"],
    )
    def test_without_a_session_cookie_nothing_is_found(self, header: str) -> None:
        assert cookies(header) == []

    def test_base64_padding_of_a_cookie_stays(self) -> None:
        assert cookies('sessionid="ab+/cd=="') == ["ab+/cd=="]

    def test_a_quote_on_one_side_of_a_cookie_stays(self) -> None:
        assert cookies('sessionid="abc') == ['"abc']

    def test_a_cookie_of_another_name_is_found(self) -> None:
        assert cookies("sessionid=no; djsession=abc", "djsession") == ["abc"]

    def test_all_cookies_of_the_name_are_found_up_to_one_too_many(self) -> None:
        header = "; ".join(f"sessionid=token{number}" for number in range(200))
        assert cookies(header) == [f"token{number}" for number in range(MAX_COOKIES + 1)]

    @pytest.mark.parametrize("value", [OPAQUE, f'"{OPAQUE}"', OPAQUE.upper()])
    def test_the_proxys_own_session_id_is_left_out(self, value: str) -> None:
        assert cookies(f"sessionid={value}") == []

    @pytest.mark.parametrize(
        "value", [OPAQUE + "x", OPAQUE[1:], OPAQUE[1:] + "=", OPAQUE[1:] + "é"]
    )
    def test_what_only_resembles_the_proxys_session_id_is_tried(self, value: str) -> None:
        assert cookies(f"sessionid={value}") == [value]

    @pytest.mark.parametrize(
        "header", ["Bearer abc", "bearer abc", "BEARER   abc  ", " Bearer abc"]
    )
    def test_the_bearer_token_is_found(self, header: str) -> None:
        assert bearer(header) == ["abc"]
        assert bearer_token(header) == "abc"

    @pytest.mark.parametrize("header", ["", "Basic abc", "Bearerabc", "abc", "Token Bearer abc"])
    def test_another_scheme_is_not_a_bearer_token(self, header: str) -> None:
        assert bearer(header) == []
        assert bearer_token(header) is None

    # As a server may join the proxy's empty header and one of the browser's.
    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "bearer", " BEARER  ", "Bearer,Bearer a.b.c"]
    )
    def test_a_bearer_header_may_be_empty(self, header: str) -> None:
        assert bearer(header) == []
        assert bearer_token(header) == ""

    def test_cookies_come_before_the_header(self) -> None:
        found = find_candidates("sessionid=abc; sessionid=def", "Bearer g.h.i", "sessionid")
        assert found == [("cookie", "abc", ""), ("cookie", "def", ""), ("bearer", "g.h.i", "")]

    def test_without_headers_no_token_is_found(self) -> None:
        assert find_candidates(None, None, "sessionid") == []

    @given(st.text(), st.text())
    def test_no_header_makes_the_transport_raise(self, cookie: str, authorization: str) -> None:
        for _, token, _ in find_candidates(cookie, authorization, "sessionid"):
            assert token in cookie or token in authorization

    def test_the_repr_of_tokens_shows_no_header(self) -> None:
        for candidate in find_candidates(f"sessionid={OPENSSL}", f"Bearer {JWT}", "sessionid"):
            assert repr(candidate) == f"<Candidate: {candidate.transport}>"
            assert candidate.__sentry_repr__() == repr(candidate)


def ignored(cookie: str | None, authorization: str | None) -> list[tuple[str, bool]]:
    found = find_candidates(cookie, authorization, "sessionid")
    return [(candidate.transport, bool(candidate.ignored)) for candidate in found]


class TestWhereATokenCounts:
    """Rules 1 and 2 of djsession.transport."""

    def test_an_openssl_token_counts_in_the_cookie(self) -> None:
        assert ignored(f"sessionid={OPENSSL}", None) == [("cookie", False)]
        assert ignored(f"sessionid={OPENSSL}", "Bearer x.y.z")[0] == ("cookie", False)

    def test_an_openssl_token_does_not_count_in_the_header(self) -> None:
        assert ignored(None, f"Bearer {OPENSSL}") == [("bearer", True)]

    def test_a_jwt_counts_in_the_header(self) -> None:
        assert ignored(None, f"Bearer {JWT}") == [("bearer", False)]

    def test_a_jwt_in_the_cookie_counts_without_a_bearer_header(self) -> None:
        assert ignored(f"sessionid={JWT}", None) == [("cookie", False)]
        assert ignored(f"sessionid={JWT}", "Basic abc") == [("cookie", False)]

    @pytest.mark.parametrize("header", ["Bearer", "Bearer ", f"bearer {JWT}", "Bearer garbage"])
    def test_a_jwt_in_the_cookie_does_not_count_beside_one(self, header: str) -> None:
        assert ignored(f"sessionid={JWT}", header)[0] == ("cookie", True)


def refusal(
    cookie: str | None, authorization: str | None, formats: Any = FORMATS, size: int = 65_536
) -> str:
    candidates = find_candidates(cookie, authorization, "sessionid")
    return refusal_of_request(candidates, authorization, formats, size)


class TestRefusalOfAllTokens:
    """Rules 3 and 6 of djsession.transport."""

    @pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer", "  BEARER  "])
    @pytest.mark.parametrize("cookie", [None, f"sessionid={OPENSSL}", f"sessionid={JWT}"])
    @pytest.mark.parametrize("formats", [FORMATS, ("jwt",)])
    def test_an_empty_bearer_header_refuses_all(
        self, cookie: str | None, header: str, formats: Any
    ) -> None:
        reason = "Authorization: Bearer is empty, so nobody is signed in at the proxy"
        assert refusal(cookie, header, formats) == reason

    def test_an_empty_bearer_header_means_nothing_where_the_site_does_not_use_jwt(self) -> None:
        assert refusal(f"sessionid={OPENSSL}", "Bearer", ("openssl",)) == ""

    @pytest.mark.parametrize("header", [None, "", "Basic", "Basic abc", "Bearer x.y.z"])
    def test_another_authorization_header_refuses_nothing(self, header: str | None) -> None:
        assert refusal(f"sessionid={OPENSSL}", header) == ""

    def test_four_session_cookies_pass_and_five_do_not(self) -> None:
        assert MAX_COOKIES == 4
        assert refusal("; ".join(["sessionid=a"] * 4), "Bearer x.y.z") == ""
        reason = "the request carries more than 4 session cookies"
        assert refusal("; ".join(["sessionid=a"] * 5), None) == reason

    def test_the_proxys_own_session_ids_do_not_count_among_them(self) -> None:
        assert refusal("; ".join([f"sessionid={OPAQUE}"] * 9 + ["sessionid=a"] * 4), None) == ""

    def test_the_sizes_of_all_tokens_are_added_up(self) -> None:
        cookie, authorization = f"sessionid={'a' * 60}; sessionid={'b' * 30}", f"Bearer {'c' * 10}"
        assert refusal(cookie, authorization, size=100) == ""
        reason = f"the tokens together are longer than max_token_size; {TokenTooLarge.remedy}"
        assert refusal(cookie, authorization, size=99) == reason
        assert refusal(cookie, None, size=90) == ""
        assert refusal(cookie, None, size=89) == reason

    def test_one_token_is_left_to_the_codec(self) -> None:
        assert refusal("sessionid=" + "a" * 100, None, size=10) == ""


class TestAgreementOfTokens:
    """Rule 4 of djsession.transport."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({}, {}),
            (XIA, XIA),
            (XIA, {**XIA, "exp": 1}),
            ({**XIA, "exp": 2}, {**XIA, "exp": 1}),
            (XIA, {**XIA, "last_visited": "2026-01-01"}),
            ({"username": "xia"}, {"username": "xia", "last_visited": None, "exp": 5}),
            ({"exp": 1}, {}),
        ],
    )
    def test_sessions_may_differ_in_exp_and_last_visited(self, one: Any, other: Any) -> None:
        assert sessions_agree([Session(one), Session(other)])
        assert sessions_agree([Session(other), Session(one)])

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"username": "xia"}, {"username": "dana"}),
            ({"username": "xia"}, {}),
            ({"username": "xia"}, {"username": None}),
            ({"username": "xia"}, {"username": "xia", "roles": {}}),
            (XIA, {**XIA, "site": {}}),
            (XIA, {**XIA, "email": "xia@example.com"}),
            (XIA, {**XIA, "roles": {"manager": [{**XIA["roles"]["manager"][0], "slug": "y"}]}}),
        ],
    )
    def test_any_other_difference_is_a_conflict(self, one: Any, other: Any) -> None:
        assert not sessions_agree([Session(one), Session(other)])
        assert not sessions_agree([Session(other), Session(one)])

    def test_all_of_several_sessions_are_compared(self) -> None:
        xia, dana = Session(username="xia"), Session(username="dana")
        assert sessions_agree([xia])
        assert sessions_agree([xia, xia, xia])
        assert not sessions_agree([xia, xia, dana])
        assert not sessions_agree([dana, xia, xia])


class TestTrustedProxies:
    @pytest.mark.parametrize(
        ("entry", "peer"),
        [
            ("10.0.0.7", "10.0.0.7"),
            (" 10.0.0.7 ", "10.0.0.7"),
            ("10.0.0.7", "::ffff:10.0.0.7"),
            ("10.0.0.7", "::FFFF:a00:7"),
            ("10.1.0.0/16", "10.1.255.255"),
            ("10.1.0.0/16", "::ffff:10.1.2.3"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("::ffff:10.1.0.0/112", "::ffff:10.1.2.3"),
            ("::ffff:0:0/96", "192.0.2.1"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("::1", "::1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::/32", "2001:DB8::5"),
        ],
    )
    def test_a_peer_that_an_entry_names_is_trusted(self, entry: str, peer: str) -> None:
        assert peer in TrustedProxies([entry])

    @pytest.mark.parametrize(
        "peer",
        [
            "10.0.0.8",
            "10.2.0.0",
            "127.0.0.1",
            "::1",
            "::ffff:10.0.0.8",
            "::10.0.0.7",
            "2001:db9::1",
            # Addresses in other spellings than a server writes, and several of them.
            "10.0.0.007",
            "10.0.7",
            "167772167",
            "0x0a000007",
            "10.0.0.7, 192.0.2.1",
            "10.0.0.7:80",
            "[::1]",
            " 10.0.0.7",
            "10.0.0.7\n",
            "10.1.0.0/16",
            "replaced by ProxyFix",
            "unknown",
            "unix",
            "unix:",
            "localhost.",
            "LOCALHOST",
            "proxy",
            0,
            167772167,
            b"10.0.0.7",
        ],
    )
    def test_any_other_peer_is_not(self, peer: object) -> None:
        assert peer not in TrustedProxies(["10.0.0.7", "10.1.0.0/16", "2001:db8::/32"])
        assert peer not in TrustedProxies(["unix"])

    @pytest.mark.parametrize("peer", [None, "", "localhost"])
    def test_unix_names_what_servers_report_for_a_unix_socket(self, peer: str | None) -> None:
        # An ASGI server reports None, gunicorn "", waitress "localhost".
        assert peer in TrustedProxies(["unix"])
        assert peer in TrustedProxies(["10.0.0.7", "unix"])
        assert peer not in TrustedProxies(["10.0.0.7", "127.0.0.1", "::1", "0.0.0.0/0", "::/0"])

    def test_unix_does_not_name_an_address(self) -> None:
        for peer in ("127.0.0.1", "::1", "0.0.0.0"):
            assert peer not in TrustedProxies(["unix"])

    @pytest.mark.parametrize(
        "entry",
        ["", "proxy", "localhost", "10.0.0", "10.0.0.256", "10.1.2.3/16", "10.0.0.0/33", "*"],
    )
    def test_an_entry_that_is_not_an_address_is_an_error(self, entry: str) -> None:
        with pytest.raises(ValueError, match=r"does not appear|has host bits"):
            TrustedProxies([entry])
