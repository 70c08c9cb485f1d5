"""What people have at hand of a request, read: a token, a header or the whole request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

__all__ = ["InputError", "RecordedRequest", "read_request"]

_REQUEST_LINE = re.compile(r"([A-Z]{3,10}) (\S+) HTTP/[\d.]+\s*")
# A HAR file, and a command that a browser made of a request.
_RECORDING = re.compile(r"\{|(?:\$ )?curl(?:\.exe)?\s")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)")

# The headers whose values are shown, and what such a value consists of. All others may hold a
# credential.
_SHOWN = re.compile(r"host|x-real-ip|x-forwarded-(?:for|host|port|proto)")
_SHOWN_VALUE = re.compile(r"[\w.:, \[\]-]{1,200}", re.ASCII)


class InputError(Exception):
    """There is nothing in the input that could be looked at; the message is one line."""


@dataclass(frozen=True)
class RecordedRequest:
    """As much of a request as the input has."""

    #: What it was read from: "token", "header" or "request".
    source: str
    #: Names in lower case, values as they came.
    headers: list[tuple[str, str]] = field(default_factory=list, repr=False)
    #: The path of the URL, percent-decoded, or None when the input does not have one.
    path: str | None = None
    #: A token by itself.
    token: str | None = field(default=None, repr=False)
    #: The method, or ``""`` when the input does not have one.
    method: str = ""
    #: The address of the connection, or None when the input does not have it.
    peer: str | None = None

    def header(self, name: str) -> str:
        """Return the values of a header, joined as a WSGI server joins them."""
        values = [value for key, value in self.headers if key == name]
        return ("; " if name == "cookie" else ",").join(values)

    def header_sizes(self) -> Iterator[tuple[str, int, str]]:
        """Yield each header's name, its bytes on the wire, and its value where that is harmless.

        The value is ``""`` for every header that may hold a credential.
        """
        for name, value in self.headers:
            size = len(f"{name}: \r\n") + len(value.encode("utf-8", "replace"))
            is_shown = _SHOWN.fullmatch(name) and _SHOWN_VALUE.fullmatch(value)
            yield name, size, value if is_shown else ""


def read_request(text: str) -> RecordedRequest:
    """Return the request in a text. Raises InputError when there is nothing in it."""
    # The proxy's dashboard folds what it prints with a backslash at the end of a line.
    stripped = re.sub(r"\\[ \t]*\r?\n[ \t]*", "", text).strip().lstrip("\ufeff")
    if not stripped:
        raise InputError("there is nothing to look at: give a token, a header or a request")
    if _RECORDING.match(stripped):
        raise InputError(
            "a browser's recording does not contain the token, which the proxy sends only to the"
            " application: run djsession doctor --listen in its place"
        )
    first, *rest = stripped.splitlines()
    match = _REQUEST_LINE.fullmatch(first)
    if match:
        headers = list(_headers(rest))
        return RecordedRequest("request", headers, _path(match[2]), method=match[1])
    headers = list(_headers([first, *rest]))
    if headers and headers[0][0] in ("cookie", "authorization", "set-cookie"):
        headers = [(key.removeprefix("set-"), value) for key, value in headers]
        return RecordedRequest("header", headers)
    if stripped.lower().startswith("bearer "):
        return RecordedRequest("header", [("authorization", stripped)])
    # The value of a Cookie header without its name; no token has a "=" but at its end.
    if re.match(r"[\w.-]+=[^=]", stripped) and "\n" not in stripped:
        return RecordedRequest("header", [("cookie", stripped)])
    # As the dashboard prints it, "sessionid: TOKEN", or by itself: then white space within it is a
    # line wrap.
    return RecordedRequest("token", token=re.sub(r"\A[\w.-]+:[ \t]*(?=\S+\Z)", "", stripped))


def _headers(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the headers up to the first empty line, folded ones in one piece."""
    name, value = "", ""
    for line in lines:
        if not line.strip():
            break
        match = _HEADER.fullmatch(line.rstrip("\r"))
        if match and not line[0].isspace():
            if name:
                yield name, value
            name, value = match[1].lower(), match[2].strip()
        elif name:
            value = f"{value} {line.strip()}"
    if name:
        yield name, value


def _path(url: str) -> str | None:
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    # As the gate takes it: what is not UTF-8 becomes U+FFFD.
    return unquote_to_bytes((path or "/").encode("utf-8", "surrogatepass")).decode(errors="replace")
