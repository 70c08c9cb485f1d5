"""Tokens that somebody without the key has made or changed. Each test names what they try."""

from __future__ import annotations

from base64 import b64decode, b64encode
from itertools import permutations
from typing import Any

import pytest

from djsession import Session, SessionCodec, SessionError, dumps, loads
from tests.conftest import KEY, OTHER_KEY, XIA

CODEC = SessionCodec(KEY)


def fixed_container(session: dict[str, Any]) -> bytes:
    """Return the container of a session under a salt that is always the same."""
    import json

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    from djsession import openssl

    salt = bytes(range(8))
    key, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    plaintext = json.dumps(session).encode()
    padding = 16 - len(plaintext) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    padded = plaintext + bytes([padding]) * padding
    return b"Salted__" + salt + encryptor.update(padded) + encryptor.finalize()


CONTAINER = fixed_container(XIA)


def outcome(container: bytes) -> Session | None:
    try:
        return CODEC.loads(b64encode(container).decode())
    except SessionError:
        return None


def test_what_is_forged_from_is_a_session() -> None:
    assert outcome(CONTAINER) == XIA


def test_no_flipped_bit_makes_another_user() -> None:
    """The format has no MAC: a flip garbles its block, and flips one bit of the next."""
    passed = 0
    for index in range(len(CONTAINER)):
        for bit in range(8):
            changed = bytearray(CONTAINER)
            changed[index] ^= 1 << bit
            session = outcome(bytes(changed))
            if session is not None:
                passed += 1
                assert session.get("username") == "xia"
    # A garbled block is 16 random bytes: next to never UTF-8 in the place of a JSON string.
    assert passed == 0


def test_no_order_and_no_cut_of_the_blocks_makes_another_user() -> None:
    header, blocks = CONTAINER[:16], [CONTAINER[i : i + 16] for i in range(16, len(CONTAINER), 16)]
    count = len(blocks)
    tried = [[*blocks[:i], *blocks[i + 1 :]] for i in range(count)]
    tried += [
        blocks[i:j] for i in range(count) for j in range(i, count + 1) if (i, j) != (0, count)
    ]
    tried += [[*blocks, blocks[i]] for i in range(count)]
    tried += [[blocks[i], *blocks] for i in range(count)]
    for one, other in permutations(range(count), 2):
        swapped = list(blocks)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        tried.append(swapped)
    assert len(tried) > 500
    for forged in tried:
        session = outcome(header + b"".join(forged))
        assert session is None or session == XIA


def test_blocks_of_two_tokens_do_not_make_a_third_user() -> None:
    """Under one salt: the proxy never uses one twice."""
    other = fixed_container({**XIA, "username": "root", "is_superuser": True})
    size = min(len(CONTAINER), len(other))
    for cut in range(16, size, 16):
        for forged in (CONTAINER[:cut] + other[cut:], other[:cut] + CONTAINER[cut:]):
            session = outcome(forged)
            assert session is None or session.get("username") in ("xia", "root")


@pytest.mark.parametrize("index", range(3))
def test_no_changed_character_of_a_jwt_verifies(index: int) -> None:
    parts = dumps(XIA, KEY, "jwt").split(".")
    for position, character in enumerate(parts[index]):
        for other in "A-" if character not in "A-" else "Z_":
            changed = parts[index][:position] + other + parts[index][position + 1 :]
            # The last character has bits that stand for nothing.
            if b64decode(changed + "==", "-_") == b64decode(parts[index] + "==", "-_"):
                continue
            forged = ".".join([*parts[:index], changed, *parts[index + 1 :]])
            with pytest.raises(SessionError):
                CODEC.loads(forged)


GUESSES = ["secret", "password", "changeme", "djaodjin", "DJAODJIN_SECRET_KEY", "None", "null", "x"]


@pytest.mark.parametrize("format", ["openssl", "jwt"])
@pytest.mark.parametrize("key", [*GUESSES, OTHER_KEY, KEY[:-1], KEY + "x", KEY.upper()])
def test_no_guessed_key_is_the_key(key: str, format: Any) -> None:
    with pytest.raises(SessionError):
        loads(dumps({"username": "root"}, key, format), KEY)


def test_a_token_under_the_empty_key_is_refused() -> None:
    from djsession import openssl

    forged = b64encode(openssl.encrypt(b'{"username": "root"}', b"")).decode()
    with pytest.raises(SessionError):
        loads(forged, KEY)


def test_one_format_is_not_taken_for_the_other() -> None:
    """The public payload of a jwt is no key stream, and the secret key no public one."""
    header, payload, signature = dumps(XIA, KEY, "jwt").split(".")
    for part in (header, payload, signature, payload + signature):
        with pytest.raises(SessionError):
            loads(part + "=" * (-len(part) % 4), KEY)
