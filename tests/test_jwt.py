from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import jwt
from djsession.errors import (
    ExpiredToken,
    InvalidExpiry,
    InvalidSignature,
    MalformedJWT,
    SessionError,
    UnsupportedAlgorithm,
)

from .conftest import KEY, OTHER_KEY


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: Any, payload: bytes = b"{}", key: str = KEY, digest: str = "sha256") -> str:
    """Sign a token by hand, whatever its header says."""
    start = f"{encode(header if isinstance(header, bytes) else json.dumps(header).encode())}"
    start += "." + encode(payload)
    return f"{start}.{encode(hmac.new(key.encode(), start.encode(), digest).digest())}"


HMAC_KEY = jwt.import_key(KEY)


def test_what_was_signed_verifies() -> None:
    assert jwt.verify(jwt.sign(b'{"a": 1}', HMAC_KEY), HMAC_KEY) == b'{"a": 1}'


def test_it_reads_a_token_signed_by_hand() -> None:
    assert jwt.verify(forge({"alg": "HS256"}, b"{}"), HMAC_KEY) == b"{}"


@pytest.mark.parametrize("key", [KEY, "short"])
def test_keys_shorter_than_the_rfc_asks_for_sign_and_verify_without_a_warning(key: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imported = jwt.import_key(key)
        assert jwt.verify(jwt.sign(b"{}", imported), imported) == b"{}"


def test_another_key_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        jwt.verify(forge({"alg": "HS256"}, key=OTHER_KEY), HMAC_KEY)


def test_a_changed_payload_is_refused() -> None:
    header, _, signature = forge({"alg": "HS256"}).split(".")
    with pytest.raises(InvalidSignature):
        jwt.verify(".".join([header, encode(b'{"username": "root"}'), signature]), HMAC_KEY)


@pytest.mark.parametrize("alg", ["none", "None", "HS384", "HS512", "RS256", "ES256", "hs256", ""])
def test_another_algorithm_is_refused(alg: str) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        jwt.verify(forge({"alg": alg}), HMAC_KEY)


def test_an_unsigned_token_is_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm):
        jwt.verify(".".join([encode(b'{"alg": "none"}'), encode(b"{}"), ""]), HMAC_KEY)


def test_hs512_signed_with_the_right_key_is_refused() -> None:
    with pytest.raises(UnsupportedAlgorithm):
        jwt.verify(forge({"alg": "HS512"}, digest="sha512"), HMAC_KEY)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c\n",
        "é.b.c",
        forge({"alg": "HS256"}) + "=",
        forge({"alg": "HS256"}) + "!",
        forge(b"not json"),
        forge(b"\xff\xfe"),
        forge([]),
        forge(["alg"]),
        forge("alg"),
        forge({}),
        forge({"alg": None}),
        forge({"alg": ["HS256"]}),
        forge({"alg": "HS256", "crit": ["exp"], "exp": 1}),
        forge(b"[" * 300),
    ],
    ids=lambda token: token[:24] or "empty",
)
def test_a_malformed_token_is_refused(token: str) -> None:
    with pytest.raises((MalformedJWT, UnsupportedAlgorithm)):
        jwt.verify(token, HMAC_KEY)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("alg"), inner),
    )
)
def test_any_header_is_refused_with_a_session_error(header: Any) -> None:
    with pytest.raises(SessionError):
        jwt.verify(forge(header), HMAC_KEY)


def test_no_exp_never_expires() -> None:
    jwt.check_expiry({})


@pytest.mark.parametrize("ahead", [1, 7200, 10**12, 0.5, 1e300])
def test_an_exp_ahead_passes(ahead: float) -> None:
    jwt.check_expiry({"exp": time.time() + ahead})


@pytest.mark.parametrize(
    ("past", "said"),
    [(0, "0 s"), (59, "59 s"), (600, "10 minutes"), (7200, "2 hours"), (10**6, "11 days")],
)
def test_an_exp_that_is_past_is_refused_and_says_since_when(
    past: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    with pytest.raises(ExpiredToken, match=f"the jwt expired {said} ago"):
        jwt.check_expiry({"exp": 1_800_000_000 - past})


@pytest.mark.parametrize("exp", [-1, -(10**400), 0, -1.5, -1e308])
def test_an_exp_of_long_ago_is_refused(exp: float) -> None:
    with pytest.raises(ExpiredToken):
        jwt.check_expiry({"exp": exp})


@pytest.mark.parametrize(
    "exp", ["1900000000", None, True, [], {}, float("nan"), float("inf"), float("-inf")]
)
def test_an_exp_that_is_not_a_finite_number_is_refused(exp: Any) -> None:
    with pytest.raises(InvalidExpiry):
        jwt.check_expiry({"exp": exp})


def test_the_signature_is_hs256_of_the_shared_key() -> None:
    start, _, signature = jwt.sign(b"{}", HMAC_KEY).rpartition(".")
    expected = hmac.new(KEY.encode(), start.encode(), hashlib.sha256).digest()
    assert signature == encode(expected)
