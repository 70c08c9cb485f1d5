"""The stand-in does what the real proxy does, apart from the differences listed here.

The same generated requests go through djaodjin-rules and through ``djsession serve``. What the
application received and what the browser got back must be equal, once the request to the real proxy
and the outcome there are changed as the table DIFFERENCES says.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

import pytest

from tests.interop.generator import Case, cases
from tests.interop.observed import SESSION_COOKIE, TOKEN, Outcome, Received, by_name, cookie_pairs
from tests.interop.recorder import Headers, Recorder, values
from tests.interop.sides import BACKENDS, RealProxy, StandIn

COUNT = 200
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
NEITHER_FORWARDS = ("CONNECT", "PROPFIND", "TRACE")


@dataclass(frozen=True)
class Difference:
    """Something that the stand-in does otherwise, on purpose.

    ``refuses`` returns the status with which the stand-in refuses a request that the real proxy
    does not refuse. ``send`` returns the request that the real proxy gets instead. ``expect``
    returns what is expected of the stand-in, given what the real proxy did. Their last argument is
    the format of the token.
    """

    what: str
    reason: str
    refuses: Callable[[Case, str], int | None] = lambda case, format: None
    send: Callable[[Case, str], Case] = lambda case, format: case
    expect: Callable[[Case, Outcome, str], Outcome] = lambda case, outcome, format: outcome


# Refusals


def _names_another_machine(case: Case, format: str) -> int | None:
    names = {"Origin", "Forwarded", "Via", "X-Real-IP"}
    named = [v for n, v in case.headers if n in names or n.startswith("X-Forwarded-")]
    local = re.compile(r"(http://)?(127\.0\.0\.1|localhost)|http|/public")
    return None if all(map(local.fullmatch, named)) else 403


def _http_1_0(case: Case, format: str) -> int | None:
    return 403 if case.version == "HTTP/1.0" else None


def _absolute_form(case: Case, format: str) -> int | None:
    return None if case.target.startswith("/") else 400


def _unreadable_path(case: Case, format: str) -> int | None:
    if case.method in NEITHER_FORWARDS:
        return None
    raw = unquote_to_bytes(case.target.partition("?")[0])
    try:
        return 400 if re.search("[\x00-\x1f\x7f]", raw.decode()) else None
    except UnicodeError:
        return 400


def _websocket(case: Case, format: str) -> int | None:
    if case.method in NEITHER_FORWARDS:
        return None
    return 501 if values(case.headers, "Upgrade") == ["websocket"] else None


def _sent_by_another_site(case: Case, format: str) -> int | None:
    cross = {"cross-site", "same-site"}.intersection(values(case.headers, "Sec-Fetch-Site"))
    return 403 if format == "jwt" and case.method in UNSAFE and cross else None


# What the real proxy gets instead


def _normalized(case: Case, format: str) -> Case:
    """Remove dot segments and empty segments, as the stand-in does before it matches a rule."""
    path, question_mark, query = case.target.partition("?")
    segments: list[str] = []
    decoded = unquote_to_bytes(path).decode(errors="replace").split("/")
    for segment in decoded:
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    folder = "/" if segments and decoded[-1] in ("", ".", "..") else ""
    once = "/" + "/".join(segments) + folder
    # The real proxy decodes these once more, so they are encoded once more.
    twice = re.sub(r"%(?=[0-9A-Fa-f]{2})", "%25", once).replace("?", "%3F").replace("#", "%23")
    return case._replace(target=quote(twice, safe="/:@!$&'()*+,;=~") + question_mark + query)


def _not_chunked(case: Case, format: str) -> Case:
    return case._replace(chunked=False)


def _is_form(case: Case) -> bool:
    return any(v.startswith("multipart/form-data") for v in values(case.headers, "Content-Type"))


def _form_as_bytes(case: Case, format: str) -> Case:
    # The real proxy does not know a media type that is written like this.
    headers = [(n, "M" + v[1:] if n == "Content-Type" else v) for n, v in case.headers]
    return case._replace(headers=headers) if _is_form(case) else case


def _is_read_by_the_real_proxy(cookie: str) -> bool:
    name, equals, value = cookie.partition("=")
    try:
        SimpleCookie()[name if equals else ""] = value
    except CookieError:
        return False
    return value.isascii() and name.lower() != "samesite"


def _without_odd_cookies(case: Case, format: str) -> Case:
    kept = tuple(filter(_is_read_by_the_real_proxy, case.cookies))
    return case if kept == case.cookies else case._replace(cookies=kept, position=0)


# What is expected of the stand-in


def _at_application(
    change: Callable[[Case, Received, str], Received],
) -> Callable[[Case, Outcome, str], Outcome]:
    """Return an expectation of what the application receives, if it receives the request."""

    def expect(case: Case, outcome: Outcome, format: str) -> Outcome:
        if outcome.received is None:
            return outcome
        return outcome._replace(received=change(case, outcome.received, format))

    return expect


def _at_browser(change: Callable[[Case, Outcome], Outcome]) -> Callable[..., Outcome]:
    """Return an expectation of what the browser gets back of the application's response."""

    def expect(case: Case, outcome: Outcome, format: str) -> Outcome:
        return outcome if outcome.received is None else change(case, outcome)

    return expect


