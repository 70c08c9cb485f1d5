"""What people have at hand of a request, read: a token, a header, a request, curl, a HAR file."""

from __future__ import annotations

import json
import re
import shlex
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ..errors import ConfigurationError

__all__ = ["MAX_REQUESTS", "InputError", "RecordedRequest", "import_problem", "read_requests"]

#: Requests of a HAR file that are looked at: the last ones.
MAX_REQUESTS = 50

_REQUEST_LINE = re.compile(r"([A-Z]{3,10}) (\S+) HTTP/[\d.]+\s*")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)")
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*)'")
_CURL = re.compile(r"(?:\$ )?curl(?:\.exe)?\s")


class InputError(Exception):
    """There is nothing in the input that could be looked at; the message is one line."""


def import_problem(error: BaseException) -> str:
    """Say what a module raised, and where: of its message a missing name alone, no value."""
    said = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        said = f"there is no module {error.name}"
    elif isinstance(error, KeyError) and re.fullmatch(r"'[A-Z][A-Z0-9_]*'", str(error)):
        said = f"KeyError: {error}"  # of a variable
    elif isinstance(error, ConfigurationError):
        return str(error)
    # The last line that is the project's: not Python's, nor of a package.
    others = ("<", str(Path(__file__).parent.parent), *map(sysconfig.get_path, _LIBRARIES))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(others):
            return f"{said}, line {frame.lineno} of {Path(frame.filename).name}"
    return said


@dataclass(frozen=True)
class RecordedRequest:
    """As much of a request as the input has."""

    #: What it was read from: "token", "header", "request", "curl" or "har".
    source: str
    #: Names in lower case, values as they came.
    headers: list[tuple[str, str]] = field(default_factory=list, repr=False)
    #: The path of the URL, percent-decoded, or None when the input does not have one.
    path: str | None = None
    #: A token by itself.
    token: str | None = field(default=None, repr=False)

    def header(self, name: str) -> str:
        """Return the values of a header, joined as a WSGI server joins them."""
        values = [value for key, value in self.headers if key == name]
        return ("; " if name == "cookie" else ",").join(values)


def read_requests(text: str) -> list[RecordedRequest]:
    """Return the requests in a text, the last one of a HAR file first. Raises InputError."""
    stripped = text.strip().lstrip("\ufeff")
    if not stripped:
        raise InputError("there is nothing to look at: give a token, a header or a request")
    if stripped.startswith("{"):
        return _read_har(stripped)
    if _CURL.match(stripped):
        return [_read_curl(stripped)]
    first, *rest = stripped.splitlines()
    match = _REQUEST_LINE.fullmatch(first)
    if match:
        return [RecordedRequest("request", list(_headers(rest)), _path(match[2]))]
    headers = list(_headers([first, *rest]))
    if headers and headers[0][0] in ("cookie", "authorization", "set-cookie"):
        return [
            RecordedRequest("header", [(key.removeprefix("set-"), value) for key, value in headers])
        ]
    if stripped.lower().startswith("bearer "):
        return [RecordedRequest("header", [("authorization", stripped)])]
    # The value of a Cookie header without its name; no token has a "=" but at its end.
    if re.match(r"[\w.-]+=[^=]", stripped) and "\n" not in stripped:
        return [RecordedRequest("header", [("cookie", stripped)])]
    # As it is: white space within it is a line wrap.
    return [RecordedRequest("token", token=stripped)]


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


def _read_curl(text: str) -> RecordedRequest:
    if re.search(r'\^["\r\n]', text):  # for the command line of Windows
        text = re.sub(r"\^(.)", r"\1", re.sub(r"\^\r?\n", " ", text))
    text = re.sub(r"\\\r?\n", " ", text).lstrip("$ ")
    try:
        words = shlex.split(_ANSI_C.sub(_unquoted, text))
    except ValueError:
        raise InputError("the curl command has a quote that is not closed") from None
    headers: list[tuple[str, str]] = []
    url = None
    arguments = iter(words[1:])
    for word in arguments:
        if word in ("-H", "--header", "-b", "--cookie"):
            value = next(arguments, "")
            headers += _headers([value if word in ("-H", "--header") else f"Cookie: {value}"])
        elif word.startswith(("--header=", "--cookie=")):
            name, _, value = word.partition("=")
            headers += _headers([value if name == "--header" else f"Cookie: {value}"])
        elif word == "--oauth2-bearer":
            headers.append(("authorization", f"Bearer {next(arguments, '')}"))
        elif word.startswith(("-H", "-b")) and not word.startswith("--") and len(word) > 2:
            headers += _headers([word[2:] if word[1] == "H" else f"Cookie: {word[2:]}"])
        elif word == "--url":
            url = next(arguments, "")
        elif re.match(r"https?://", word):
            url = word
    return RecordedRequest("curl", headers, _path(url) if url else None)


def _unquoted(match: re.Match[str]) -> str:
    """Return what stands in $'...', which bash reads escapes in, quoted for shlex."""
    text = re.sub(
        r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))",
        lambda found: found[3] or chr(int(found[1] or found[2], 16)),
        match[1],
    )
    return shlex.quote(text)


def _read_har(text: str) -> list[RecordedRequest]:
    try:
        document = json.loads(text)
        entries = document["log"]["entries"]
        requests = [_har_request(entry["request"]) for entry in entries[-MAX_REQUESTS:]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise InputError("this is JSON, and neither a HAR file nor a token") from None
    if not requests:
        raise InputError("the HAR file has no requests")
    return requests[::-1]


def _har_request(request: Any) -> RecordedRequest:
    headers = [(str(item["name"]).lower(), str(item["value"])) for item in request["headers"]]
    return RecordedRequest("har", headers, _path(str(request["url"])))
