"""The ``Salted__`` container of ``openssl enc``: bytes in, bytes out.

::

    b"Salted__" + salt (8 bytes) + AES-256-CBC(PKCS#7(plaintext))

OpenSSL's EVP_BytesToKey, with MD5 and one iteration, derives the key and the initialization vector
from the passphrase and the salt. This is what ``openssl enc -aes-256-cbc -md md5`` and crypto-js's
``AES.encrypt(text, passphrase)`` do. The container is encrypted and **not authenticated**: somebody
without the key can still change bits of it. Hence the strict checks here and in
:mod:`djsession.codec`.
"""

from __future__ import annotations

import os
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from .errors import InvalidContainer, InvalidLength

try:
    # CPython's own MD5, to which hashlib falls back. For 24 bytes, OpenSSL's takes twice as long.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

__all__ = ["MAGIC", "decrypt", "derive_key_and_iv", "encrypt", "split", "unpad"]

MAGIC = b"Salted__"

_BLOCK = 16
_HEADER = len(MAGIC) + 8
# Every full padding there is, by its byte: 1 to 16 (RFC 5652 section 6.3).
_PADDINGS = {size: bytes([size]) * size for size in range(1, _BLOCK + 1)}
# Stands in for the padding where the last byte is not a valid size. Its own last byte is a valid
# size, so the comparison always fails, and takes as long as with a real padding.
_NO_PADDING = b"\x01" * 8


def derive_key_and_iv(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the AES-256 key (32 bytes) and the IV (16 bytes) for a passphrase and a salt."""
    # The format prescribes MD5. The flag lets a FIPS build of Python run it.
    secret = passphrase + salt
    first = md5(secret, usedforsecurity=False).digest()
    second = md5(first + secret, usedforsecurity=False).digest()
    return first + second, md5(second + secret, usedforsecurity=False).digest()


def split(container: bytes) -> tuple[bytes, bytes]:
    """Return the salt and the ciphertext of a container.

    Raises InvalidContainer without the header, InvalidLength when the ciphertext is empty or
    not made of whole blocks.
    """
    if container[:8] != MAGIC or len(container) < _HEADER:
        raise InvalidContainer
    size = len(container) - _HEADER
    if size == 0 or size % _BLOCK:
        raise InvalidLength
    return container[8:_HEADER], container[_HEADER:]


def decrypt(salt: bytes, ciphertext: bytes, passphrase: bytes) -> bytes:
    """Return the plaintext of whole blocks with its padding: see :func:`unpad`."""
    key, iv = derive_key_and_iv(passphrase, salt)
    # Whole blocks in, whole blocks out: CBC keeps nothing for finalize().
    return Cipher(AES(key), CBC(iv)).decryptor().update(ciphertext)


def unpad(padded: bytes) -> bytes | None:
    """Return the plaintext without its PKCS#7 padding, or None when a padding byte is wrong.

    A wrong padding takes as long as a right one.
    """
    padding = _PADDINGS.get(padded[-1], _NO_PADDING)
    plaintext = padded[: -len(padding)]
    return plaintext if compare_digest(padded[-len(padding) :], padding) else None


def encrypt(plaintext: bytes, passphrase: bytes) -> bytes:
    """Return the container of a plaintext, under a fresh random salt."""
    salt = os.urandom(_HEADER - len(MAGIC))
    key, iv = derive_key_and_iv(passphrase, salt)
    padded = plaintext + _PADDINGS[_BLOCK - len(plaintext) % _BLOCK]
    return MAGIC + salt + Cipher(AES(key), CBC(iv)).encryptor().update(padded)