def _without(headers: Headers, *names: str) -> Headers:
    return [(name, value) for name, value in headers if name not in names]


def _with(headers: Headers, *more: tuple[str, str]) -> Headers:
    return by_name([*headers, *more])


def _as_the_browser_sent(case: Case, received: Received, format: str) -> Received:
    names = [cookie.partition("=")[0] for cookie in case.cookies]
    if len(names) == len(set(names)) and all(map(_is_read_by_the_real_proxy, case.cookies)):
        return received
    cookies = [pair for pair in cookie_pairs("; ".join(case.cookies)) if pair[0]]
    if format == "openssl":
        cookies = [*(pair for pair in cookies if pair[0] != SESSION_COOKIE), TOKEN]
    return received._replace(cookies=by_name(cookies))


def _form(case: Case, received: Received, format: str) -> Received:
    headers = [(n, "m" + v[1:] if n == "content-type" else v) for n, v in received.headers]
    return received._replace(headers=headers) if _is_form(case) else received


def _length(case: Case, received: Received, format: str) -> Received:
    if not case.chunked:
        return received
    headers = _without(received.headers, "content-length")
    return received._replace(headers=_with(headers, ("transfer-encoding", "chunked")))


def _own_session_id(case: Case, received: Received, format: str) -> Received:
    if case.user is None or format == "openssl":
        return received
    cookies = [(n, v) for n, v in received.cookies if n != SESSION_COOKIE]
    return received._replace(cookies=cookies)


def _query(case: Case, received: Received, format: str) -> Received:
    query = case.target.partition("?")[2]
    path = received.target.partition("?")[0]
    return received._replace(target=f"{path}?{query}" if query else path)


def _defaults(case: Case, received: Received, format: str) -> Received:
    sent = {name.lower() for name, _ in case.headers}
    added = {"user-agent", "accept", "accept-encoding"} - sent
    return received._replace(headers=_without(received.headers, *added))


def _hop_by_hop(case: Case, received: Received, format: str) -> Received:
    names = {"keep-alive", "te", "proxy-authorization", "proxy-connection", "upgrade"}
    for value in values(case.headers, "Connection"):
        names |= {name.strip().lower() for name in value.split(",")}
    return received._replace(headers=_without(received.headers, *names, "connection"))


def _client_address(case: Case, received: Received, format: str) -> Received:
    if values(case.headers, "X-Forwarded-For"):
        return received
    headers = _without(received.headers, "x-forwarded-for")
    return received._replace(headers=_with(headers, ("x-forwarded-for", "127.0.0.1")))


