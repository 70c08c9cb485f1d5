"""The pages of the stand-in: the decisions of its rules, and a server that is down."""

from __future__ import annotations

import pytest

from djsession.mockup.forwarder import Forwarder
from djsession.mockup.stand_in import StandIn
from djsession.settings import Settings
from tests.helpers.mockup_client import HTML, SESSIONS, cookie_of, get, post
from tests.helpers.servers import free_port
from tests.helpers.sessions import KEY
from tests.helpers.wsgi import Recorder


def signed_in(stand_in: StandIn) -> str:
    """Return the header of a browser that has signed in as xia."""
    name = "djsession_stand_in_8000"
    return f"{name}={cookie_of(post(stand_in, '/login/', {'user': 'xia'}), name).value}"


@pytest.fixture
def stand_in(inside: Recorder) -> StandIn:
    rules = [
        {"path": "/open/", "allow": "any"},
        {"path": "/app/{profile}/", "roles": ["manager"]},
        {"path": "/home/", "allow": "authenticated"},
    ]
    return StandIn(inside, {"sessions": SESSIONS, "rules": rules}, Settings(secret_key=KEY))


def test_the_stand_in_keeps_each_request_with_the_decision_of_its_rules(stand_in: StandIn) -> None:
    cookie = signed_in(stand_in)
    get(stand_in, "/open/")
    get(stand_in, "/home/", **HTML)
    get(stand_in, "/home/", HTTP_COOKIE=cookie)
    get(stand_in, "/app/cowork/", HTTP_COOKIE=cookie, **HTML)
    assert [
        (request.method, request.path, request.status, request.verdict, request.user)
        for request in stand_in.recent.latest()
    ] == [
        ("GET", "/app/cowork/", 403, "refused", "xia"),
        ("GET", "/home/", 200, "passed", "xia"),
        ("GET", "/home/", 302, "sign in", None),
        ("GET", "/open/", 200, "passed", None),
    ]
    page = get(stand_in, "/djsession/", HTTP_COOKIE=cookie).body.decode()
    assert "needs the role manager for cowork, which the session does not have" in page


def test_a_browser_that_the_stand_in_refuses_sees_the_rule(stand_in: StandIn) -> None:
    cookie = signed_in(stand_in)
    answer = get(stand_in, "/app/cowork/", HTTP_COOKIE=cookie, **HTML)
    assert answer.code == 403
    assert "script-src 'sha256-" in answer.headers["Content-Security-Policy"]
    page = answer.body.decode()
    assert "<h1>xia may not open this page</h1>" in page
    assert "/app/{profile}/" in page
    answer = get(stand_in, "/elsewhere", **HTML)
    assert "<h1>A visitor may not open this page</h1>" in answer.body.decode()


def test_a_browser_is_told_that_the_server_is_down_and_waits_for_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    rules = [{"path": "/", "allow": "any"}]
    sessions = {"sessions": SESSIONS, "rules": rules}
    stand_in = StandIn(Forwarder(url), sessions, Settings(secret_key=KEY))
    answer = get(stand_in, "/app/", **HTML)
    assert answer.code == 502
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = answer.body.decode()
    assert f"<code>{url}</code>" in page
    assert answer.headers["Refresh"] == "5"
    assert "reloads every 5 seconds" in page
    # What a browser must not repeat, and what no person reads, is answered with a sentence.
    assert "Refresh" not in post(stand_in, "/app/", {}, **HTML).headers
    assert "Refresh" not in get(stand_in, "/app/").headers
    assert [request.status for request in stand_in.recent.latest()] == [502, 502, 502]
