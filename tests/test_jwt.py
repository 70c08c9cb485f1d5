from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from djsession import codec, jwt, loads
from djsession.errors import (
    InvalidSignature,
    MalformedJWT,
    SessionError,
    UnsupportedAlgorithm,
)
from tests.helpers.sessions import KEY, OTHER_KEY
from tests.helpers.tokens import FUTURE, base64url, forge, jwt_of

SECRET = KEY.encode()
HEADER = {"alg": "HS256", "typ": "JWT"}
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "vectors" / "jws_hs256.json").read_text("utf-8")
)["vectors"]


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verify(token: str, key: bytes = SECRET) -> bytes | None:
    """Return the payload of a token, or None where it is refused."""
    try:
        return jwt.verify(token.encode(), key)
    except SessionError:
        return None


def test_a_jwt_that_was_signed_verifies() -> None:
    assert verify(jwt.sign(b'{"a": 1}', SECRET)) == b'{"a": 1}'


@given(st.binary(), st.binary(min_size=1, max_size=100))
def test_any_payload_of_a_jwt_verifies_under_any_key(payload: bytes, key: bytes) -> None:
    assert verify(jwt.sign(payload, key), key) == payload


def test_a_payload_of_a_jwt_may_end_in_any_character_of_base64url() -> None:
    for byte in range(256):
        payload = bytes([0, 0, byte])
        assert verify(jwt.sign(payload, SECRET)) == payload


def test_a_jwt_signed_by_hand_verifies() -> None:
    assert verify(forge(HEADER, b"{}")) == b"{}"
    assert verify(forge({"alg": "HS256"}, b"{}")) == b"{}"


@pytest.mark.parametrize("key", [KEY, "short"])
def test_keys_shorter_than_the_rfc_asks_for_sign_a_jwt_without_a_warning(key: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verify(jwt.sign(b"{}", key.encode()), key.encode()) == b"{}"


def test_the_signature_of_a_jwt_is_hs256_of_the_shared_key() -> None:
    start, _, signature = jwt.sign(b"{}", SECRET).rpartition(".")
    expected = hmac.new(SECRET, start.encode(), hashlib.sha256).digest()
    assert signature == base64url(expected)
    assert json.loads(decoded(start.partition(".")[0])) == HEADER


def test_a_jwt_of_another_key_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        jwt.verify(forge(HEADER, key=OTHER_KEY).encode(), SECRET)


def test_a_jwt_with_a_changed_payload_is_refused() -> None:
    header, _, signature = forge(HEADER).split(".")
    forged = ".".join([header, base64url(b'{"username": "root"}'), signature])
    with pytest.raises(InvalidSignature):
        jwt.verify(forged.encode(), SECRET)


@pytest.mark.parametrize("alg", ["none", "None", "HS384", "HS512", "RS256", "ES256", "hs256", ""])
def test_a_jwt_of_another_algorithm_is_refused(alg: str) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        jwt.verify(forge({"alg": alg}).encode(), SECRET)


def test_an_unsigned_jwt_is_refused() -> None:
    unsigned = ".".join([base64url(b'{"alg": "none"}'), base64url(b"{}"), ""])
    with pytest.raises(InvalidSignature):
        jwt.verify(unsigned.encode(), SECRET)


def test_a_jwt_of_hs512_with_the_right_key_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        jwt.verify(forge({"alg": "HS512"}, digest="sha512").encode(), SECRET)


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": False}, {"b64": 1}]
)
def test_a_jwt_extension_that_changes_the_meaning_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        jwt.verify(forge({"alg": "HS256", **header}).encode(), SECRET)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        forge(HEADER).replace(".", "..", 1),
        forge(b"not json"),
        forge(b"\xff\xfe"),
        forge([]),
        forge(["alg"]),
        forge("alg"),
        forge(b"[" * 300),
        forge(b"[" * 100_000),
    ],
    ids=lambda token: token[:24] or "empty",
)
def test_a_malformed_jwt_is_refused_as_malformed(token: str) -> None:
    with pytest.raises(MalformedJWT):
        jwt.verify(token.encode(), SECRET)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("alg"), inner),
    )
)
def test_any_other_header_of_a_jwt_is_refused_with_a_session_error(header: Any) -> None:
    with pytest.raises(SessionError):
        jwt.verify(forge(header).encode(), SECRET)


@given(st.binary(max_size=60))
def test_any_bytes_as_a_jwt_are_refused_with_a_session_error(token: bytes) -> None:
    with pytest.raises(SessionError):
        jwt.verify(token, SECRET)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_published_jws_vector_verifies_or_is_refused(vector: dict[str, Any]) -> None:
    expected = vector["payload"].encode() if vector["valid"] else None
    assert verify(vector["token"], decoded(vector["key"])) == expected


