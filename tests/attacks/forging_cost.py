"""What it costs to forge a token of the cookie format without the key: computed and measured.

::

    python tests/attacks/forging_cost.py [MILLIONS]

An attacker who changes one block of a ciphertext controls the next block of the plaintext, and
turns the changed block into 16 bytes that she neither knows nor chooses: random ones. The forgery
passes if these 16 bytes are accepted where she placed them. There are two kinds of places: within a
string such as a name, and within ``last_visited``. This script

1. asks the codec which single bytes it accepts in either place,
2. computes from these the chance that 16 random bytes pass, escape sequences of JSON included, and
3. draws random blocks (default: 200 million), counts those that pass, and has the codec confirm
   each.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode

from djsession import Session, SessionCodec, openssl

KEY = "k3y!@#$%^*-_=+ab"
CODEC = SessionCodec(KEY)
BLOCK = 16
BLOCKS_PER_DRAW = 1_000_000

PLACES = {
    "a name, to add an organization to one's own roles": b'{"username": "xia", "name": "%b"}',
    "last_visited, to sign in as another user": b'{"last_visited": "%b", "username": "xia"}',
}


def is_accepted(place: bytes, garbled: bytes) -> bool:
    """Return whether the codec accepts a session with these bytes in a place."""
    container = openssl.encrypt(place.replace(b"%b", garbled), KEY.encode())
    return isinstance(CODEC.try_loads(b64encode(container)), Session)


def accepted_bytes(place: bytes) -> bytes:
    """Return the bytes that are accepted by themselves."""
    return bytes(value for value in range(256) if is_accepted(place, bytes([value])))


def chance(place: bytes) -> float:
    """Return the probability that 16 random bytes are accepted."""
    single = len(accepted_bytes(place))
    pairs = sum(is_accepted(place, b"\\" + bytes([value])) for value in range(256))
    digits = sum(is_accepted(place, b"\\u000" + bytes([value])) for value in range(256))
    # Strings of a length that are made of single characters, pairs such as \n, and \uXXXX.
    strings: list[int] = [1]
    for length in range(1, BLOCK + 1):
        total = single * strings[length - 1]
        if length >= 2:
            total += pairs * strings[length - 2]
        if length >= 6:
            total += digits**4 * strings[length - 6]
        strings.append(total)
    return float(strings[BLOCK] / 256**BLOCK)


def measure(places: dict[str, bytes], millions: int) -> dict[str, int]:
    """Return how many of so many million random blocks consist of accepted bytes, by place."""
    found = dict.fromkeys(places, 0)
    tables = {
        name: bytes(value in set(accepted_bytes(place)) for value in range(256))
        for name, place in places.items()
    }
    run = b"\x01" * BLOCK
    for _ in range(millions):
        drawn = os.urandom(BLOCK * BLOCKS_PER_DRAW)
        for name, table in tables.items():
            accepted = drawn.translate(table)
            at = accepted.find(run)
            while at != -1:
                start = at + -at % BLOCK  # where the next block starts
                block = drawn[start : start + BLOCK]
                if accepted[start : start + BLOCK] == run and is_accepted(places[name], block):
                    found[name] += 1
                at = accepted.find(run, start + 1)
    return found


def main() -> None:
    """Print the figures."""
    millions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name, place in PLACES.items():
        print(
            f"{name}: {len(accepted_bytes(place))} of 256 bytes are accepted,"
            f" 1 in {1 / chance(place):.2g} attempts"
        )
    for name, count in measure(PLACES, millions).items():
        rate = f"1 in {millions * 1e6 / count:.2g}" if count else "none"
        print(f"{name}: {count} of {millions} million random blocks passed, {rate}")


if __name__ == "__main__":
    main()
