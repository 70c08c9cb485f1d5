from __future__ import annotations

import hashlib
import subprocess
import sys
from base64 import b64decode, b64encode
from importlib.util import find_spec, module_from_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import openssl
from djsession.errors import InvalidContainer, InvalidLength
from tests.helpers.commands import command
from tests.helpers.sessions import KEY

PASSPHRASE = KEY.encode()

VECTOR_SALT = bytes(range(1, 9))
VECTOR_PLAINTEXT = b'{"username": "xia"}'


def _openssl(*arguments: str, data: bytes) -> bytes:
    return subprocess.run(
        [command("openssl"), "enc", "-aes-256-cbc", *arguments, "-pass", f"pass:{KEY}"],
        input=data,
        capture_output=True,
        check=True,
    ).stdout


def _open(container: bytes) -> bytes | None:
    return openssl.unpad(openssl.decrypt(*openssl.parse_container(container), PASSPHRASE))


def test_a_fixed_vector_derives_the_key_and_iv_that_openssl_prints() -> None:
    # openssl enc -aes-256-cbc -md md5 -P -S 0102030405060708 -pass 'pass:k3y!@#$%^*-_=+ab'
    key, iv = openssl.derive_key_and_iv(PASSPHRASE, VECTOR_SALT)
    assert key.hex().upper() == "1DD1864858AFBC21E23CD97C9CEF1A6F1411EA8649ECAA599C092EE8155EEFD5"
    assert iv.hex().upper() == "2C11D9371A2AD95D58E61817A0A15495"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 330, 6000])
def test_the_openssl_command_reads_what_djsession_writes(size: int) -> None:
    plaintext = b"x" * size
    token = b64encode(openssl.encrypt(plaintext, PASSPHRASE))
    assert _openssl("-d", "-md", "md5", "-a", "-A", data=token) == plaintext


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 330, 6000])
def test_djsession_reads_what_the_openssl_command_writes(size: int) -> None:
    plaintext = b"x" * size
    token = _openssl("-md", "md5", "-a", "-A", data=plaintext)
    assert _open(b64decode(token)) == plaintext


def test_a_key_derived_with_sha_256_does_not_open() -> None:
    token = _openssl("-md", "sha256", "-a", "-A", data=VECTOR_PLAINTEXT)
    assert _open(b64decode(token)) != VECTOR_PLAINTEXT


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=40))
def test_what_was_encrypted_in_a_container_decrypts(plaintext: bytes, passphrase: bytes) -> None:
    salt, ciphertext = openssl.parse_container(openssl.encrypt(plaintext, passphrase))
    assert openssl.unpad(openssl.decrypt(salt, ciphertext, passphrase)) == plaintext


def test_the_salt_of_a_container_is_fresh_each_time() -> None:
    assert openssl.encrypt(b"", PASSPHRASE) != openssl.encrypt(b"", PASSPHRASE)


@pytest.mark.parametrize(
    "container",
    [b"", b"Salted_", b"Salted__", b"Salted__1234567", b"salted__12345678" + bytes(16), bytes(48)],
)
def test_a_container_without_the_header_is_refused(container: bytes) -> None:
    with pytest.raises(InvalidContainer):
        openssl.parse_container(container)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_a_ciphertext_that_is_not_whole_blocks_is_refused(size: int) -> None:
    with pytest.raises(InvalidLength):
        openssl.parse_container(b"Salted__12345678" + bytes(size))


@pytest.mark.parametrize("size", range(1, 17))
def test_every_full_padding_is_taken_off(size: int) -> None:
    assert openssl.unpad(bytes(16) + bytes([size]) * size) == bytes(16)


@pytest.mark.parametrize("size", range(2, 17))
def test_every_byte_of_the_padding_is_checked(size: int) -> None:
    for position in range(1, size + 1):
        padded = bytearray(bytes(16) + bytes([size]) * size)
        padded[-position] ^= 0x40
        assert openssl.unpad(bytes(padded)) is None


@pytest.mark.parametrize("last", [0, *range(17, 256)])
def test_a_padding_of_no_block_is_refused(last: int) -> None:
    assert openssl.unpad(bytes([last]) * 32) is None
    for before in range(256):
        assert openssl.unpad(bytes([before]) * 31 + bytes([last])) is None


def test_what_is_compared_instead_of_a_padding_never_matches() -> None:
    instead = openssl._MISMATCHING_PADDING
    assert instead[-1] in range(1, 17)
    others = [last for last in range(256) if openssl._PADDINGS[last] is instead]
    assert others == [0, *range(17, 256)]
    for last in others:
        assert openssl.unpad(bytes(32) + instead[:-1] + bytes([last])) is None


def test_the_md5_of_hashlib_is_called_as_builds_for_fips_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Builds of Python for FIPS, and PyPy, do not have CPython's own MD5."""
    calls: list[bytes] = []
    original = hashlib.md5

    def md5(data: bytes, *, usedforsecurity: bool = True) -> Any:
        assert usedforsecurity is False
        calls.append(data)
        return original(data, usedforsecurity=False)

    monkeypatch.setitem(sys.modules, "_md5", None)
    monkeypatch.setattr(hashlib, "md5", md5)
    spec = find_spec("djsession.openssl")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    derived = openssl.derive_key_and_iv(PASSPHRASE, VECTOR_SALT)
    assert calls == []
    assert module.derive_key_and_iv(PASSPHRASE, VECTOR_SALT) == derived
    assert len(calls) == 3