def test_there_is_one_spelling_of_the_signature_of_a_jwt() -> None:
    start, dot, signature = forge(HEADER).rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [last for last in alphabet if decoded(signature[:-1] + last) == decoded(signature)]
    assert len(same) == 4
    accepted = [last for last in alphabet if verify(start + dot + signature[:-1] + last) == b"{}"]
    assert accepted == [signature[-1]]


@pytest.mark.parametrize("size", range(1, 7))
def test_there_is_one_spelling_of_the_payload_of_a_jwt(size: int) -> None:
    header = base64url(json.dumps(HEADER).encode())
    payload = base64url(b"x" * size)
    accepted = []
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n":
        signed = f"{header}.{payload[:-1]}{last}"
        signature = base64url(hmac.new(SECRET, signed.encode(), hashlib.sha256).digest())
        found = verify(f"{signed}.{signature}")
        assert found is None or base64url(found) == payload[:-1] + last
        if found == b"x" * size:
            accepted.append(last)
    assert accepted == [payload[-1]]


class TestOrderOfJwtChecks:
    """The signature is verified before anything that an attacker chose reaches a parser."""

    @pytest.fixture
    def parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names of the parsers that were called."""
        calls: list[str] = []

        def recording(name: str, parse: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **kwargs: Any) -> Any:
                calls.append(name)
                return parse(*args, **kwargs)

            return called

        monkeypatch.setattr(json, "loads", recording("loads", json.loads))
        for module in (jwt, codec):
            for name in (
                "_base64url_decode",
                "a2b_base64",
                "b64decode",
                "_scan",
                "_scan_strictly",
            ):
                if hasattr(module, name):
                    replaced = recording(name, getattr(module, name))
                    monkeypatch.setattr(module, name, replaced)
        return calls

    def test_a_token_with_a_valid_signature_is_parsed(self, parsed: list[str]) -> None:
        loads(forge({"alg": "HS256", "kid": "1"}, b'{"exp": %d}' % FUTURE), KEY)
        assert {"loads", "a2b_base64", "_scan"} <= set(parsed)

    @pytest.mark.parametrize(
        "token",
        [
            forge(HEADER, b'{"exp": %d}' % FUTURE, key=OTHER_KEY),
            forge({"alg": "none"}, key=OTHER_KEY),
            forge({"alg": "HS512"}, digest="sha512"),
            forge(b"[" * 1000, b"[" * 1000, key=OTHER_KEY),
            forge(HEADER).rpartition(".")[0] + ".",
            "..",
            "a.b.c",
            "!.!.!",
        ],
        ids=lambda token: token[:30],
    )
    def test_nothing_is_parsed_for_a_wrong_signature(self, token: str, parsed: list[str]) -> None:
        with pytest.raises(InvalidSignature):
            loads(token, KEY)
        assert parsed == []

    def test_no_claim_is_parsed_for_a_wrong_algorithm(self, parsed: list[str]) -> None:
        with pytest.raises(UnsupportedAlgorithm):
            loads(forge({"alg": "none"}, b'{"exp": %d}' % FUTURE), KEY)
        assert "_scan" not in parsed


class TestOtherJwtLibraries:
    """PyJWT, which the proxy uses, and joserfc agree with djsession on every token.

    djsession is stricter in three respects, since the proxy never writes such tokens: it accepts
    one spelling of base64url, no ``crit`` at all, and no ``b64`` other than true.
    """

    LONG_KEY = "0123456789abcdefghijklmnopqrstuv"  # the libraries warn about shorter ones

    def pyjwt(self, token: str, key: bytes) -> bytes | None:
        pyjwt = pytest.importorskip("jwt")
        try:
            found: bytes = pyjwt.PyJWS().decode(token, key, algorithms=["HS256"])
        except (pyjwt.PyJWTError, ValueError, TypeError):
            return None
        return found

    def joserfc(self, token: str, key: bytes) -> bytes | None:
        pytest.importorskip("joserfc")
        from joserfc import jws
        from joserfc.errors import JoseError
        from joserfc.jwk import OctKey

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = jws.deserialize_compact(token, OctKey.import_key(key), algorithms=["HS256"])
            except (JoseError, ValueError, TypeError):
                return None
        return found.payload

    def is_stricter(self, token: str) -> bool:
        """Return whether djsession refuses a token for one of the three reasons."""
        parts = token.split(".")
        if len(parts) != 3:
            return False
        try:
            if any(base64url(decoded(part)) != part for part in parts):
                return True
            header = json.loads(decoded(parts[0]))
        except ValueError:
            return False
        return isinstance(header, dict) and ("crit" in header or "b64" in header)

    @given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=4))
    def test_other_libraries_verify_what_is_signed_here(self, session: dict[str, Any]) -> None:
        key = self.LONG_KEY
        payload = json.dumps({**session, "exp": FUTURE}).encode()
        token = jwt.sign(payload, key.encode())
        assert self.pyjwt(token, key.encode()) == payload
        assert self.joserfc(token, key.encode()) == payload

    @given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=4))
    def test_what_other_libraries_sign_verifies_here(self, session: dict[str, Any]) -> None:
        pyjwt = pytest.importorskip("jwt")
        pytest.importorskip("joserfc")
        from joserfc import jwt as jose
        from joserfc.jwk import OctKey

        claims = {**session, "exp": FUTURE}
        key = OctKey.import_key(self.LONG_KEY)
        assert loads(jose.encode(HEADER, claims, key), self.LONG_KEY) == claims
        claims.pop("iss", None)  # PyJWT insists on text in it
        for headers in (None, {"kid": "1"}, {"typ": None}):
            token = pyjwt.encode(claims, self.LONG_KEY, "HS256", headers=headers)
            assert loads(token, self.LONG_KEY) == claims

    @given(st.data())
    def test_other_libraries_agree_on_changed_tokens(self, data: st.DataObject) -> None:
        key = self.LONG_KEY.encode()
        token = jwt.sign(data.draw(st.binary(max_size=12)), key)
        alphabet = st.sampled_from("ABQgwxyz0189-_+/=. \n!")
        for _ in range(data.draw(st.integers(1, 2))):
            at = data.draw(st.integers(0, len(token) - 1) | st.just(len(token) - 1))
            kind = data.draw(st.sampled_from(["replace", "insert", "append", "delete", "cut"]))
            if kind == "replace":
                token = token[:at] + data.draw(alphabet) + token[at + 1 :]
            elif kind == "insert":
                token = token[:at] + data.draw(alphabet) + token[at:]
            elif kind == "append":
                token += data.draw(alphabet)
            elif kind == "delete":
                token = token[:at] + token[at + 1 :]
            else:
                token = token[: at + 1]
        self.compare(token, key)

    HEADERS: tuple[Any, ...] = (
        *({**HEADER, **more} for more in ({}, {"kid": "1"}, {"crit": ["exp"]}, {"b64": False})),
        *({"alg": alg} for alg in ("none", "HS256", "HS384", "hs256", "", None, 1, ["HS256"])),
        *({}, [], "HS256", 1, None, b"", b"{", b'{"alg":"HS256"} x'),
        pytest.param(b"\xff", id="not text"),
    )

    @pytest.mark.parametrize("header", HEADERS, ids=repr)
    def test_other_libraries_agree_on_signed_headers(self, header: Any) -> None:
        for payload, digest in product((b"{}", b"", b"\xff"), ("sha256", "sha384", "sha512")):
            token = forge(header, payload, self.LONG_KEY, digest)
            self.compare(token, self.LONG_KEY.encode())

    @given(st.text(st.sampled_from("AEIMQUYcgkosw048BbQz-_+/= \n."), max_size=9))
    def test_other_libraries_agree_on_signed_payloads(self, payload: str) -> None:
        assume("." not in payload)
        key = self.LONG_KEY.encode()
        signed = f"{base64url(json.dumps(HEADER).encode())}.{payload}"
        signature = base64url(hmac.new(key, signed.encode(), "sha256").digest())
        self.compare(f"{signed}.{signature}", key)

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
    def test_other_libraries_agree_on_the_vectors(self, vector: dict[str, Any]) -> None:
        key = decoded(vector["key"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about short keys
            found = self.pyjwt(vector["token"], key), self.joserfc(vector["token"], key)
        if vector["valid"]:
            # joserfc refuses headers that are not registered. The signature vouches for them.
            assert vector["payload"].encode() in found
            assert set(found) <= {vector["payload"].encode(), None}
        elif not vector.get("stricter"):
            assert found == (None, None)

    def compare(self, token: str, key: bytes) -> None:
        ours = verify(token, key)
        with warnings.catch_warnings():
            # From Python 3.15 on, lenient base64 warns.
            warnings.simplefilter("ignore", FutureWarning)
            theirs = self.pyjwt(token, key), self.joserfc(token, key)
            is_stricter = self.is_stricter(token)
        if ours is not None:
            assert theirs == (ours, ours)
        elif not is_stricter:
            assert theirs == (None, None)


def test_a_session_in_a_jwt_loads() -> None:
    assert loads(jwt_of(b'{"username": "xia", "exp": %d}' % FUTURE), KEY).username == "xia"
