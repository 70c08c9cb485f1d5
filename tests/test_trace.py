from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import Settings, dumps, gate, openssl
from djsession.codec import FORMATS
from djsession.redact import MASK
from djsession.trace import Trace, trace_token
from djsession.transport import Candidate
from tests.helpers.gates import Request, ask, make_gate, request
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import REFUSED

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


def debug_log(caplog: pytest.LogCaptureFixture, head: Request, key: Any = KEY) -> str:
    with caplog.at_level(logging.DEBUG, "djsession"):
        ask(make_gate(key=key), head)
    return caplog.text


def traced(token: str, *keys: str, transport: Any = "cookie", **settings: Any) -> Trace:
    return trace_token(Candidate(transport, token), Settings(keys or KEY, **settings))


def test_the_trace_shows_a_session_step_by_step(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    log = debug_log(caplog, request(token=token))
    salt, _ = openssl.parse_container(b64decode(token))
    _, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    assert "the cookie sessionid" in log
    assert f"salt {salt.hex()}" in log
    assert f"key ********, 16 characters long; iv {iv.hex()}" in log
    assert token[:21] in log
    assert json.dumps(XIA, indent=2).replace("\n", "\n    ") in log


def test_the_trace_shows_quotes_that_were_removed(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    for head, expected in (
        (request(cookie=f'a="b"; sessionid="{token}"'), "one pair removed"),
        (request(cookie=f'a="b"; sessionid={token}'), "none"),
        (request(bearer=dumps(XIA, KEY, "jwt")), None),
    ):
        caplog.clear()
        found = re.search(r"quotes: +passed +(.*)", debug_log(caplog, head))
        assert (found and found[1]) == expected


def test_the_trace_shows_a_jwt_with_its_header_only(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY, "jwt")
    log = debug_log(caplog, request(bearer=token))
    header, payload, signature = token.split(".")
    assert header in log
    assert payload not in log
    assert signature not in log
    assert '"username": "xia"' in log


def test_the_trace_shows_a_refusal_for_each_key(caplog: pytest.LogCaptureFixture) -> None:
    log = debug_log(caplog, request(token=dumps({}, KEY, "jwt")), ["first-key", OTHER_KEY])
    assert "secret key 1: ********" in log
    assert "secret key 2: ********" in log
    assert log.count("the signature of the jwt does not verify; most likely") == 3


def statuses(token: str, *keys: str) -> dict[tuple[str, int | None], str]:
    return {(step.name, step.key): step.status for step in traced(token, *keys).steps}


def test_the_trace_has_the_steps_of_a_cookie_and_of_a_jwt() -> None:
    found = statuses(dumps(XIA, KEY))
    assert [name for name, _ in found][:8] == [
        "found in",
        "size",
        "format",
        "base64",
        "Salted__",
        "ciphertext",
        "key and IV",
        "padding",
    ]
    checks = {"text", "JSON", "unique names", "object", "depth", "last_visited", "expiry"}
    assert {name for name, _ in list(found)[8:-1]} == checks
    assert list(found)[-1] == ("schema", None)
    assert set(found.values()) == {"passed"}
    found = statuses(dumps(XIA, KEY, "jwt"))
    assert [name for name, _ in found] == [
        "found in",
        "size",
        "format",
        "three parts",
        "signature",
        "algorithm",
        "text",
        "JSON",
        "object",
        "depth",
        "expiry",
        "schema",
    ]
    assert set(found.values()) == {"passed"}


def test_a_key_that_fails_is_followed_by_one_that_does_not() -> None:
    found = statuses(dumps(XIA, KEY, "jwt"), OTHER_KEY, KEY)
    assert found["signature", 1] == "failed"
    assert found["algorithm", 1] == found["JSON", 1] == "not reached"
    assert found["signature", 2] == found["schema", None] == "passed"


@pytest.mark.parametrize(("error", "token"), REFUSED.values(), ids=REFUSED)
def test_the_step_that_failed_is_the_one_that_the_codec_refused(error: Any, token: str) -> None:
    found = traced(token)
    assert found.session is None
    assert found.failed is not None
    assert found.failed.name == error.step
    assert type(found.failed.error) is error
    place = [step.status for step in found.steps]
    assert place == sorted(place, key=["passed", "failed", "not reached"].index)
    assert place.count("failed") == 1
    assert str(found.failed.error) in str(found)


@pytest.mark.parametrize(
    ("token", "settings", "step"),
    [
        (dumps(XIA, KEY), {"max_token_size": 100}, "size"),
        (dumps(XIA, KEY), {"formats": ["jwt"]}, "format"),
        (dumps(XIA, KEY, "jwt"), {"formats": ["openssl"]}, "format"),
    ],
)
def test_the_trace_shows_a_setting_that_refuses_the_token(
    token: str, settings: Any, step: str
) -> None:
    found = traced(token, **settings)
    assert found.failed is not None
    assert found.failed.name == step


def test_a_token_that_does_not_count_where_it_was_found_fails_first() -> None:
    [candidate] = [Candidate("bearer", dumps(XIA, KEY), "not in Authorization")]
    found = trace_token(candidate, Settings(KEY))
    assert found.session is None
    assert found.failed is not None
    assert found.failed.name == "transport"
    assert "not in Authorization" in str(found)
    assert {step.status for step in found.steps[2:]} == {"not reached"}


def test_without_a_key_only_the_steps_before_it_are_taken() -> None:
    for format in FORMATS:
        token = dumps(XIA, KEY, format)
        found = trace_token(Candidate("cookie", token), Settings("placeholder"), has_key=False)
        assert found.session is None
        assert found.failed is not None
        assert found.failed.name == "secret key"


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({}, "an empty session"),
        ({"last_visited": None}, "no username"),
        (XIA, "a username; 1 role, 1 organization, 1 active plan"),
    ],
)
def test_the_schema_step_sums_up_the_session(session: dict[str, Any], expected: str) -> None:
    assert expected in traced(dumps(session, KEY)).steps[-1].value


