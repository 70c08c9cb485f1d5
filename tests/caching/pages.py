"""The pages that the application of each adapter serves, below ``/`` and below ``/open/``."""

from __future__ import annotations

from collections.abc import MutableMapping
from itertools import count
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

#: The only path that needs no session.
ENTRIES = ["/open"]

ETAG = '"v1"'

_serial = count(1)


class Visit(Protocol):
    """A request as a page sees it. The methods read the session in the framework's ways."""

    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def if_none_match(self) -> str | None: ...
    @property
    def local(self) -> MutableMapping[str, Any]:
        """What the application may write to."""

    def session(self) -> str | None: ...
    def merged_session(self) -> str | None: ...
    def user(self) -> str | None: ...
    def remote_user(self) -> str | None: ...


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    #: Ends with a number that no other response of the process has.
    body: str


def answer(visit: Visit) -> Answer:
    """Return the page. No page reads more of the request than its name says."""
    name = visit.path.strip("/").removeprefix("open/")
    status, headers, text = 200, [], name
    if name == "session":
        text = f"session {visit.session()}"
    elif name == "merged-session":
        text = f"session {visit.merged_session()}"
    elif name == "user":
        text = f"user {visit.user() or None}"
    elif name == "remote-user":
        text = f"remote user {visit.remote_user()}"
    elif name == "forbidden":
        status, text = 403, f"not for {visit.remote_user()}"
    elif name == "missing":
        status, text = 404, f"nothing for {visit.remote_user()}"
    elif name == "redirect":
        status, text = 302, f"moved for {visit.remote_user()}"
        headers.append(("Location", f"/of/{visit.remote_user()}"))
    elif name == "cookie":
        headers.append(("Set-Cookie", f"theme={visit.remote_user()}"))
        text = f"cookie {visit.remote_user()}"
    elif name == "etag":
        headers.append(("ETag", ETAG))
        if visit.if_none_match == ETAG:
            return Answer(304, headers, "")
        text = f"etag {visit.remote_user()}"
    elif name == "cart":
        visit.local["cart"] = f"apple {next(_serial)}"
        text = f"cart {visit.local['cart']}"
    elif name == "basket":
        text = f"basket {visit.local.get('cart')}"
    elif name == "headers":
        for header, values in parse_qs(visit.query_string).items():
            if header in ("Cache-Control", "Vary"):
                headers.extend((header, value) for value in values)
    elif name == "crash":
        raise RuntimeError("a page that fails")
    elif name != "gate":
        raise ValueError(f"there is no page {name!r}")
    return Answer(status, headers, f"{text} #{next(_serial)}")
