from __future__ import annotations

import builtins
import json
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError, Session, SessionCodec, SessionError, dumps, loads, openssl
from djsession import errors as e

from .conftest import KEY, OTHER_KEY, XIA
from .test_jwt import forge

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=6)

# Sessions as a serializer may have got them wrong: every kind of value under the names that
# djsession reads, with half surrogate pairs and integers beyond any float.
_NAMES = st.sampled_from(
    [
        *("username", "email", "full_name", "exp", "last_visited", "site", "slug"),
        *("roles", "manager", "printable_name", "subscriptions", "plan", "ends_at", "secret_key"),
    ]
)
_TEXT = st.text(st.characters(exclude_categories=[]))
_VALUES = st.recursive(
    JSON | _TEXT | st.integers(-(10**4000), 10**4000) | st.just("2030-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | _TEXT, inner, max_size=4),
    max_leaves=8,
)
ANY_SESSIONS = st.dictionaries(_NAMES | _TEXT, _VALUES, max_size=6)


def token_of(plaintext: bytes, key: str = KEY) -> str:
    return b64encode(openssl.encrypt(plaintext, key.encode())).decode()


def token_of_blocks(padded: bytes) -> str:
    """A token whose decrypted blocks are exactly these, padding included."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    salt = bytes(8)
    key, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    ciphertext = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(padded)
    return b64encode(b"Salted__" + salt + ciphertext).decode()


@given(OBJECTS)
def test_what_was_dumped_loads(session: dict[str, Any]) -> None:
    assert loads(dumps(session, KEY), KEY) == session


@given(OBJECTS)
def test_what_was_dumped_as_jwt_loads_with_an_expiry(session: dict[str, Any]) -> None:
    session.pop("exp", None)
    loaded = loads(dumps(session, KEY, "jwt"), KEY)
    assert abs(loaded.pop("exp") - time.time() - 7200) < 60
    assert loaded == session


@given(st.text() | st.binary())
def test_anything_at_all_is_refused_with_a_session_error(token: str | bytes) -> None:
    with pytest.raises(SessionError):
        loads(token, KEY)


@given(st.binary(max_size=400))
def test_any_plaintext_is_a_session_or_refused(plaintext: bytes) -> None:
    with suppress(SessionError):
        assert isinstance(loads(token_of(plaintext), KEY), Session)


@given(st.binary(max_size=400))
def test_any_container_is_a_session_or_refused(container: bytes) -> None:
    with pytest.raises(SessionError):
        loads(b64encode(b"Salted__" + container), KEY)


REFUSED: dict[str, tuple[type[SessionError], str]] = {
    "empty": (e.InvalidContainer, ""),
    "not base64": (e.InvalidBase64, "a session, honest"),
    "url-safe alphabet": (e.InvalidBase64, "U2FsdGVkX1-_" * 4),
    "no padding": (e.InvalidBase64, token_of(b"{}").rstrip("=")),
    "too much padding": (e.InvalidBase64, token_of(b"{}") + "="),
    "trailing line end": (e.InvalidBase64, token_of(b"{}") + "\n"),
    "leading space": (e.InvalidBase64, " " + token_of(b"{}")),
    "wrapped": (e.InvalidBase64, token_of(b"{}")[:20] + "\n" + token_of(b"{}")[20:]),
    "quoted": (e.InvalidBase64, f'"{token_of(b"{}")}"'),
    "url-encoded": (e.InvalidBase64, token_of(b"{}").replace("=", "%3D")),
    "more behind the padding": (e.InvalidBase64, token_of(b"{}") + token_of(b"{}")),
    "not ASCII": (e.InvalidBase64, token_of(b"{}")[:-1] + "é"),
    "a surrogate": (e.InvalidBase64, token_of(b"{}")[:-1] + "\ud800"),
    "no header": (e.InvalidContainer, b64encode(bytes(48)).decode()),
    "header of another case": (e.InvalidContainer, b64encode(b"salted__" + bytes(24)).decode()),
    "no ciphertext": (e.InvalidLength, b64encode(b"Salted__" + bytes(8)).decode()),
    "not whole blocks": (e.InvalidLength, b64encode(b"Salted__" + bytes(8 + 24)).decode()),
    "padding of 0": (e.InvalidPadding, token_of_blocks(b'{"a":1}'.ljust(16, b"\0"))),
    "padding of 17": (e.InvalidPadding, token_of_blocks(b'{"a":1}'.ljust(32, b"\x11"))),
    "padding not full": (e.InvalidPadding, token_of_blocks(b'{"a":1}12345678\x09')),
    "not UTF-8": (e.InvalidEncoding, token_of(b'{"a": "\xff"}')),
    "UTF-16": (e.InvalidEncoding, token_of('{"a": "é"}'.encode("utf-16"))),
    "overlong UTF-8": (e.InvalidEncoding, token_of(b'{"a": "\xc0\xae"}')),
    "byte order mark": (e.InvalidJSON, token_of(b"\xef\xbb\xbf{}")),
    "not JSON": (e.InvalidJSON, token_of(b"{'a': 1}")),
    "nothing": (e.InvalidJSON, token_of(b"")),
    "two objects": (e.InvalidJSON, token_of(b"{}{}")),
    "more behind the object": (e.InvalidJSON, token_of(b"{} x")),
    "NaN": (e.InvalidJSON, token_of(b'{"a": NaN}')),
    "Infinity": (e.InvalidJSON, token_of(b'{"a": -Infinity}')),
    "10,000 levels": (e.InvalidJSON, token_of(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}")),
    "a huge integer": (e.InvalidJSON, token_of(b'{"a": ' + b"9" * 10_000 + b"}")),
    "list": (e.NotAnObject, token_of(b'[{"username": "xia"}]')),
    "string": (e.NotAnObject, token_of(b'"xia"')),
    "number": (e.NotAnObject, token_of(b"1")),
    "null": (e.NotAnObject, token_of(b"null")),
    "jwt of two parts": (e.MalformedJWT, forge({"alg": "HS256"}).rpartition(".")[0]),
    "jwt of another algorithm": (e.UnsupportedAlgorithm, forge({"alg": "none"})),
    "jwt of another key": (e.InvalidSignature, forge({"alg": "HS256"}, key=OTHER_KEY)),
    "jwt with a list": (e.NotAnObject, forge({"alg": "HS256"}, b"[]")),
    "jwt with no JSON": (e.InvalidJSON, forge({"alg": "HS256"}, b"xia")),
    "jwt with no UTF-8": (e.InvalidEncoding, forge({"alg": "HS256"}, b'{"a": "\xff"}')),
    "jwt with NaN as exp": (e.InvalidJSON, forge({"alg": "HS256"}, b'{"exp": NaN}')),
    "jwt with exp as text": (e.InvalidExpiry, forge({"alg": "HS256"}, b'{"exp": "9999999999"}')),
    "jwt with infinite exp": (e.InvalidExpiry, forge({"alg": "HS256"}, b'{"exp": 1e999}')),
    "jwt expired": (e.ExpiredToken, forge({"alg": "HS256"}, b'{"exp": 1700000000}')),
}


@pytest.mark.parametrize(("error", "token"), REFUSED.values(), ids=REFUSED)
def test_it_refuses(error: type[SessionError], token: str) -> None:
    with pytest.raises(SessionError) as caught:
        loads(token, KEY)
    assert type(caught.value) is error
    # What can be acted on: what is wrong, and what to do.
    assert caught.value.reason
    assert caught.value.remedy
    assert str(caught.value) == f"{caught.value.reason}; {caught.value.remedy}"


@pytest.mark.parametrize("token", [token for _, token in REFUSED.values()], ids=REFUSED)
def test_no_exception_holds_the_plaintext_or_the_token(token: str) -> None:
    # json's and Unicode's exceptions carry the whole document: they must not be the context.
    with pytest.raises(SessionError) as caught:
        loads(token, KEY)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert not token or token not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_wrong_key_is_said_to_be_one() -> None:
    # One wrong key in 256 gives a padding by chance, and fails a step later.
    for _ in range(300):
        with pytest.raises(SessionError) as caught:
            loads(dumps(XIA, KEY), OTHER_KEY)
        assert "DJAODJIN_SECRET_KEY is not the key the proxy encrypts with" in str(caught.value)
        assert isinstance(caught.value, (e.InvalidPadding, e.InvalidEncoding, e.InvalidJSON))


def test_a_jwt_that_verified_does_not_blame_the_key() -> None:
    for payload in (b"xia", b"\xff"):
        with pytest.raises(SessionError) as caught:
            loads(forge({"alg": "HS256"}, payload), KEY)
        assert "the payload of the jwt is not" in str(caught.value)
        assert "DJAODJIN_SECRET_KEY" not in str(caught.value)


def test_no_bit_of_a_token_can_change_without_a_refusal_or_another_session() -> None:
    # CBC without a MAC is malleable; what must hold is that nothing but a SessionError comes out
    # and that flips in the last two blocks, which hold the padding, never pass as the original.
    token = dumps(XIA, KEY)
    container = b64decode(token)
    for position in range(len(container)):
        flipped = bytearray(container)
        flipped[position] ^= 1
        try:
            session = loads(b64encode(bytes(flipped)), KEY)
        except SessionError:
            continue
        assert session != XIA


@given(st.permutations(range(8)), st.integers(1, 8))
def test_swapped_and_cut_blocks_never_raise_anything_else(order: list[int], keep: int) -> None:
    container = b64decode(token_of(json.dumps({"username": "x" * 100}).encode()))
    blocks = [container[16 + 16 * index : 32 + 16 * index] for index in order[:keep]]
    with suppress(SessionError):
        loads(b64encode(container[:16] + b"".join(blocks)), KEY)


def test_a_jwt_with_one_character_changed_is_refused() -> None:
    token = dumps(XIA, KEY, "jwt")
    # The last character of the signature holds two bits that nothing reads.
    for position in range(len(token) - 1):
        other = "A" if token[position] != "A" else "B"
        with pytest.raises(SessionError):
            loads(token[:position] + other + token[position + 1 :], KEY)


def test_bytes_are_taken_as_well_as_text() -> None:
    assert loads(dumps(XIA, KEY).encode(), KEY) == XIA


def test_json_may_have_white_space_around_it() -> None:
    assert loads(token_of(b' \r\n{"a": 1}\n'), KEY) == {"a": 1}


def test_the_last_of_duplicate_keys_counts() -> None:
    assert loads(token_of(b'{"username": "a", "username": "b"}'), KEY).username == "b"


@pytest.mark.parametrize("format", ["openssl", "jwt"])
def test_a_token_over_the_size_limit_is_refused_before_it_is_read(format: Any) -> None:
    codec = SessionCodec(KEY)
    small, large = (
        codec.dumps({"a": "x" * 40_000}, format),
        codec.dumps({"a": "x" * 50_000}, format),
    )
    assert len(small) < 65_536 < len(large)
    codec.loads(small)
    with pytest.raises(e.TokenTooLarge):
        codec.loads(large)
    assert SessionCodec(KEY, max_token_size=400_000).loads(large)["a"] == "x" * 50_000


def test_the_size_limit_is_inclusive() -> None:
    token = dumps(XIA, KEY)
    assert SessionCodec(KEY, max_token_size=len(token)).loads(token) == XIA
    with pytest.raises(e.TokenTooLarge):
        SessionCodec(KEY, max_token_size=len(token) - 1).loads(token)


def test_a_jwt_beyond_the_limits_of_joserfc_loads_when_the_setting_allows_it() -> None:
    codec = SessionCodec(KEY, max_token_size=10**6)
    assert codec.loads(codec.dumps({"a": "x" * 200_000}, "jwt"))["a"] == "x" * 200_000


@pytest.mark.parametrize("format", ["openssl", "jwt"])
class TestRotation:
    def test_all_keys_decode(self, format: Any) -> None:
        codec = SessionCodec([OTHER_KEY, KEY])
        assert codec.loads(dumps(XIA, KEY, format)).username == "xia"
        assert codec.loads(dumps(XIA, OTHER_KEY, format)).username == "xia"

    def test_the_first_key_encodes(self, format: Any) -> None:
        token = SessionCodec([OTHER_KEY, KEY]).dumps(XIA, format)
        assert loads(token, OTHER_KEY).username == "xia"
        with pytest.raises(SessionError):
            loads(token, KEY)

    def test_a_key_that_is_not_listed_is_refused(self, format: Any) -> None:
        with pytest.raises(SessionError):
            SessionCodec([OTHER_KEY, KEY]).loads(dumps(XIA, "q0v^8m%r3z-n1p+e", format))


def test_the_error_is_that_of_the_key_that_got_furthest() -> None:
    token = token_of(b"[]")
    for keys in ([KEY, OTHER_KEY], [OTHER_KEY, KEY]):
        with pytest.raises(e.NotAnObject):
            SessionCodec(keys).loads(token)


@pytest.mark.parametrize("key", [None, "", [], [""], [KEY, ""]])
def test_without_a_key_nothing_starts(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY"):
        SessionCodec(key)


@pytest.mark.parametrize(
    "key", ["clé", "k3y\u2026", f"'{KEY}'", f'"{KEY}"', f"{KEY}\n", f" {KEY}", f"{KEY}'"]
)
def test_a_broken_key_is_an_error_that_says_how_and_does_not_show_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionCodec([KEY, key])
    assert "ASCII" in str(caught.value) or "quote or white space" in str(caught.value)
    assert KEY not in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", [b"bytes", 1, [1], {"a": 1}])
def test_a_key_of_another_type_is_an_error(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret_key must be a str"):
        SessionCodec(key)


def test_a_codec_does_not_show_its_keys() -> None:
    assert KEY not in repr(SessionCodec(KEY))


def test_dates_and_decimals_are_written_as_the_proxy_writes_them() -> None:
    session = {
        "at": datetime(2030, 1, 1, 9, tzinfo=timezone.utc),
        "offset": datetime(2030, 1, 1, 9, 0, 0, 5, timezone(timedelta(hours=2))),
        "day": date(2030, 1, 1),
        "price": Decimal("9.50"),
    }
    assert loads(dumps(session, KEY), KEY) == {
        "at": "2030-01-01T09:00:00+00:00",
        "offset": "2030-01-01T09:00:00.000005+02:00",
        "day": "2030-01-01",
        "price": 9.5,
    }


def test_what_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        dumps({"a": object()}, KEY)
    for value in (float("nan"), float("inf"), Decimal("NaN")):
        with pytest.raises(ValueError, match="JSON"):
            dumps({"a": value}, KEY)


def test_an_unknown_format_is_an_error() -> None:
    unknown: Any = "jwe"
    with pytest.raises(ValueError, match="unknown format"):
        dumps({}, KEY, unknown)


def test_a_jwt_keeps_the_exp_of_the_session() -> None:
    exp = int(time.time()) + 30
    assert loads(dumps({"exp": exp}, KEY, "jwt"), KEY) == {"exp": exp}


def test_max_age_is_in_seconds() -> None:
    codec = SessionCodec(KEY)
    assert abs(codec.loads(codec.dumps({}, "jwt", max_age=60))["exp"] - time.time() - 60) < 5
    with pytest.raises(e.ExpiredToken):
        codec.loads(codec.dumps({}, "jwt", max_age=-1))


def test_dumps_leaves_the_session_as_it_was() -> None:
    session: dict[str, Any] = {}
    dumps(session, KEY, "jwt")
    assert session == {}


def test_without_the_extra_a_jwt_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, without_joserfc: Callable[[], None]
) -> None:
    without_joserfc()
    with pytest.raises(e.JWTUnavailable, match=r"djsession\[jwt\]"):
        loads(forge({"alg": "HS256"}), KEY)
    with pytest.raises(e.JWTUnavailable, match=r"djsession\[jwt\]"):
        dumps({}, KEY, "jwt")
    assert loads(dumps(XIA, KEY), KEY) == XIA


@pytest.fixture
def without_joserfc(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As if the extra were not installed."""
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "joserfc":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *args, **kwargs)

    def hide() -> None:
        import djsession

        monkeypatch.delitem(sys.modules, "djsession.jwt", raising=False)
        monkeypatch.delattr(djsession, "jwt", raising=False)
        monkeypatch.setattr(builtins, "__import__", refuse)

    return hide
