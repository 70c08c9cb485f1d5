"""Whether a request comes from this machine and stayed on it.

Theory of operation
===================

A mockup login asks for no password: anyone who can reach it can become any of its users. It
therefore answers only requests that a person sent from this machine. No single fact about a
request proves that, so all of the following must hold:

- **The peer is a loopback address.** The client chooses every header, but it does not choose the
  address that it connects from. A server that binds to all interfaces is safe because of this.
- **The Host is a local name.** A web page on the internet can point its own domain name at
  127.0.0.1 and let the developer's browser connect to this machine (DNS rebinding). The peer is a
  loopback address then, but the browser still sends the page's domain name as the Host.
- **The Origin, if there is one, has a local host.** A page of another site can send a request to
  this machine's own name. Browsers name the page's site in the Origin.
- **The protocol is HTTP/1.1 or later.** A reverse proxy on this machine connects from a loopback
  address, whoever its client is, and nginx writes the upstream's address into Host. Before version
  1.30 it also spoke HTTP/1.0 to its upstream by default, which browsers stopped doing long ago.
- **Every forwarding header names only this machine.** Other proxies and tunnels add the address of
  their client, or the host name that it asked for, to ``Forwarded``, ``X-Forwarded-*``,
  ``X-Real-IP`` or ``Via``. The proxies of development servers, such as Vite, add them as well, so
  their presence is not a reason to refuse: a remote address or host in them is.
- **What a proxy middleware replaced is local too.** Werkzeug's ProxyFix overwrites the peer and the
  Host with what X-Forwarded-* says, and keeps the originals in the environ. Both are checked.

Whatever cannot be parsed is treated as remote. A client can add a header that names a remote
address, but it only locks itself out by that.

A local reverse proxy or tunnel that speaks HTTP/1.1, sends a local Host and adds no header looks
exactly like a browser on this machine. Nothing in the request can tell them apart.

The same is true if the server removes the headers before the application sees them. waitress does
so by default with ``Forwarded`` and most of ``X-Forwarded-*``, unless ``trusted_proxy`` names the
proxy or ``clear_untrusted_proxy_headers`` is off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from ..wsgi import PROXY_FIX_KEY

__all__ = [
    "NotLocal",
    "is_local_host",
    "is_loopback",
    "is_this_machine",
    "normalize_hosts",
    "why_not_local",
]


class NotLocal(NamedTuple):
    """Why a request does not count as local. Nothing in it comes from the client."""

    #: A clause, to be read after "because".
    reason: str
    #: Whether listing a host name in ``hosts`` could help.
    concerns_host: bool = False


_PEER = NotLocal("it did not come from a loopback address")
_HOST = NotLocal("its Host is not a name of this machine", concerns_host=True)
_ORIGIN = NotLocal("its Origin is not on this machine", concerns_host=True)
_PROTOCOL = NotLocal(
    "it was not sent with HTTP/1.1 or later, which suggests that a reverse proxy passed it on"
)

# The parts of a Host header (RFC 9110 section 7.2): an IPv6 address in brackets or a name, and a
# port. A name that starts with an underscore is an obfuscated identifier (RFC 7239 section 6.3).
_LABEL = r"[A-Za-z0-9-][\w-]*"
_HOST_AND_PORT = re.compile(
    rf"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|({_LABEL}(?:\.{_LABEL})*\.?))(?::\d*)?", re.ASCII
)
_ORIGIN_PARTS = re.compile(r"https?://(.+)", re.ASCII | re.IGNORECASE)
_PROTOCOL_VERSION = re.compile(r"HTTP/(\d{1,3})(?:\.(\d{1,3}))?", re.ASCII | re.IGNORECASE)

# RFC 7239 section 4. A quoted string may contain the separators.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = rf'({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*")'
_FORWARDED = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*[,;][ \t]*{_PAIR})*[ \t]*")
_FORWARDED_PAIR = re.compile(_PAIR)

# RFC 9110 section 7.6.3: the protocol, the host or pseudonym of the proxy, and maybe a comment.
_VIA_ITEM = rf"(?:{_WORD}/)?{_WORD}[ \t]+([^\s,()]+)(?:[ \t]+\((?:[^()\\]|\\.)*\))?"
_VIA = re.compile(rf"[ \t]*{_VIA_ITEM}(?:[ \t]*,[ \t]*{_VIA_ITEM})*[ \t]*")
_VIA_ENTRY = re.compile(_VIA_ITEM)

_SCHEME = re.compile(r"(?:https?|wss?)", re.IGNORECASE)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_ON_OR_OFF = re.compile(r"on|off", re.IGNORECASE)
# A path that starts with two slashes would be a URL with a host.
_PATH_CHARACTERS = r"\w.~!$&'()*+;=:@%-"
_PATH = re.compile(rf"/(?:[{_PATH_CHARACTERS}][{_PATH_CHARACTERS}/]*)?", re.ASCII)

# These carry neither an address nor a host, and are ignored if their values look like it.
_WITHOUT_ADDRESS = {
    "HTTP_X_FORWARDED_PROTO": _SCHEME,
    "HTTP_X_FORWARDED_SCHEME": _SCHEME,
    "HTTP_X_FORWARDED_PORT": _PORT,
    "HTTP_X_FORWARDED_PREFIX": _PATH,
    "HTTP_X_FORWARDED_SSL": _ON_OR_OFF,
}

# The client chose the name of any other X-Forwarded-* header, so it is not repeated.
_NAMES = {
    "HTTP_FORWARDED": "Forwarded",
    "HTTP_VIA": "Via",
    "HTTP_X_REAL_IP": "X-Real-IP",
    "HTTP_X_FORWARDED_FOR": "X-Forwarded-For",
    "HTTP_X_FORWARDED_HOST": "X-Forwarded-Host",
    "HTTP_X_FORWARDED_SERVER": "X-Forwarded-Server",
}


def why_not_local(environ: Mapping[str, Any], hosts: Collection[str]) -> NotLocal | None:
    """Return why a request does not count as local, or None when it does.

    ``environ`` is that of WSGI (PEP 3333). ``hosts`` are names and addresses that count as this
    machine's, as :func:`normalize_hosts` returns them; a connection must still come from a
    loopback address.
    """
    for source in (environ, environ.get(PROXY_FIX_KEY, environ)):
        if not is_loopback(source.get("REMOTE_ADDR")):
            return _PEER
        if not is_local_host(source.get("HTTP_HOST"), hosts):
            return _HOST
    if not _is_http_1_1_or_later(environ.get("SERVER_PROTOCOL")):
        return _PROTOCOL
    if "HTTP_ORIGIN" in environ and not _is_local_origin(environ["HTTP_ORIGIN"], hosts):
        return _ORIGIN
    for key, value in environ.items():
        if _is_forwarding_header(key) and not _names_only_this_machine(key, value, hosts):
            name = _NAMES.get(key, "X-Forwarded-*")
            return NotLocal(f"its {name} header does not name only this machine")
    return None


def normalize_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Return host names and addresses in the form in which requests are compared with them."""
    return frozenset(map(_normalize, hosts))