def _stand_in_id(case: Case, received: Received, format: str) -> Received:
    return received._replace(headers=_with(received.headers, ("x-djsession-stand-in", "an id")))


def _script_name(case: Case, received: Received, format: str) -> Received:
    return received._replace(headers=_without(received.headers, "script-name"))


def _next_encoded_once(case: Case, outcome: Outcome, format: str) -> Outcome:
    if not re.search(r"%(3F|23|25[0-9A-Fa-f]{2})", case.target.partition("?")[0]):
        return outcome
    headers = [(n, v.replace("%25", "%") if n == "location" else v) for n, v in outcome.headers]
    return outcome if outcome.received else outcome._replace(headers=headers)


def _options_without_rule(case: Case, outcome: Outcome, format: str) -> Outcome:
    is_local = case.method == "OPTIONS" and outcome.received is None and outcome.status == 200
    return Outcome(None, 403, [], b"") if is_local else outcome


def _not_granted(case: Case, outcome: Outcome, format: str) -> Outcome:
    if outcome.status == 302 and outcome.headers[0][1].startswith("/denied/"):
        return Outcome(None, 403, [], b"")
    return outcome


def _next_after_a_change(case: Case, outcome: Outcome, format: str) -> Outcome:
    if outcome.received or outcome.status != 302 or case.method in ("GET", "HEAD"):
        return outcome
    return outcome._replace(headers=[("location", "/login/")])


def _sent_headers(case: Case) -> Headers:
    """Return the headers of the application's response."""
    head = case.response.partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = [line.partition(":") for line in head.split("\r\n")[1:]]
    return [(name.lower(), value.strip()) for name, _, value in pairs]


def _set_cookies(case: Case, outcome: Outcome) -> Outcome:
    sent = [(n, v) for n, v in _sent_headers(case) if n == "set-cookie"]
    passed = [(n, v) for n, v in sent if not v.startswith(f"{SESSION_COOKIE}=")]
    return outcome._replace(headers=_with(_without(outcome.headers, "set-cookie"), *passed))


def _vary(case: Case, outcome: Outcome) -> Outcome:
    sent = [(n, v) for n, v in _sent_headers(case) if n == "vary"]
    return outcome._replace(headers=_with(_without(outcome.headers, "vary"), *sent))


def _content_type(case: Case, outcome: Outcome) -> Outcome:
    sent = [(n, v) for n, v in _sent_headers(case) if n == "content-type"]
    return outcome._replace(headers=_with(_without(outcome.headers, "content-type"), *sent))


def _content_encoding(case: Case, outcome: Outcome) -> Outcome:
    sent = [(n, v) for n, v in _sent_headers(case) if n == "content-encoding"]
    body = outcome.body
    if body and ("content-encoding", "gzip") in sent:
        body = gzip.compress(body, mtime=0)
    return outcome._replace(headers=_with(outcome.headers, *sent), body=body)


def _response_hops(case: Case, outcome: Outcome) -> Outcome:
    return outcome._replace(headers=_without(outcome.headers, "trailer", "x-named"))


def _repeated(case: Case, outcome: Outcome) -> Outcome:
    names = {name for name, _ in _sent_headers(case)} - {"set-cookie"}
    apart = [(n, v) for n, v in _sent_headers(case) if n in ("link", "x-twice")]
    return outcome._replace(
        headers=_with(_without(outcome.headers, *names & {n for n, _ in apart}), *apart)
    )


