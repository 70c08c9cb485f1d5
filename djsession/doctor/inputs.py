"""Reads what people have at hand: a token, a header or a whole request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

__all__ = ["InputError", "RecordedRequest", "read_request"]

_REQUEST_LINE = re.compile(r"([A-Z]{3,10}) (\S+) HTTP/[\d.]+\s*")
# A HAR file, or the curl command that a browser copies for a request.
_RECORDING = re.compile(r"\{|(?:\$ )?curl(?:\.exe)?\s")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)")

# The headers whose values are shown, and the characters that such a value may contain. All other
# headers may hold a credential.
_SHOWN = re.compile(r"host|x-real-ip|x-forwarded-(?:for|host|port|proto)")
_SHOWN_VALUE = re.compile(r"[\w.:, \[\]-]{1,200}", re.ASCII)


class InputError(Exception):
    """The input cannot be examined. The message, which is one line, says why."""


@dataclass(frozen=True)
class RecordedRequest:
    """The parts of a request that the input contains."""

    #: What the input was: "token", "header" or "request".
    source: str
    #: Names in lower case, values unchanged.
    headers: list[tuple[str, str]] = field(default_factory=list, repr=False)
    #: The path of the URL, percent-decoded, or None if the input does not contain one.
    path: str | None = None
    #: The token, if the input is only a token.
    token: str | None = field(default=None, repr=False)
    #: The method, or ``""`` if the input does not contain one.
    method: str = ""
    #: The address that the request came from, or None if it is not known.
    peer: str | None = None

    def header(self, name: str) -> str:
        """Return the values of a header, joined as a WSGI server joins them."""
        values = [value for key, value in self.headers if key == name]
        return ("; " if name == "cookie" else ",").join(values)

    def header_sizes(self) -> Iterator[tuple[str, int, str]]:
        """Yield each header's name, its size in bytes, and its value if it is harmless to show.

        The value is ``""`` for every header that may hold a credential.
        """
        for name, value in self.headers:
            size = len(f"{name}: \r\n") + len(value.encode("utf-8", "replace"))
            is_shown = _SHOWN.fullmatch(name) and _SHOWN_VALUE.fullmatch(value)
            yield name, size, value if is_shown else ""


def read_request(text: str) -> RecordedRequest:
    """Return the request in a text. Raises InputError if the text cannot be examined."""
    # The proxy's dashboard wraps long lines with a backslash at the end.
    stripped = re.sub(r"\\[ \t]*\r?\n[ \t]*", "", text).strip().lstrip("\ufeff")
    if not stripped:
        raise InputError("there is nothing to examine: pass a token, a header or a request")
    if _RECORDING.match(stripped):
        raise InputError(
            "a browser's recording does not contain the token, which the proxy sends only to the"
            " application: run djsession doctor --listen in the application's place"
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
    # The value of a Cookie header without its name. A token contains "=" only at its end.
    if re.match(r"[\w.-]+=[^=]", stripped) and "\n" not in stripped:
        return RecordedRequest("header", [("cookie", stripped)])
    # "sessionid: TOKEN", as the dashboard prints it, or only the token. White space within a token
    # comes from wrapped lines.
    return RecordedRequest("token", token=re.sub(r"\A[\w.-]+:[ \t]*(?=\S+\Z)", "", stripped))


def _headers(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the headers up to the first empty line, each folded header joined into one line."""
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
    # The gate, too, replaces bytes that are not UTF-8 with U+FFFD.
    return unquote_to_bytes((path or "/").encode("utf-8", "surrogatepass")).decode(errors="replace")
