"""Finds the tokens in a request, and decides which of several tokens counts.

Theory of operation
===================

A request can carry more than one token. The proxy sends exactly one, in one of two ways:

- the cookie backend writes an openssl token into the cookie ``sessionid``, and thereby replaces the
  browser's own cookie of that name;
- the JWT backend writes a jwt into ``Authorization: Bearer``, or only the word ``Bearer`` if nobody
  is signed in.

The proxy passes everything else in these two headers through from the browser: the cookie backend
passes the ``Authorization`` header, and the JWT backend passes all cookies. An application does not
know which backend the site uses, so a header's name does not show whether the proxy or the browser
wrote it. But some tokens *cannot* have come from the proxy, and the rules below use that.

1. *An openssl token counts only in the cookie.* The proxy never writes one into ``Authorization``.
2. *A jwt in the cookie counts only where there is no* ``Authorization: Bearer`` *header.* The proxy
   never writes a jwt into the cookie. The mockup logins do, on a laptop without a proxy. Behind the
   JWT backend every request has the header. A jwt that yesterday's mockup login left in the
   browser, or that somebody planted there, therefore never overrides the proxy.
3. ``Authorization: Bearer`` *without a token means that nobody is signed in*, whatever any cookie
   contains: the proxy itself wrote this header, and it is newer than any cookie. If ``formats``
   excludes jwt, the site does not use that backend, so the header came from the browser and means
   nothing.
4. *Several tokens that decode must agree.* Somebody who knows the key wrote each of them, so all
   are equally credible. They may differ in ``exp`` and ``last_visited``, which change from request
   to request. If they differ in anything else, the request has no session: at most one of them can
   be from the proxy for this request, and a guess could sign a user in as somebody else. A session
   without a username differs from every session with a username.
5. *A token that does not decode is ignored if another one does.* API clients send keys of their own
   in ``Authorization``, and the proxy passes these on beside its cookie.
6. *All tokens of a request together have at most* ``max_token_size`` *characters, in at most*
   :data:`MAX_COOKIES` *cookies and one header*, so that one request cannot cause many decryptions.

None of these rules can distinguish a fresh openssl token from an old one, since the format has
neither a date nor a MAC. The connection can: with ``trusted_proxies`` only the proxy's own machine
can send a session at all (:class:`TrustedProxies`). ``formats = ["jwt"]`` refuses openssl tokens
altogether.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .codec import token_format
from .errors import TokenTooLarge
from .session import Session

__all__ = [
    "MAX_COOKIES",
    "REPLACED_PEER",
    "Candidate",
    "Transport",
    "TrustedProxies",
    "bearer_token",
    "cookie_tokens",
    "find_candidates",
    "refusal_of_request",
    "sessions_agree",
    "sole_token",
]

Transport = Literal["cookie", "bearer", "unknown"]

#: Stands for the peer if a middleware may have replaced the address of the connection.
REPLACED_PEER = "replaced"

#: How many session cookies a request may carry. A browser sends several cookies with one name when
#: their paths or domains overlap.
MAX_COOKIES = 4

# The keys of a session whose values change from request to request.
_CHANGING_KEYS = ("exp", "last_visited")

_OPENSSL_IN_HEADER = "a token of the cookie format does not count in an Authorization header"
_JWT_IN_COOKIE = "a jwt in the cookie does not count beside an Authorization: Bearer header"


class Candidate(NamedTuple):
    """A token found in a request."""

    transport: Transport
    token: str
    #: Why the token does not count, or ``""`` if it does.
    ignored: str = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.transport}>"

    def __sentry_repr__(self) -> str:
        # Without this, Sentry's client reports each item of a tuple.
        return repr(self)


def find_candidates(
    cookie: str | None, authorization: str | None, cookie_name: str
) -> list[Candidate]:
    """Return all tokens of a request in the order in which they are tried (rules 1 and 2).

    The cookies of the configured name come first, then the Authorization header.
    """
    bearer = None if authorization is None else bearer_token(authorization)
    found: list[Candidate] = []
    for value in cookie_tokens(cookie, cookie_name):
        is_ignored = bearer is not None and token_format(value) == "jwt"
        found.append(Candidate("cookie", value, _JWT_IN_COOKIE if is_ignored else ""))
    if bearer:
        ignored = _OPENSSL_IN_HEADER if token_format(bearer) == "openssl" else ""
        found.append(Candidate("bearer", bearer, ignored))
    return found


def cookie_tokens(cookie: str | None, cookie_name: str) -> list[str]:
    """Return the tokens in the cookies with the configured name, without their quotes.

    Returns at most MAX_COOKIES + 1 of them, which is enough to see that there are too many
    (rule 6). Leaves out the proxy's own session id (32 letters and digits), since it is not a token
    and would be mistaken for a sign of a wrong key.
    """
    found: list[str] = []
    # Parse the syntax of RFC 6265 section 4.1, which browsers use, by hand: a general parser takes
    # as long as the decryption.
    for pair in (cookie or "").split(";"):
        if cookie_name not in pair:
            continue
        name, _, value = pair.partition("=")
        if name.strip() != cookie_name:
            continue
        value = value.strip()
        if value[:1] == value[-1:] == '"':
            value = value[1:-1]
        if not value or (len(value) == 32 and value.isalnum() and value.isascii()):
            continue
        found.append(value)
        if len(found) > MAX_COOKIES:
            break
    return found


def sole_token(cookie: str, start: str) -> str:
    """Return the only token in a Cookie header if it is spelled as the proxy does, or ``""``.

    ``start`` is the name of the cookie with ``="``. The result is ``""`` or the only item of what
    :func:`cookie_tokens` returns, which takes several times as long.
    """
    before, _, rest = cookie.partition(start)
    token, quote, after = rest.partition('"')
    name = start[:-2]
    if (
        not quote
        or (before and (before[-2:] != "; " or name in before))
        or (after and (after[0] != ";" or name in after))
        or ";" in token
        or len(token) == 32
    ):
        return ""
    return token


def refusal_of_request(
    candidates: Sequence[Candidate],
    authorization: str | None,
    formats: Sequence[str],
    max_token_size: int,
) -> str:
    """Return why none of a request's tokens may count (rules 3 and 6), or ``""``."""
    if authorization is not None and "jwt" in formats and bearer_token(authorization) == "":
        return "Authorization: Bearer is empty, so nobody is signed in at the proxy"
    if len(candidates) > 1:
        if [candidate.transport for candidate in candidates].count("cookie") > MAX_COOKIES:
            return f"the request carries more than {MAX_COOKIES} session cookies"
        if sum(len(candidate.token) for candidate in candidates) > max_token_size:
            return f"the tokens together are longer than max_token_size; {TokenTooLarge.remedy}"
    return ""


