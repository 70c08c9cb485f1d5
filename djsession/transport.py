"""Where tokens travel, and which of several in one request counts.

Theory of operation
===================

A request can carry more than one token. The proxy sends exactly one, in one of two ways:

- the cookie backend writes an openssl token into the cookie ``sessionid``, in place of the
  browser's own cookie of that name;
- the JWT backend writes a jwt into ``Authorization: Bearer``, or the bare word ``Bearer`` where
  nobody is signed in.

Everything else in these two headers passes through from the browser: with the cookie backend its
``Authorization`` header, with the JWT backend all of its cookies. An application is not told which
backend the site uses, so it cannot tell from a header's name whether the proxy or the browser wrote
it. It can tell what *could not* have come from the proxy in this request, and the rules below use
that.

1. *An openssl token counts only in the cookie.* The proxy never writes one into ``Authorization``.
2. *A jwt in the cookie counts only where there is no* ``Authorization: Bearer`` *header.* The proxy
   never writes a jwt into the cookie; the mockup logins do, on a laptop without a proxy. Behind the
   JWT backend every request has the header. A jwt that is still in the browser from yesterday's
   mockup, or that somebody planted there, therefore never outranks the proxy.
3. ``Authorization: Bearer`` *with nothing behind it means that nobody is signed in*, whatever any
   cookie says: it is the proxy's own word, and it is newer than any cookie. Where ``formats``
   excludes jwt the site does not use that backend, so the header came from the browser and means
   nothing.
4. *Several tokens that decode must agree.* All of them were written by somebody who knows the key,
   so none is more believable than another. They may differ in ``exp`` and ``last_visited``, which
   change from request to request. If they differ in anything else the request has no session: at
   most one of them can be the proxy's word on this request, and a guess could sign a user in as
   somebody else. A session without a username differs from every session that has one.
5. *A token that does not decode, beside one that does, is ignored.* API clients send keys of their
   own in ``Authorization``, and the proxy passes these on beside its cookie.
6. *All tokens of a request together are at most* ``max_token_size`` *characters, in at most*
   :data:`MAX_COOKIES` *cookies and one header*, so that one request cannot cause many decryptions.

None of this tells a fresh openssl token from an old one: the format has neither a date nor a MAC.
The connection can tell: with ``trusted_proxies`` only the proxy's own machine can send a session at
all (:class:`TrustedProxies`). ``formats = ["jwt"]`` refuses the cookie format altogether.
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
    "agree",
    "bearer_token",
    "cookie_tokens",
    "find_candidates",
    "refusal_of_all",
]

Transport = Literal["cookie", "bearer", "unknown"]

#: The peer of a request where a middleware replaced the address of the connection.
REPLACED_PEER = "replaced"

#: Session cookies that a request may carry. A browser sends several cookies of one name when their
#: paths or domains overlap.
MAX_COOKIES = 4

# Members of a session that differ from request to request.
_VOLATILE = ("exp", "last_visited")

_OPENSSL_IN_HEADER = "a token of the cookie format does not count in Authorization"
_JWT_IN_COOKIE = "a jwt in the cookie does not count beside an Authorization: Bearer header"


class Candidate(NamedTuple):
    """A token found in a request."""

    transport: Transport
    token: str
    #: Why it does not count, or ``""`` where it does.
    ignored: str = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.transport}>"

    def __sentry_repr__(self) -> str:
        # Sentry's client takes a tuple apart unless it has this.
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
    """Return the tokens in the cookies of the configured name, without their quotes.

    Of more than MAX_COOKIES only as many are returned as it takes to see that (rule 6).

    The proxy's own session id (32 letters and digits) is left out: it is not a token, and it does
    not point to a wrong key.
    """
    found: list[str] = []
    # Split by hand, as browsers and RFC 6265 section 4.1 write cookies: a general parser costs as
    # much as the decryption.
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


def refusal_of_all(
    candidates: Sequence[Candidate],
    authorization: str | None,
    formats: Sequence[str],
    max_token_size: int,
) -> str:
    """Return why no token of a request may count (rules 3 and 6), or ``""``."""
    if authorization is not None and "jwt" in formats and bearer_token(authorization) == "":
        return "Authorization: Bearer is empty, so nobody is signed in at the proxy"
    if len(candidates) > 1:
        if [candidate.transport for candidate in candidates].count("cookie") > MAX_COOKIES:
            return f"the request carries more than {MAX_COOKIES} session cookies"
        if sum(len(candidate.token) for candidate in candidates) > max_token_size:
            return f"together, the tokens are longer than max_token_size; {TokenTooLarge.remedy}"
    return ""


def agree(sessions: Sequence[Session]) -> bool:
    """Return whether sessions that were decoded from one request are the same (rule 4)."""
    first, *others = (
        {key: value for key, value in session.items() if key not in _VOLATILE}
        for session in sessions
    )
    return all(other == first for other in others)


def bearer_token(authorization: str) -> str | None:
    """Return the token of an Authorization header of the scheme Bearer (RFC 6750 section 2.1).

    ``""`` when nothing follows the scheme, None for another scheme.
    """
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower().startswith("bearer,"):
        # A server has joined several headers, of which the first has no token.
        return ""
    return token.strip() if scheme.lower() == "bearer" else None


class TrustedProxies:
    """The peers that may send a session: addresses, networks, and ``unix`` for a Unix socket.

    Raises ValueError for an entry that is none of these.
    """

    #: The entry that stands for any peer on a Unix socket.
    UNIX = "unix"

    # What servers report of a peer on a Unix socket: gunicorn "", waitress "localhost". A peer on
    # TCP is always an address.
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
    """Return the network of an address or a network, an IPv4-mapped one as that of IPv4."""
    network = ipaddress.ip_network(entry.strip())
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        # The 96th bit of such an address is 1, so the prefix has at least 96 bits.
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
    return network
