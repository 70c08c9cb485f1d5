"""What the inspector lists: the last requests, in memory, without what may be secret."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from djsession import dumps
from djsession.mockup import MockupApp
from djsession.mockup.recent import RecentRequests
from tests.helpers.mockup_client import HTML, LOCAL, SESSIONS, get, post
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.wsgi import Recorder

COOKIE = f"sessionid={dumps(XIA, KEY)}"


def paths(recent: RecentRequests) -> list[str]:
    return [request.path for request in recent.latest()]


def test_the_last_twenty_requests_are_kept_newest_first() -> None:
    recent = RecentRequests()
    for number in range(30):
        recent.add("GET", f"/{number}", 200, "passed")
    assert paths(recent) == [f"/{number}" for number in range(29, 9, -1)]


def test_recent_requests_keep_neither_a_query_nor_a_long_path() -> None:
    recent = RecentRequests()
    recent.add("GET", "/app/?token=secret", 200, "passed")
    recent.add("X" * 9999, "/" + "a" * 9999, 200, "passed")
    long, cut = recent.latest()
    assert cut.path == "/app/"
    assert len(long.path) < 600
    assert len(long.method) < 30


def test_threads_may_add_recent_requests_while_others_read() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    recent, failures = RecentRequests(), []
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            recent.add("GET", "/", 200, "passed")

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2000):
            recent.latest()
    except RuntimeError as error:
        failures.append(error)
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.fixture
def app(inside: Recorder) -> MockupApp:
    return MockupApp(inside, SESSIONS, secret_key=KEY, allowed_no_session=["/open"])


def kept(app: MockupApp) -> list[tuple[Any, ...]]:
    return [
        (request.method, request.path, request.status, request.verdict, request.user)
        for request in app.recent.latest()
    ]


def test_each_request_to_the_application_is_kept_with_its_verdict(app: MockupApp) -> None:
    get(app, "/app/?a=b", HTTP_COOKIE=COOKIE)
    get(app, "/open/")
    get(app, "/app/", **HTML)
    get(app, "/app/")
    get(app, "/app/", HTTP_COOKIE=f"sessionid={dumps(XIA, OTHER_KEY)}", **HTML)
    assert kept(app) == [
        ("GET", "/app/", 403, "refused", None),
        ("GET", "/app/", 403, "refused", None),
        ("GET", "/app/", 303, "sign in", None),
        ("GET", "/open/", 200, "passed", None),
        ("GET", "/app/", 200, "passed", "xia"),
    ]
    reasons = [request.reason for request in app.recent.latest()]
    assert all(reasons[:3])
    assert not any(reasons[3:])
    assert OTHER_KEY not in str(app.recent.latest())


def test_requests_to_the_mockup_pages_are_not_kept_as_recent(app: MockupApp) -> None:
    for path in ("/login/", "/djsession/", "/api/auth"):
        get(app, path, HTTP_COOKIE=COOKIE)
    post(app, "/login/", {"user": "xia"})
    get(app, "/app/", REMOTE_ADDR="203.0.113.7")
    assert kept(app) == []


def test_a_request_is_kept_even_if_the_application_changes_environ_or_fails() -> None:
    def fail(environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = "/elsewhere"
        raise ZeroDivisionError

    app = MockupApp(fail, SESSIONS, secret_key=KEY)
    with pytest.raises(ZeroDivisionError):
        get(app, "/app/", HTTP_COOKIE=COOKIE)
    assert kept(app) == [("GET", "/app/", 0, "passed", "xia")]
    assert "<span>error</span>" in get(app, "/djsession/").body.decode()


def test_a_request_whose_response_is_replaced_is_kept_once() -> None:
    def replace(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"oops"]

    app = MockupApp(replace, SESSIONS, secret_key=KEY)
    environ = {**LOCAL, "REQUEST_METHOD": "GET", "PATH_INFO": "/app/", "HTTP_COOKIE": COOKIE}
    started: list[str] = []

    def start_response(status: str, *_: Any) -> Any:
        started.append(status)

    assert list(app(environ, start_response)) == [b"oops"]
    assert started == ["200 OK", "500 Oops"]
    assert len(kept(app)) == 1


def test_two_mockup_apps_keep_separate_recent_requests(app: MockupApp, inside: Recorder) -> None:
    other = MockupApp(inside, SESSIONS, secret_key=KEY)
    get(app, "/app/", HTTP_COOKIE=COOKIE)
    assert kept(other) == []


def test_the_inspector_escapes_the_recent_requests(app: MockupApp) -> None:
    get(app, "/app/<script>", HTTP_COOKIE=COOKIE)
    page = get(app, "/djsession/").body.decode()
    assert "<code>/app/&lt;script&gt;</code>" in page
    assert '<span class="unseen">passed: </span>' in page