def is_loopback(address: object) -> bool:
    """Whether a value is a loopback address, also in IPv4-mapped IPv6 notation."""
    parsed = _parse_address(address)
    return parsed is not None and parsed.is_loopback


def is_local_host(host: object, hosts: Collection[str]) -> bool:
    """Whether the value of a Host header names this machine, or one of ``hosts``.

    ``localhost`` and the names below it always refer to the loopback interface (RFC 6761 section
    6.3), so neither a public server nor a DNS name that was rebound to 127.0.0.1 passes.
    """
    match = _HOST_AND_PORT.fullmatch(host) if isinstance(host, str) else None
    if match is None:
        return False
    bare = match[1] or match[2]
    name = _normalize(bare)
    return is_loopback(bare) or name == "localhost" or name.endswith(".localhost") or name in hosts


def is_this_machine(node: str, hosts: Collection[str]) -> bool:
    """Whether an address or a host, with or without a port, is this machine or one of ``hosts``.

    An IPv6 address without a port needs no brackets, since X-Forwarded-For writes it without.
    """
    address = _parse_address(node)
    if address is not None:
        return address.is_loopback or str(address) in hosts
    return is_local_host(node, hosts)


def _parse_address(value: object) -> IPv4Address | IPv6Address | None:
    # ip_address() takes integers, and addresses that are limited to one interface.
    if not isinstance(value, str) or "%" in value:
        return None
    try:
        address = ip_address(value)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _normalize(host: str) -> str:
    host = host.lower().strip("[]")
    address = _parse_address(host)
    return host.removesuffix(".") if address is None else str(address)


def _is_http_1_1_or_later(protocol: object) -> bool:
    match = _PROTOCOL_VERSION.fullmatch(protocol) if isinstance(protocol, str) else None
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (1, 1)


def _is_local_origin(origin: object, hosts: Collection[str]) -> bool:
    match = _ORIGIN_PARTS.fullmatch(origin) if isinstance(origin, str) else None
    return match is not None and is_local_host(match[1], hosts)


def _is_forwarding_header(key: str) -> bool:
    return key in ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP") or key.startswith(
        "HTTP_X_FORWARDED"
    )


def _names_only_this_machine(key: str, value: object, hosts: Collection[str]) -> bool:
    if not isinstance(value, str):
        return False
    pattern = _WITHOUT_ADDRESS.get(key)
    if pattern is not None:
        return all(pattern.fullmatch(item) for item in _split(value))
    nodes = _NODES.get(key, _split)(value)
    return nodes is not None and all(is_this_machine(node, hosts) for node in nodes)


def _split(value: str) -> list[str]:
    """Return the items of a list. An empty item is kept: it is not the name of this machine."""
    return [item.strip(" \t") for item in value.split(",")]


def _forwarded_nodes(value: str) -> list[str] | None:
    """Return the addresses and hosts in a Forwarded header, or None for a malformed one.

    That is the value of every parameter that is not known to be something else.
    """
    if not _FORWARDED.fullmatch(value):
        return None
    pairs = [(name.lower(), _unquote(node)) for name, node in _FORWARDED_PAIR.findall(value)]
    return [node for name, node in pairs if name != "proto" or not _SCHEME.fullmatch(node)]


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])


def _via_nodes(value: str) -> list[str] | None:
    """Return the hosts and pseudonyms in a Via header, or None for a malformed one."""
    if not _VIA.fullmatch(value):
        return None
    return _VIA_ENTRY.findall(value)


_NODES: dict[str, Callable[[str], list[str] | None]] = {
    "HTTP_FORWARDED": _forwarded_nodes,
    "HTTP_VIA": _via_nodes,
}
