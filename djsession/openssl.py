"""The ``Salted__`` container of ``openssl enc``: bytes in, bytes out.

::

    b"Salted__" + salt (8 bytes) + AES-256-CBC(PKCS#7(plaintext))

OpenSSL's EVP_BytesToKey, with MD5 and one iteration, derives the key and the initialization vector
from the passphrase and the salt, as ``openssl enc -aes-256-cbc -md md5`` and crypto-js's
``AES.encrypt(text, passphrase)`` do. The container is encrypted but **not authenticated**: somebody
without the key can still change its bits. This is why the checks here and in
:mod:`djsession.codec` are strict.
"""

from __future__ import annotations

import os
from functools import partial
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from .errors import InvalidContainer, InvalidLength

try:
    # CPython's own MD5. For 24 bytes it takes half as long as OpenSSL's, which hashlib prefers.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    import hashlib

    # The format prescribes MD5. A FIPS build of Python requires the flag.
    md5 = partial(hashlib.md5, usedforsecurity=False)

__all__ = ["MAGIC", "decrypt", "derive_key_and_iv", "encrypt", "parse_container", "unpad"]

MAGIC = b"Salted__"

_BLOCK = 16
_HEADER = len(MAGIC) + 8
# The padding is compared with this if its last byte is not a valid size. Since the last byte here
# is a valid size, the comparison always fails, and it takes as long as any other.
_MISMATCHING_PADDING = b"\x01" * 8
# What a padding is compared with, by its last byte (RFC 5652 section 6.3).
_PADDINGS = tuple(
    bytes([size]) * size if 1 <= size <= _BLOCK else _MISMATCHING_PADDING for size in range(256)
)


def derive_key_and_iv(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the AES-256 key (32 bytes) and the IV (16 bytes) for a passphrase and a salt."""
    secret = passphrase + salt
    first = md5(secret).digest()
    second = md5(first + secret).digest()
    return first + second, md5(second + secret).digest()


def parse_container(container: bytes) -> tuple[bytes, bytes]:
    """Return the salt and the ciphertext of a container.

    Raises InvalidContainer when the header is missing, and InvalidLength when the ciphertext is
    empty or does not consist of whole blocks.
    """
    if container[:8] != MAGIC or len(container) < _HEADER:
        raise InvalidContainer
    size = len(container) - _HEADER
    if size == 0 or size % _BLOCK:
        raise InvalidLength
    return container[8:_HEADER], container[_HEADER:]


def decrypt(salt: bytes, ciphertext: bytes, passphrase: bytes) -> bytes:
    """Return the padded plaintext of a ciphertext of whole blocks. See :func:`unpad`."""
    key, iv = derive_key_and_iv(passphrase, salt)
    # finalize() is not needed: CBC returns whole blocks at once.
    return Cipher(AES(key), CBC(iv)).decryptor().update(ciphertext)


def unpad(padded: bytes) -> bytes | None:
    """Return the plaintext without its PKCS#7 padding, or None when the padding is invalid.

    Both cases take the same time.
    """
    padding = _PADDINGS[padded[-1]]
    size = len(padding)
    plaintext = padded[:-size]
    return plaintext if compare_digest(padded[-size:], padding) else None


def encrypt(plaintext: bytes, passphrase: bytes) -> bytes:
    """Return a container with the encrypted plaintext and a fresh random salt."""
    salt = os.urandom(_HEADER - len(MAGIC))
    key, iv = derive_key_and_iv(passphrase, salt)
    padded = plaintext + _PADDINGS[_BLOCK - len(plaintext) % _BLOCK]
    return MAGIC + salt + Cipher(AES(key), CBC(iv)).encryptor().update(padded)
