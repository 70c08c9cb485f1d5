"""Tokens that somebody without the key made or changed. Each test names the attempt."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from djsession import Session, SessionCodec, SessionError, dumps, loads, openssl
from djsession.errors import (
    InvalidEncoding,
    InvalidJSON,
    InvalidLastVisited,
    InvalidSignature,
    RepeatedName,
)
from tests.helpers.gates import ask, make_gate, request
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import token_of, token_of_blocks

CODEC = SessionCodec(KEY)
BLOCK = 16


def container_of(plaintext: bytes, salt: bytes = bytes(range(8))) -> bytes:
    """Return the container of a plaintext under a salt that is always the same."""
    key, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    padding = BLOCK - len(plaintext) % BLOCK
    padded = plaintext + bytes([padding]) * padding
    ciphertext = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(padded)
    return b"Salted__" + salt + ciphertext


CONTAINER = container_of(json.dumps(XIA).encode())


def outcome(container: bytes) -> Session | SessionError:
    return CODEC.try_loads(b64encode(container))


class TestChangedCiphertexts:
    """The cookie format does not have a MAC, so that everybody can change a ciphertext."""

    def test_the_token_that_is_changed_is_a_session(self) -> None:
        assert outcome(CONTAINER) == XIA

    def test_no_flipped_bit_passes(self) -> None:
        # It garbles its own block, and flips one bit of the next. A garbled block is 16 random
        # bytes, which are next to never ASCII.
        for index in range(len(CONTAINER)):
            for bit in range(8):
                changed = bytearray(CONTAINER)
                changed[index] ^= 1 << bit
                assert isinstance(outcome(bytes(changed)), SessionError)

    def test_no_order_and_no_cut_of_the_blocks_makes_another_user(self) -> None:
        header = CONTAINER[:16]
        blocks = [CONTAINER[i : i + BLOCK] for i in range(16, len(CONTAINER), BLOCK)]
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
            found = outcome(header + b"".join(forged))
            assert isinstance(found, SessionError) or found == XIA

    def test_blocks_of_two_tokens_do_not_make_a_third_user(self) -> None:
        # Under one salt: the proxy never uses a salt twice.
        other = container_of(json.dumps({**XIA, "username": "root", "is_superuser": True}).encode())
        for cut in range(16, min(len(CONTAINER), len(other)), BLOCK):
            for forged in (CONTAINER[:cut] + other[cut:], other[:cut] + CONTAINER[cut:]):
                found = outcome(forged)
                assert isinstance(found, SessionError) or found.username in ("xia", "root")


class TestForgedUsername:
    """The attacker has one token of her own and knows its layout, apart from the key.

    She chose her full name, so that the token has whole blocks of it. She changes one block of the
    ciphertext: this turns the next block of the plaintext into what she wants, since she knows what
    it was, and its own block into 16 bytes that she does not choose. She tries one change after the
    other until these 16 bytes happen to be accepted.
    """

    WANTED = b'","username":"ad'  # the block after it goes on with "min"
    HEAD = b'{"username":"eve","full_name":"A'
    PLAINTEXT = HEAD + b"G" * BLOCK + b"N" * BLOCK + b'min","email":"eve@example.com"}'
    AT = len(HEAD)  # of the block that she garbles

    def lucky(self, garbled: bytes) -> bytes:
        """Return the plaintext of an attempt in which the garbled block became these bytes."""
        assert len(garbled) == len(self.WANTED) == BLOCK
        start, end = self.PLAINTEXT[: self.AT], self.PLAINTEXT[self.AT + 2 * BLOCK :]
        return start + garbled + self.WANTED + end

    def test_the_username_starts_a_block_as_the_attack_needs(self) -> None:
        assert self.AT % BLOCK == 0
        assert CODEC.loads(token_of(self.PLAINTEXT)).username == "eve"
        # What a parser makes of a lucky attempt.
        assert json.loads(self.lucky(b"x" * BLOCK))["username"] == "admin"

    def test_attempts_to_forge_a_username_are_refused(self) -> None:
        difference = bytes(a ^ b for a, b in zip(b"N" * BLOCK, self.WANTED, strict=True))
        at = 16 + self.AT  # of the ciphertext of the block that she garbles
        for attempt in range(300):  # each with a fresh token of her own
            container = container_of(self.PLAINTEXT, attempt.to_bytes(8, "big"))
            block = container[at : at + BLOCK]
            changed = bytes(a ^ b for a, b in zip(block, difference, strict=True))
            forged = container[:at] + changed + container[at + BLOCK :]
            assert isinstance(outcome(forged), SessionError)
            plaintext = openssl.decrypt(*openssl.parse_container(forged), KEY.encode())
            # She did get what she wanted, behind the block that she garbled.
            assert plaintext[: self.AT] == self.HEAD
            assert plaintext[self.AT + BLOCK :][:BLOCK] == self.WANTED

    @pytest.mark.parametrize(
        "garbled",
        [
            b"sixteen letters!",
            b"0" * BLOCK,
            b'","a":"b","c":"x',
            b'","username":"xy',
            rb"\n\t\\\"\u0041ab",
            b"\x7f" * BLOCK,
        ],
        ids=repr,
    )
    def test_a_lucky_attempt_repeats_a_name(self, garbled: bytes) -> None:
        plaintext = self.lucky(garbled)
        assert json.loads(plaintext)["username"] == "admin"
        with pytest.raises(RepeatedName):
            loads(token_of(plaintext), KEY)

    @pytest.mark.parametrize(
        "garbled",
        [
            "é".encode() * 8,
            "日本語日本".encode() + b"x",
            "😀".encode() * 4,
            b"x" * 14 + "é".encode(),
            "\x80".encode() * 8,
        ],
        ids=repr,
    )
    def test_luck_with_utf_8_is_not_enough(self, garbled: bytes) -> None:
        # Random bytes are UTF-8 far more often than ASCII.
        plaintext = self.lucky(garbled)
        assert json.loads(plaintext)["username"] == "admin"
        with pytest.raises(InvalidEncoding):
            loads(token_of(plaintext), KEY)

    @pytest.mark.parametrize("garbled", [b"\xff" * BLOCK, b"\xc0\xae" * 8, bytes(range(128, 144))])
    def test_garbled_bytes_that_are_not_text_are_refused(self, garbled: bytes) -> None:
        with pytest.raises(InvalidEncoding):
            loads(token_of(self.lucky(garbled)), KEY)

    @pytest.mark.parametrize(
        "garbled", [bytes(BLOCK), b"\n" * BLOCK, b'"' * BLOCK, b"\\" * 15 + b"x"]
    )
    def test_garbled_bytes_that_break_the_json_are_refused(self, garbled: bytes) -> None:
        with pytest.raises(InvalidJSON):
            loads(token_of(self.lucky(garbled)), KEY)

    def test_a_lucky_attempt_repeats_a_name_further_in_as_well(self) -> None:
        plaintext = (
            b'{"username":"eve","roles":{"contributor":[{"slug":"a","printable_name":"xxxxxxxx",'
            b'"slug":"b"}]}}'
        )
        with pytest.raises(RepeatedName):
            loads(token_of(plaintext), KEY)

    def test_the_names_of_the_session_itself_cannot_be_added_from_within_the_roles(self) -> None:
        # With the brackets closed, the rest of the roles is left over.
        for rest in (b'","a":[{"b":"c"}]}}', b'"}]}}', b'"}]},"roles":{"a":[{"b":""}]}}'):
            plaintext = (
                b'{"username":"eve","roles":{"manager":[{"slug":"eve","printable_name":"x"}]},'
                b'"username":"admin' + rest
            )
            assert isinstance(CODEC.try_loads(token_of(plaintext)), SessionError)


class TestForgingThroughLastVisited:
    """Where ``last_visited`` comes first, garbling it leads to a name that does not repeat."""

    def lucky(self, garbled: bytes) -> bytes:
        return b'{"last_visited":"' + garbled + b'","username":"admin"}'

    @pytest.mark.parametrize(
        "garbled",
        [
            b"sixteen letters!",
            b"a date and a tag",
            b"x" * 15 + b"/",
            b"x" * 15 + b"'",
            b"x" * 15 + b"\x7f",
            rb"\n\n\n\n\n\n\n\n",
            rb"\"\"\"\"\"\"\"\"",
            rb"x\u0020xxxxxxxxx",
        ],
        ids=repr,
    )
    def test_most_lucky_attempts_to_forge_last_visited_are_refused(self, garbled: bytes) -> None:
        plaintext = self.lucky(garbled)
        assert json.loads(plaintext)["username"] == "admin"
        with pytest.raises(InvalidLastVisited):
            loads(token_of(plaintext), KEY)

    def test_garbled_utf_8_in_last_visited_is_refused(self) -> None:
        with pytest.raises(InvalidEncoding):
            loads(token_of(self.lucky("é".encode() * 8)), KEY)

    def test_what_still_passes_in_last_visited_needs_trusted_proxies(self) -> None:
        """SECURITY.md states how many attempts a forgery takes that the format cannot detect."""
        forged = token_of(self.lucky(b"sixteenletters0+"))
        assert CODEC.loads(forged).username == "admin"
        trusting = make_gate(trusted_proxies=["10.0.0.7"])
        assert ask(trusting, request(token=forged, peer="192.0.2.1")) is None
        assert ask(make_gate(formats=["jwt"]), request(token=forged)) is None


class TestForgedPadding:
    @pytest.mark.parametrize("size", range(1, 16))
    def test_a_shorter_padding_does_not_uncover_other_text(self, size: int) -> None:
        inner = b'{"a":"' + b"x" * (24 - size) + b'"}'
        padded = inner + bytes([size]) * size
        assert len(padded) % BLOCK == 0
        assert CODEC.loads(b64encode(b64decode(token_of_blocks(padded)))) == json.loads(inner)
        for wrong in (size - 1, size + 1):
            forged = token_of_blocks(padded[:-1] + bytes([wrong]))
            assert isinstance(CODEC.try_loads(forged), SessionError)


class TestForgedJWT:
    @pytest.mark.parametrize("index", range(3), ids=["header", "payload", "signature"])
    def test_no_changed_character_verifies(self, index: int) -> None:
        parts = dumps(XIA, KEY, "jwt").split(".")
        for position, character in enumerate(parts[index]):
            for other in "A-" if character not in "A-" else "Z_":
                changed = parts[index][:position] + other + parts[index][position + 1 :]
                with pytest.raises(InvalidSignature):
                    CODEC.loads(".".join([*parts[:index], changed, *parts[index + 1 :]]))

    def test_parts_of_two_tokens_do_not_make_a_third(self) -> None:
        one = dumps({"username": "eve"}, KEY, "jwt").split(".")
        other = dumps({"username": "eve", "is_superuser": True}, KEY, "jwt").split(".")
        with pytest.raises(InvalidSignature):
            CODEC.loads(".".join([one[0], other[1], one[2]]))


GUESSES = ["secret", "password", "changeme", "djaodjin", "DJAODJIN_SECRET_KEY", "None", "null", "x"]


@pytest.mark.parametrize("format", ["openssl", "jwt"])
@pytest.mark.parametrize("key", [*GUESSES, OTHER_KEY, KEY[:-1], KEY + "x", KEY.upper()])
def test_no_guessed_key_is_the_key(key: str, format: Any) -> None:
    with pytest.raises(SessionError):
        loads(dumps({"username": "root"}, key, format), KEY)


def test_a_token_under_the_empty_key_is_refused() -> None:
    forged = b64encode(openssl.encrypt(b'{"username": "root"}', b"")).decode()
    with pytest.raises(SessionError):
        loads(forged, KEY)


def test_one_format_is_not_taken_for_the_other() -> None:
    """The public payload of a jwt is not a key stream, and the secret key is not a public key."""
    header, payload, signature = dumps(XIA, KEY, "jwt").split(".")
    for part in (header, payload, signature, payload + signature):
        with pytest.raises(SessionError):
            loads(part + "=" * (-len(part) % 4), KEY)
