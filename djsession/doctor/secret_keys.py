"""Secret keys as somebody configured them, and how one may have been changed by mistake."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, takewhile
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..errors import ConfigurationError
from ..keys import check_secret_keys
from ..trace import quantity

__all__ = ["CHANGES", "Change", "Keys", "changes", "differences", "surroundings", "trim"]


@dataclass(frozen=True)
class Keys:
    """The secret keys as they were configured, before any check."""

    raw: tuple[str, ...] = field(repr=False)

    @property
    def usable(self) -> tuple[str, ...]:
        """The keys that an application would start with."""
        return tuple(key for key in self.raw if _is_usable(key))

    @property
    def trimmed(self) -> tuple[str, ...]:
        """The keys that can be used, once the white space and quotes around them are removed."""
        return tuple(key for key in map(trim, self.raw) if _is_usable(key))

    def name(self, number: int) -> str:
        """Return how a sentence starts that is about a key. Keys are numbered from 1."""
        if len(self.raw) == 1:
            return "The secret key"
        return f"Secret key {number} of {len(self.raw)}"


def trim(key: str) -> str:
    """Return a key without white space and quotes around it."""
    while (shorter := key.strip().strip("\"'")) != key:
        key = shorter
    return key


def surroundings(key: str) -> str:
    """Return the words for what surrounds a key but is not part of it, or ``""``."""
    if key.strip() != key:
        return "white space or a line end"
    return "quotes" if trim(key) != key else ""


def _is_usable(key: str) -> bool:
    try:
        check_secret_keys(key)
    except ConfigurationError:
        return False
    return True


class Change(NamedTuple):
    """A change that may have happened to a key."""

    #: The id of the finding.
    id: str
    #: The sentence that describes the change.
    sentence: str
    #: The key before the change.
    key: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"


def _base64_of(key: str) -> str:
    try:
        return b64decode(key + "=" * (-len(key) % 4), validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        return ""


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


# What people and tools do to a key, and how to undo it.
_CHANGES: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("key-base64", "is the base64 encoding of the key", _base64_of),
    ("key-base64", "was base64-decoded", lambda key: b64encode(_bytes(key)).decode()),
    ("key-url-encoded", "is URL-encoded", unquote),
    ("key-url-encoded", "was URL-decoded", lambda key: quote(_bytes(key), safe="")),
    (
        "key-escaped",
        "has every $ doubled, which is only needed in a Compose file",
        lambda key: key.replace("$$", "$"),
    ),
    (
        "key-escaped",
        "has every % doubled, which is only needed in an ini file",
        lambda key: key.replace("%%", "%"),
    ),
    (
        "key-escaped",
        "has a backslash before a character, which is only needed in a shell",
        lambda key: re.sub(r"\\(.)", r"\1", key),
    ),
    (
        "key-unescaped",
        "lacks every second $, since a Compose file turns $$ into $",
        lambda key: key.replace("$", "$$"),
    ),
    (
        "key-unescaped",
        "lacks every second %, since an ini file turns %% into %",
        lambda key: key.replace("%", "%%"),
    ),
)

_COMMA = "key-comma"

#: The ids of all changes.
CHANGES = frozenset({_COMMA, *(name for name, _, _ in _CHANGES)})


def changes(keys: Keys) -> Iterator[Change]:
    """Yield the changes that may have turned the proxy's key into one of these keys."""
    for number, raw in enumerate(keys.raw, 1):
        key = trim(raw)
        for name, what, undo in _CHANGES:
            before = trim(undo(key))
            if before and before != key:
                yield Change(name, f"{keys.name(number)} {what}.", before)
    for start, end in combinations(range(len(keys.raw) + 1), 2):
        if end - start > 1:
            sentence = (
                f"The proxy's key contains {quantity(end - start - 1, 'comma')}: the environment"
                f" variable was read as {end - start} keys, since commas separate keys in it."
            )
            yield Change(_COMMA, sentence, trim(",".join(keys.raw[start:end])))


def differences(keys: Keys, site_key: str) -> list[str]:
    """Return one sentence per key on how it differs from the site's key, none if one is the same.

    The sentences do not contain any characters of the keys.
    """
    if site_key in keys.raw:
        return []
    for change in changes(keys):
        if change.key == site_key:
            return [change.sentence]
    return [
        f"{keys.name(number)} {_difference(key, site_key)}."
        for number, key in enumerate(keys.raw, 1)
    ]


def _difference(raw: str, site_key: str) -> str:
    key, around = trim(raw), surroundings(raw)
    if key == site_key:
        return f"has {around} around it, and is otherwise the same"
    also = f"; it also has {around} around it" if around else ""
    first = _common(key, site_key)
    position = f"character {first + 1} of {len(site_key)}"
    if key.lower() == site_key.lower():
        return f"differs only in upper and lower case, first at {position}{also}"
    last = _common(key[::-1], site_key[::-1])
    more = len(key) - len(site_key)
    if first + last >= min(len(key), len(site_key)):
        if more < 0:
            return f"lacks {quantity(-more, 'character')}, from {position} on{also}"
        return f"has {quantity(more, 'character')} too many, from character {first + 1} on{also}"
    length = f", and has {quantity(len(key), 'character')}" if more else ""
    return f"differs at {position}{length}{also}"


def _common(one: str, other: str) -> int:
    """Return how many characters two keys have in common at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