DIFFERENCES = [
    Difference(
        "A target with scheme and host is refused.",
        "Only a client of a forward proxy sends it.",
        refuses=_absolute_form,
    ),
    Difference(
        "Requests whose Origin or forwarding headers name another machine are refused.",
        "Anyone who reaches a mockup login can sign in as anyone.",
        refuses=_names_another_machine,
    ),
    Difference(
        "HTTP/1.0 is refused.",
        "Browsers do not send it, but some reverse proxies do.",
        refuses=_http_1_0,
    ),
    Difference(
        "A path that is not UTF-8 or contains control characters is refused.",
        "Servers and routers read such a path differently, so a rule would not protect it.",
        refuses=_unreadable_path,
    ),
    Difference(
        "A WebSocket handshake is refused, unless --websockets forwards it.",
        "The real proxy forwards it as any GET; the application cannot answer it.",
        refuses=_websocket,
    ),
    Difference(
        "With jwt, an unsafe request that another site caused is refused.",
        "The browser adds the sign-in cookie, and the stand-in would turn that into a token.",
        refuses=_sent_by_another_site,
    ),
    Difference(
        "The path is normalized before a rule is matched, and decoded once.",
        "The real proxy matches /public/%2e%2e/app/ with the rule for /public/ and forwards /app/.",
        send=_normalized,
        expect=_next_encoded_once,
    ),
    Difference(
        "A chunked body is forwarded.",
        "The real proxy cannot forward it, and relies on nginx in front of it to add a length.",
        send=_not_chunked,
        expect=_at_application(_length),
    ),
    Difference(
        "A multipart form is forwarded as it is.",
        "The real proxy encodes it again, with one value for each name and only for POST.",
        send=_form_as_bytes,
        expect=_at_application(_form),
    ),
    Difference(
        "Cookies are forwarded as they are, except those without a name.",
        "The real proxy forwards one of each name, and answers 400 or 500 where http.cookies cannot"
        " write a cookie.",
        send=_without_odd_cookies,
        expect=_at_application(_as_the_browser_sent),
    ),
    Difference(
        "With jwt, there is no session id of the proxy's own in the cookies.",
        "The stand-in has no such id, and its sign-in cookie is never forwarded.",
        expect=_at_application(_own_session_id),
    ),
    Difference(
        "The query is forwarded as it is.",
        "The real proxy parses it and keeps one value for each name.",
        expect=_at_application(_query),
    ),
    Difference(
        "Headers that the client did not send are not added.",
        "The real proxy adds those of its HTTP library.",
        expect=_at_application(_defaults),
    ),
    Difference(
        "Hop-by-hop headers are not forwarded.",
        "The real proxy forwards them. Connection could name the header with the token (RFC 9110"
        " section 7.6.1).",
        expect=_at_application(_hop_by_hop),
    ),
    Difference(
        "X-Forwarded-For is the client's address.",
        "The real proxy writes the Host there if the header is missing; nginx usually sets it.",
        expect=_at_application(_client_address),
    ),
    Difference(
        "X-Djsession-Stand-In is added.",
        "It tells the stand-in that it forwards to itself.",
        expect=_at_application(_stand_in_id),
    ),
    Difference(
        "Script-Name is not forwarded.",
        "A server may read it as SCRIPT_NAME, the path that the application is mounted at.",
        expect=_at_application(_script_name),
    ),
    Difference(
        "A signed-in browser that is not granted gets a page with status 403.",
        "The page names the rule. The real proxy redirects the browser to another page.",
        expect=_not_granted,
    ),
    Difference(
        "OPTIONS is refused where no rule matches.",
        "The real proxy answers itself, with 200.",
        expect=_options_without_rule,
    ),
    Difference(
        "After an unsafe request, the login page does not lead back to its URL.",
        "The browser would load the URL with GET.",
        expect=_next_after_a_change,
    ),
    Difference(
        "Set-Cookie passes as the application wrote it.",
        "The real proxy drops cookies that http.cookies cannot read, and all cookies of a server"
        " that writes set-cookie in lower case, as ASGI servers do.",
        expect=_at_browser(_set_cookies),
    ),
    Difference(
        "Vary passes as the application wrote it.",
        "The real proxy adds Cookie.",
        expect=_at_browser(_vary),
    ),
    Difference(
        "Content-Type passes as the application wrote it.",
        "The real proxy adds text/html where there is none, or an empty one if the body is empty.",
        expect=_at_browser(_content_type),
    ),
    Difference(
        "Compressed responses pass.",
        "The real proxy decodes gzip, and drops the Content-Encoding of what it cannot decode.",
        expect=_at_browser(_content_encoding),
    ),
    Difference(
        "Trailer, and headers that Connection names, are dropped from responses.",
        "They concern one connection only (RFC 9110 section 7.6.1).",
        expect=_at_browser(_response_hops),
    ),
    Difference(
        "Repeated headers of a response stay apart.",
        "The real proxy joins them with a comma.",
        expect=_at_browser(_repeated),
    ),
]