def sessions_agree(sessions: Sequence[Session]) -> bool:
    """Return whether the sessions that were decoded from one request agree (rule 4)."""
    first, *others = (
        {key: value for key, value in session.items() if key not in _CHANGING_KEYS}
        for session in sessions
    )
    return all(other == first for other in others)


def bearer_token(authorization: str) -> str | None:
    """Return the token in an ``Authorization: Bearer`` header (RFC 6750 section 2.1).

    Returns ``""`` when nothing follows the scheme, and None for any other scheme.
    """
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower().startswith("bearer,"):
        # A server has joined several headers, and the first does not have a token.
        return ""
    return token.strip() if scheme.lower() == "bearer" else None


class TrustedProxies:
    """The peers that may send a session: addresses, networks, and ``unix`` for a Unix socket.

    Raises ValueError for an entry that is none of these.
    """

    #: The entry that stands for any peer on a Unix socket.
    UNIX = "unix"

    # How servers report a peer on a Unix socket: gunicorn as "", waitress as "localhost". They
    # always report a TCP peer as an address.
    _UNIX_PEERS = (None, "", "localhost")

    def __init__(self, entries: Sequence[str]) -> None:
        self._has_unix = self.UNIX in entries
        self._networks = [_network(entry) for entry in entries if entry != self.UNIX]

    def __contains__(self, peer: object) -> bool:
        if peer in self._UNIX_PEERS:
            return self._has_unix
        try:
            address = ipaddress.ip_address(str(peer))
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return an address or a network as a network; IPv4-mapped IPv6 addresses become IPv4."""
    network = ipaddress.ip_network(entry.strip())
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        # The 96th bit of such an address is 1, so the prefix has at least 96 bits.
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
    return network
