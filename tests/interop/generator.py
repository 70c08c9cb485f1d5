"""Requests to send through both proxies: generated, and the same with every run."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

from tests.helpers.proxy import SESSIONS, without
from tests.interop.recorder import Headers

#: With these requests, each of the documented differences occurs.
SEED = 3

T = TypeVar("T")

USERS: dict[str, dict[str, Any]] = {
    name: without(session, "last_visited") for name, session in SESSIONS.items()
} | {
    "alice": {
        "username": "alice",
        "full_name": "Alice \U0001f600",
        "invoice_keys": ["a", 1, None, 2.5, True, {"b": []}],
        "access_key": "a/b+c==",
        "roles": {
            "manager": [
                {
                    "slug": "cowork",
                    "printable_name": "Chamoix Coworking",
                    "subscriptions": [{"plan": "all-courses", "ends_at": None}],
                }
            ],
            "contributor": [{"slug": "xia", "printable_name": "Xia Lee"}],
        },
        "site": {"slug": "cowork", "printable_name": "Chamoix Coworking", "email": "a@b.net"},
    },
    "former": {
        "username": "former",
        "roles": {
            "manager": [
                {
                    "slug": "former",
                    "printable_name": "A subscription that has ended",
                    "subscriptions": [{"plan": "all-courses", "ends_at": "2020-01-01T00:00:00Z"}],
                }
            ]
        },
    },
    "minimal": {"username": "minimal"},
}

#: The rules of each site, as in a mockup file. None: a file that is only a mapping of sessions.
SITES: dict[str, list[dict[str, Any]] | None] = {
    "courses": [
        {"path": "/static/", "allow": "any"},
        {"path": "/app/{profile}/", "roles": ["manager"]},
        {"path": "/courses/", "plans": ["all-courses"]},
        {"path": "/visits/", "allow": "authenticated", "engaged": "app"},
        {"path": "/", "allow": "authenticated"},
    ],
    "engaged": [
        {"path": "/both", "allow": "authenticated", "engaged": "app,tutorial"},
        {"path": "/three/", "allow": "authenticated", "engaged": "app,tutorial,tour"},
        {"path": "/tutorial/", "allow": "any", "engaged": "tutorial"},
        {"path": "/app/:profile/", "roles": ["manager", "contributor"], "engaged": "app"},
        {"path": "/", "allow": "any"},
    ],
    "plans": [
        {"path": "/app/{organization}/courses/", "roles": ["manager"], "plans": ["all-courses"]},
        {"path": "/app/{organization}/", "plans": ["basic", "all-courses"]},
        {"path": "/app/", "allow": "authenticated"},
        {"path": "/public/open/", "allow": "any"},
        {"path": "/public/", "plans": ["basic"]},
    ],
    "sessions": None,
}

_PLACES = {
    "courses": [
        "/static/",
        "/app/xia/",
        "/app/cowork/",
        "/courses/",
        *["/visits/", "/visits/", "/other/", "/"],
    ],
    "engaged": ["/both/", "/three/", "/three/", "/tutorial/", "/app/xia/", "/app/cowork/", "/"],
    "plans": [
        "/public/open/",
        "/app/cowork/courses/",
        "/app/xia/",
        "/app/xia/courses",
        "/app/former/",
        "/app/",
        "/public/open/",
        "/public/",
        *["/unmatched/", "/unmatched/"],
    ],
    "sessions": ["/", "/app/", "/static/"],
}

_ENDINGS = [
    *[""] * 12,
    *[
        "page",
        "a/b/",
        "caf%C3%A9",
        "a%20b",
        "a+b;c=d,e",
        "~user/@x:y!$&'()*=",
        "%41%7e%2d",
        "%2541",
    ],
    *["", "a%25b", "%zz", "100%", "%FF", "%E2%82%AC", "'\"<>|^`{}[]", "\\x", "%5C..", "%00"],
    *[
        "/double",
        "a//b//",
        ".",
        "./x",
        "../x",
        "..",
        "%2e%2e/x",
        "x/%2E./",
        "..%2fx",
        "a/../../b",
        "%252e%252e/x",
    ],
    *["a%2Fb", "%3Fq=1", "%23f", "%3B", "%0d%0aX:y", "UPPER", "x.", "...", ".hidden", "a%2f%2fb"],
]

_QUERIES = [
    *[""] * 12,
    *["?a=1", "?a=1&b=2", "?q=caf%C3%A9", "?q=a+b%20c", "?next=/app/", "?next=%2Fapp%2F%3Fx%3D1"],
    *["?", "?a", "?a=", "?a=1&a=2&b=3", "?&&a=1&", "?a=1;b=2", "?x=%FF", "?x=%zz", "?=1", "?a=b=c"],
    *["?x[]=1&y={2}", "?q='!$(),;:@/?~*", "?utf8=%E2%9C%93&commit=Go", "?x=%00", "?tag=a&tag=b"],
]

_METHODS = [
    *["GET"] * 20,
    *["POST"] * 11,
    *["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"] * 3,
    *["TRACE", "PROPFIND", "CONNECT"],
]

# The first is what browsers send with nearly every request.
_HEADERS: list[Headers] = [
    *[[("User-Agent", "Mozilla/5.0"), ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]]
    * 12,
    [("Accept", "text/html")],
    [("Accept", "text/html;q=0.9, */*")],
    [("Accept", "application/json")],
    [("Accept", "*/*"), ("User-Agent", "curl/8.5.0")],
    [],
    [("Accept-Language", "de-CH,de;q=0.9"), ("DNT", "1"), ("Upgrade-Insecure-Requests", "1")],
    [("Accept-Encoding", "gzip, deflate, br, zstd"), ("Cache-Control", "no-cache")],
    [("Accept-Encoding", "identity")],
    [("If-None-Match", 'W/"a"'), ("If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT")],
    [("Range", "bytes=0-3"), ("If-Range", '"a"')],
    [("Referer", "http://127.0.0.1/app/"), ("Origin", "http://127.0.0.1")],
    [("Origin", "https://elsewhere.example")],
    [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
    [("Sec-Fetch-Site", "same-site")],
    [("Authorization", "Basic eGlhOnBhc3N3b3Jk"), ("Accept", "application/json")],
    [("Authorization", "Bearer an.api.key")],
    [("X-Requested-With", "XMLHttpRequest"), ("X-CSRFToken", "abc"), ("Accept", "*/*")],
    [("X-Custom", "a: b; c"), ("x-lower-case", "1"), ("X-EMPTY", "")],
    [("X-Latin", "Gr\xf6\xdfe"), ("X-Spaces", "  a  b  ")],
    [("X-Twice", "1"), ("X-Twice", "2")],
    [("X_Underscore", "1"), ("X-Under_Score", "2")],
    [("Connection", "close")],
    [("Connection", "keep-alive, X-Named"), ("X-Named", "1"), ("Keep-Alive", "timeout=5")],
    [("TE", "trailers"), ("Proxy-Authorization", "Basic eDp5"), ("Proxy-Connection", "close")],
    [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    [
        *[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ],
    [("Expect", "100-continue")],
    [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")],
    [("X-Forwarded-For", "203.0.113.7, 127.0.0.1")],
    [("X-Forwarded-Host", "localhost"), ("X-Forwarded-Proto", "http"), ("Forwarded", "for=_x")],
    [("X-Forwarded-Prefix", "/public"), ("Daphne-Root-Path", "/public"), ("Script-Name", "/app")],
    [("Via", "1.1 elsewhere.example")],
]

_COOKIES = [
    *[()] * 8,
    *[("theme=dark",)] * 5,
    ("theme=dark", "csrftoken=abcDEF123"),
    ("a=1", "b=2", "a=3"),
    ('q="x y"',),
    ('quoted="plain"', 'escaped="a\\"b\\054"'),
    ("empty=", "after=1"),
    ("equals=a=b==",),
    ("space=a b", "comma=a,b"),
    ('json={"a":1}',),
    ("percent=%20%C3%A9", "k:1=2", "$Version=1", "__Host-x=1"),
    ("SESSIONID=upper", "sessionid2=1", "xsessionid=1"),
    ("samesite=lax", "b=1"),
    ("noequals",),
    ("=noname",),
    ("k[0]=1",),
    ("u=Gr\xf6\xdfe",),
    ("backslash=a\\054b",),
    ("djsession_local=abc",),
]

#: The cookie that carries the session is in the browser too; only a visitor's does not count.
_PLANTED = [*[()] * 4, ("sessionid=planted",), ("sessionid=U2FsdGVkX18=", "a=1")]

_FORM = "application/x-www-form-urlencoded"
_FIELDS = (
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nGr\xc3\xb6\xc3\x9fe\r\n'
)
_UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) * 40 + b"\r\n"
)

#: Content-Type and body. None: no body and no header that would announce one.
_BODIES: list[tuple[str | None, bytes | None]] = [
    (_FORM, b"a=1&b=2"),
    (_FORM, b"name=Gr%C3%B6%C3%9Fe&b=1+2&b=3"),
    (_FORM, b""),
    (_FORM + "; charset=utf-8", b"a=%zz&&=;b=1"),
    ("application/json", b'{"a": [1, null, "\xc3\xa9"]}'),
    ("application/json; charset=utf-8", b"not json"),
    ("text/plain", b"Gr\xf6\xdfe\r\n\r\n--b\r\n"),
    ("application/octet-stream", bytes(range(256)) * 200),
    (None, b"\x00\xff"),
    (None, None),
    ("multipart/form-data; boundary=b", _FIELDS + b"--b--\r\n"),
    ("multipart/form-data; boundary=b", _FIELDS + _UPLOAD + b"--b--\r\n"),
    ("multipart/form-data; boundary=b", _UPLOAD + _FIELDS + b"--b--\r\n"),
    ("multipart/mixed; boundary=b", _FIELDS + b"--b--\r\n"),
    ("multipart/form-data", _FIELDS + b"--b--\r\n"),
]


def _answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if status[:3] not in ("204", "304"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_TEXT = "Content-Type: text/plain"
_EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"

ANSWERS = {
    "text": _answer("200 OK", _TEXT, body=b"text"),
    "html": _answer("200 OK", "Content-Type: text/html; charset=latin-1", body=b"<p>\xe9"),
    "no content type": _answer("200 OK", body=b"{}"),
    "empty": _answer("200 OK", _TEXT),
    "large": _answer("200 OK", "Content-Type: image/png", body=bytes(range(256)) * 2000),
    "created": _answer("201 Created", _TEXT, "Location: /new?a=1#x", body=b"new"),
    "no content": _answer("204 No Content", "X-A: 1"),
    "partial": _answer("206 Partial Content", _TEXT, "Content-Range: bytes 0-1/5", body=b"ab"),
    "redirect": _answer("302 Found", "Location: /elsewhere/"),
    "see other": _answer("303 See Other", "Location: http://127.0.0.1/a b", _TEXT, body=b"moved"),
    "permanently": _answer("308 Permanent Redirect", "Location: https://elsewhere.example/x"),
    "not modified": _answer("304 Not Modified", 'ETag: "a"'),
    "unauthorized": _answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"', body=b"no"),
    "not found": _answer("404 Not Found", "Content-Type: text/html", body=b"<p>not here"),
    "teapot": _answer("418 I Am A Teapot", _TEXT, body=b"tea"),
    "error": _answer("500 Internal Server Error", _TEXT, body=b"error"),
    "unavailable": _answer("503 Service Unavailable", _TEXT, "Retry-After: 5", body=b"later"),
    "cookies": _answer(
        "200 OK",
        _TEXT,
        "Set-Cookie: sessionid=from-the-application; Path=/",
        "Set-Cookie: theme=dark; Path=/; HttpOnly",
        "Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=10; Secure; SameSite=Lax",
        body=b"cookies",
    ),
    "deleted cookie": _answer(
        "302 Found",
        'Set-Cookie: theme=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/',
        "Location: /",
    ),
    "quoted cookie": _answer("200 OK", _TEXT, 'Set-Cookie: q="x y"; Path=/a', body=b"quoted"),
    "own cookie": _answer("200 OK", _TEXT, "Set-Cookie: sessionid=; Max-Age=0", body=b"own"),
    "lower-case cookie": _answer("200 OK", _TEXT, "set-cookie: theme=dark; Path=/", body=b"lower"),
    "lower-case own cookie": _answer("200 OK", _TEXT, "set-cookie: sessionid=x", body=b"lower"),
    "partitioned cookie": _answer(
        "200 OK", _TEXT, "Set-Cookie: t=1; Path=/; Secure; Partitioned", body=b"partitioned"
    ),
    "hop-by-hop": _answer(
        "200 OK",
        _TEXT,
        "Connection: keep-alive, X-Named",
        "X-Named: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "TE: trailers",
        "Upgrade: h2c",
        "Trailer: X-T",
        body=b"hops",
    ),
    "repeated": _answer(
        "200 OK", _TEXT, "Link: </a>", "Link: </b>", "X-Twice: 1", "X-Twice: 2", body=b"repeated"
    ),
    "varies": _answer("200 OK", _TEXT, "Vary: Accept", "Vary: Accept-Encoding", body=b"varies"),
    "varies with everything": _answer("200 OK", _TEXT, "Vary: *", body=b"varies"),
    "private": _answer("200 OK", _TEXT, "Cache-Control: private", "Vary: Cookie", body=b"mine"),
    "headers": _answer(
        "200 OK",
        _TEXT,
        "X-Latin: Gr\xf6\xdfe",
        "X-Empty:",
        "Server: an application",
        "X-Powered-By: an application",
        "Content-Security-Policy: default-src 'self'",
        "Strict-Transport-Security: max-age=31536000",
        'Content-Disposition: attachment; filename="a.txt"',
        "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT",
        "Access-Control-Allow-Origin: *",
        body=b"headers",
    ),
    "gzip": _answer(
        "200 OK", _TEXT, "Content-Encoding: gzip", body=gzip.compress(b"packed" * 9, mtime=0)
    ),
    "brotli": _answer("200 OK", _TEXT, "Content-Encoding: br", body=b"\x8b\x02\x80hello\x03"),
    "chunked": _EVENTS + b"\r\n\r\n6\r\ndata: \r\n5\r\n1\n\n: \r\n0\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nend",
    "old": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold",
}


class Case(NamedTuple):
    """One request of a browser, and how the application answers it."""

    number: int
    site: str
    user: str | None
    method: str
    target: str
    headers: Headers
    cookies: tuple[str, ...]
    #: Where the browser's cookie of the proxy stands among the others.
    position: int
    body: bytes | None
    chunked: bool
    version: str
    answer: str

    @property
    def response(self) -> bytes:
        """How the application answers, as bytes."""
        return ANSWERS[self.answer]

    def request(self, own_cookie: str | None) -> bytes:
        """Return the request as bytes, with the proxy's cookie of a browser that is signed in."""
        cookies = list(self.cookies)
        if own_cookie:
            cookies.insert(self.position, own_cookie)
        headers = [("Host", "localhost"), *self.headers]
        if cookies:
            headers.append(("Cookie", "; ".join(cookies)))
        body = self.body or b""
        if self.body is not None and self.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
            parts = [body[start : start + 700] for start in range(0, len(body), 700)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
        elif self.body is not None:
            headers.append(("Content-Length", str(len(body))))
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _deck(random: Random, items: Sequence[T]) -> Iterator[T]:
    """Draw each item once before any comes again."""
    while True:
        yield from random.sample(items, len(items))


#: Where a site begins with plain requests, those: user, method, path and Accept.
#:
#: In "engaged", each tag gets its own date, and of a rule's tags none, some or all are known.
_FIRST: dict[str, list[tuple[str | None, str, str, str]]] = {
    "courses": [
        (None, "GET", "/visits/", "text/html"),
        (None, "GET", "/visits/", "text/html;q=0.9, */*"),
    ],
    "engaged": [
        ("minimal", "GET", "/tutorial/", "*/*"),
        ("minimal", "GET", "/both/", "*/*"),
        ("minimal", "GET", "/both/", "*/*"),
        ("minimal", "GET", "/three/", "*/*"),
        ("minimal", "GET", "/three/", "*/*"),
        ("minimal", "OPTIONS", "/three/", "*/*"),
        ("minimal", "HEAD", "/tutorial/", "*/*"),
        ("minimal", "GET", "/", "*/*"),
    ],
    "plans": [("minimal", "OPTIONS", "/unmatched/", "*/*")],
}


def _plain(number: int, site: str, user: str | None, method: str, path: str, accept: str) -> Case:
    return Case(
        number=number,
        site=site,
        user=user,
        method=method,
        target=path,
        headers=[("Accept", accept)],
        cookies=(),
        position=0,
        body=None,
        chunked=False,
        version="HTTP/1.1",
        answer="text",
    )


def cases(count: int, seed: int = SEED) -> list[Case]:
    """Return ``count`` requests, those of a site one after another."""
    random = Random(seed)
    users = {site: _deck(random, [*USERS, "xia", "alice", None, None]) for site in SITES}
    # Fewer, so that they come again.
    users["engaged"] = _deck(random, ["xia", "alice", None])
    places = {site: _deck(random, _PLACES[site]) for site in SITES}
    endings, queries = _deck(random, _ENDINGS), _deck(random, _QUERIES)
    methods, answers = _deck(random, _METHODS), _deck(random, list(ANSWERS))
    headers, bodies = _deck(random, _HEADERS), _deck(random, _BODIES)
    cookies, planted = _deck(random, _COOKIES), _deck(random, _PLANTED)
    chunked, versions = _deck(random, [True, False, False]), _deck(random, [*["1.1"] * 49, "1.0"])
    absolute = _deck(random, [*[""] * 39, "http://127.0.0.1"])
    first = {site: iter(_FIRST.get(site, ())) for site in SITES}
    found: list[Case] = []
    for number in range(count):
        site = list(SITES)[number * len(SITES) // count]
        if plain := next(first[site], None):
            found.append(_plain(number, site, *plain))
            continue
        user, method = next(users[site]), next(methods)
        sent = list(next(headers))
        content_type, body = None, None
        # Now and then a GET has one too.
        if method in ("POST", "PUT", "PATCH", "DELETE") or random.random() < 0.03:
            content_type, body = next(bodies)
        if content_type is not None:
            sent.append(("Content-Type", content_type))
        others = next(cookies) + (next(planted) if user is None else ())
        version = next(versions)
        found.append(
            Case(
                number,
                site,
                user,
                method,
                next(absolute) + next(places[site]) + next(endings) + next(queries),
                sent,
                others,
                random.randint(0, len(others)),
                body,
                # HTTP/1.0 does not know chunks.
                body is not None and version == "1.1" and next(chunked),
                f"HTTP/{version}",
                next(answers),
            )
        )
    return found
