from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import AccessDenied, Gate, Settings, dumps, gate, openssl, trace
from djsession.cli import examine

from .conftest import KEY, OTHER_KEY, XIA
from .test_codec import REFUSED

SECRETS = {
    "secret_key": "AKIA-one",
    "access_key": "AKIA-two",
    "security_token": "AKIA-three",
    "session_key": "AKIA-four",
    "db_password": "AKIA-five",
    "apiToken": "AKIA-six",
    "pwd": "AKIA-nine",
    "passphrase": "AKIA-ten",
    "Authorization": "AKIA-eleven",
    "jwt": "AKIA-twelve",
    "cookie": "AKIA-thirteen",
    "nested": [{"PASSWORD": "AKIA-seven", "tokens": ["AKIA-eight"]}],
}


def debug_log(caplog: pytest.LogCaptureFixture, key: Any = KEY, **environ: str) -> str:
    with caplog.at_level(logging.DEBUG, "djsession"), suppress(AccessDenied):
        Gate(Settings(key)).open(dict(environ))
    return caplog.text


def test_a_session_is_shown_step_by_step(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    log = debug_log(caplog, HTTP_COOKIE=f'sessionid="{token}"')
    salt, _ = openssl.split(b64decode(token))
    _, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    assert "the cookie sessionid" in log
    assert f"salt {salt.hex()}" in log
    assert f"key ********, of 16 characters; iv {iv.hex()}" in log
    assert token[:21] in log
    assert json.dumps(XIA, indent=2).replace("\n", "\n    ") in log


def test_quotes_that_were_removed_are_a_step(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    jwt = dumps(XIA, KEY, "jwt")
    for said, headers in (
        ("one pair removed", {"HTTP_COOKIE": f'a="b"; sessionid="{token}"'}),
        ("none", {"HTTP_COOKIE": f'a="b"; sessionid={token}'}),
        (None, {"HTTP_AUTHORIZATION": f"Bearer {jwt}"}),
    ):
        caplog.clear()
        log = debug_log(caplog, **headers)
        found = re.search(r"quotes: +passed +(.*)", log)
        assert (found and found[1]) == said
        request = "".join(f"{name[5:]}: {value}\n" for name, value in headers.items())
        steps = {step.name: step.value for step in examine(request, [KEY]).traces[0].steps}
        assert steps.get("quotes") == said


def test_a_jwt_is_shown_with_its_header_alone(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY, "jwt")
    log = debug_log(caplog, HTTP_AUTHORIZATION=f"Bearer {token}")
    header, payload, signature = token.split(".")
    assert header in log
    assert payload not in log
    assert signature not in log
    assert '"username": "xia"' in log


def test_a_refusal_is_shown_for_each_key(caplog: pytest.LogCaptureFixture) -> None:
    log = debug_log(caplog, ["first-key", OTHER_KEY], HTTP_COOKIE=f"sessionid={dumps({}, KEY)}")
    assert "secret key 1: ********" in log
    assert "secret key 2: ********" in log
    assert log.count("does not end in PKCS#7 padding; most likely DJAODJIN_SECRET_KEY") == 3


def statuses(token: str, *keys: str) -> dict[tuple[str, int | None], str]:
    found = trace.trace_token(token, keys)
    return {(step.name, step.key): step.status for step in found.steps}


def test_the_steps_of_a_cookie_and_of_a_jwt() -> None:
    assert [name for name, _ in statuses(dumps(XIA, KEY), KEY)] == [
        "found in",
        "size",
        "format",
        "base64",
        "Salted__",
        "ciphertext",
        "key and IV",
        "padding",
        "UTF-8",
        "JSON",
        "object",
        "schema",
    ]
    assert [name for name, _ in statuses(dumps(XIA, KEY, "jwt"), KEY)] == [
        "found in",
        "size",
        "format",
        "joserfc",
        "three parts",
        "algorithm",
        "signature",
        "UTF-8",
        "JSON",
        "object",
        "expiry",
        "schema",
    ]
    assert set(statuses(dumps(XIA, KEY), KEY).values()) == {"passed"}


def test_a_key_that_fails_is_followed_by_one_that_does_not() -> None:
    found = statuses(dumps(XIA, KEY, "jwt"), OTHER_KEY, KEY)
    assert found["algorithm", 1] == "passed"
    assert found["signature", 1] == "failed"
    assert found["JSON", 1] == "not reached"
    assert found["signature", 2] == found["schema", None] == "passed"


@pytest.mark.parametrize(("error", "token"), REFUSED.values(), ids=REFUSED)
def test_the_step_that_failed_is_the_one_that_the_codec_refused(error: Any, token: str) -> None:
    found = trace.trace_token(token, (KEY,))
    assert found.session is None
    assert found.failed is not None
    assert found.failed.name == trace._STEP_OF[error]
    assert found.failed.cause
    assert found.failed.remedy
    place = [step.status for step in found.steps]
    assert place == sorted(place, key=["passed", "failed", "not reached"].index)
    assert place.count("failed") == 1


@pytest.mark.parametrize(
    ("session", "said"),
    [
        ({}, "an empty session"),
        ({"last_visited": None}, "no username"),
        (XIA, "a username; 1 role, 1 organization, 1 active plan"),
    ],
)
def test_what_the_schema_step_says(session: dict[str, Any], said: str) -> None:
    assert said in trace.trace_token(dumps(session, KEY), (KEY,)).steps[-1].value


def test_credentials_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    for format in ("openssl", "jwt"):
        token = dumps({**SECRETS, "username": "xia"}, KEY, format)  # type: ignore[arg-type]
        log = debug_log(caplog, HTTP_COOKIE=f"sessionid={token}")
        assert '"username": "xia"' in log
        assert "AKIA" not in log
        assert log.count(trace.MASK) >= 8


def test_a_null_credential_is_shown_to_be_none() -> None:
    assert trace.mask({"secret_key": None}) == {"secret_key": None}


def test_a_foreign_credential_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    log = debug_log(caplog, HTTP_AUTHORIZATION="Bearer ghp_somebodys_own_token")
    assert "ghp_" not in log
    assert "23 characters" in log


@pytest.mark.parametrize("token", [token for _, token in REFUSED.values()], ids=REFUSED)
def test_no_log_at_any_level_holds_a_key_or_a_token(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ([KEY], [OTHER_KEY, KEY]):
        log = debug_log(caplog, key, HTTP_COOKIE=f'sessionid="{token}"')
        assert KEY not in log
        assert OTHER_KEY not in log
        assert len(token) < 22 or token not in log


def test_a_derived_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    salt, _ = openssl.split(b64decode(token))
    key, _ = openssl.derive_key_and_iv(KEY.encode(), salt)
    log = debug_log(caplog, HTTP_COOKIE=f"sessionid={token}").lower()
    assert key.hex() not in log
    assert key[:16].hex() not in log


@given(st.text(), st.integers(1, 100))
def test_any_token_can_be_traced(token: str, size: int) -> None:
    found = trace.trace_token(token, (KEY,), max_token_size=size)
    assert "session token:" in str(found)


def test_a_session_nested_deeply_can_be_traced() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    assert "session" in str(trace.trace_token(dumps({"a": deep}, KEY), (KEY,)))


def test_nothing_is_traced_unless_debug_is_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "trace_token", lambda *args, **_: pytest.fail("traced"))
    with caplog.at_level(logging.INFO, "djsession"):
        Gate(Settings(KEY)).open({"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"})
    assert caplog.text == ""