class Compared(NamedTuple):
    """A request, what is expected of the stand-in, and what it did."""

    case: Case
    expected: Outcome
    got: Outcome


class Comparison(NamedTuple):
    compared: list[Compared]
    #: The differences that made a difference.
    seen: set[str]


def _expected(case: Case, real: Outcome, format: str, seen: set[str]) -> Outcome:
    for difference in DIFFERENCES:
        status = difference.refuses(case, format)
        changed = real if status is None else Outcome(None, status, [], b"")
        changed = difference.expect(case, changed, format)
        if changed != real or difference.send(case, format) != case:
            seen.add(difference.what)
        if status is not None:
            return changed
        real = changed
    return real


def _as_sent(case: Case, format: str) -> Case:
    for difference in DIFFERENCES:
        case = difference.send(case, format)
    return case


def _compare(format: str, folder: Path) -> Comparison:
    generated = cases(COUNT)
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder())
        real = RealProxy(recorder, format, folder)
        stand_in = StandIn(recorder, format, folder)
        stack.enter_context(real.running())
        compared, seen = [], set[str]()
        for site, group in groupby(generated, lambda case: case.site):
            batch = list(group)
            # A refused request must not count as a visit at the real proxy.
            refused = [c for c in batch if any(d.refuses(c, format) for d in DIFFERENCES)]
            order = sorted(batch, key=refused.__contains__)
            outcomes = real.visit(site, [_as_sent(case, format) for case in order])
            for case, outcome, got in zip(
                order, outcomes, stand_in.visit(site, order), strict=True
            ):
                compared.append(Compared(case, _expected(case, outcome, format, seen), got))
    return Comparison(sorted(compared, key=lambda item: item.case.number), seen)


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """All requests through both, for each format."""
    return {format: _compare(format, tmp_path_factory.mktemp(format)) for format in BACKENDS}


def _fields(outcome: Outcome) -> Iterator[tuple[str, object]]:
    """Yield what can differ, by name."""
    yield "status", outcome.status
    yield "response headers", outcome.headers
    yield "response body", outcome.body[:200]
    yield "is forwarded", outcome.received is not None
    if outcome.received is not None:
        for name, value in outcome.received._asdict().items():
            yield f"{name} at the application", value


@pytest.mark.parametrize("number", range(COUNT))
@pytest.mark.parametrize("format", BACKENDS)
def test_the_stand_in_does_what_the_proxy_does(
    comparisons: dict[str, Comparison], format: str, number: int
) -> None:
    case, expected, got = comparisons[format].compared[number]
    ours = dict(_fields(got))
    different = [
        f"{name}:\n  expected {value!r:.2000}\n  stand-in {ours.get(name)!r:.2000}"
        for name, value in _fields(expected)
        if value != ours.get(name)
    ]
    if expected != got:
        pytest.fail("\n".join([f"{case!r:.1500}", *different]), pytrace=False)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_each_documented_difference_exists(
    comparisons: dict[str, Comparison], difference: Difference
) -> None:
    assert any(difference.what in comparison.seen for comparison in comparisons.values())


def test_many_requests_reach_the_application(comparisons: dict[str, Comparison]) -> None:
    # The others are refused, and say little about what is forwarded.
    for comparison in comparisons.values():
        assert sum(item.got.received is not None for item in comparison.compared) > COUNT * 0.4