@pytest.mark.parametrize("format", FORMATS)
def test_the_trace_masks_credentials(format: Any, caplog: pytest.LogCaptureFixture) -> None:
    token = dumps({**SECRETS, "username": "xia"}, KEY, format)
    log = debug_log(caplog, request(token=token))
    assert '"username": "xia"' in log
    assert "AKIA" not in log
    assert log.count(MASK) >= 8


def test_the_trace_does_not_show_a_foreign_credential(caplog: pytest.LogCaptureFixture) -> None:
    log = debug_log(caplog, request(bearer="ghp_somebodys_own_token"))
    assert "ghp_" not in log
    log = debug_log(caplog, request(token="ghp_somebodys_own_token"))
    assert "ghp_" not in log
    assert "23 characters" in log


@pytest.mark.parametrize("token", [token for _, token in REFUSED.values()], ids=REFUSED)
def test_no_log_of_a_trace_holds_a_key_or_a_token(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ([KEY], [OTHER_KEY, KEY]):
        for head in (request(token=token), request(bearer=token)):
            log = debug_log(caplog, head, key)
            assert KEY not in log
            assert OTHER_KEY not in log
            assert len(token) < 22 or token not in log


def test_the_trace_never_shows_a_derived_key(caplog: pytest.LogCaptureFixture) -> None:
    token = dumps(XIA, KEY)
    salt, _ = openssl.parse_container(b64decode(token))
    key, _ = openssl.derive_key_and_iv(KEY.encode(), salt)
    log = debug_log(caplog, request(token=token)).lower()
    assert key.hex() not in log
    assert key[:16].hex() not in log


@given(st.text(), st.integers(1, 100), st.sampled_from(["cookie", "bearer", "unknown"]))
def test_any_token_can_be_traced(token: str, size: int, transport: str) -> None:
    found = traced(token, transport=transport, max_token_size=size)
    assert "session token:" in str(found)


def test_nothing_is_traced_unless_debug_is_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "trace_token", lambda *args, **_: pytest.fail("traced"))
    with caplog.at_level(logging.INFO, "djsession"):
        ask(make_gate(), request(token=dumps(XIA, KEY)))
        ask(make_gate(), request(token="garbage"))
    assert len(caplog.records) == 1
