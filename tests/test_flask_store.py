"""Server-side stores behind ``flask.session``: whose data a request reads, writes and erases."""

from __future__ import annotations

import secrets
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask, Request, Response, abort, flash, request_started, session
from flask.sessions import SecureCookieSession, SessionInterface, SessionMixin
from flask.testing import FlaskClient

from djsession import dumps
from djsession.flask import DjSession
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import forge

DANA = {"username": "dana"}
EXPIRED = forge({"alg": "HS256"}, b'{"username": "xia", "exp": 1}')

# What a request sends that has no session, beside the cookie of the local session.
WITHOUT_SESSION: dict[str, dict[str, str]] = {
    "no token": {},
    "not a token": {"Cookie": "sessionid=garbage"},
    "another key": {"Cookie": f"sessionid={dumps(XIA, OTHER_KEY)}"},
    "an expired token": {"Authorization": f"Bearer {EXPIRED}"},
    "signed out at the proxy": {
        "Cookie": f"sessionid={dumps(XIA, KEY)}",
        "Authorization": "Bearer",
    },
    "two sessions": {
        "Cookie": f"sessionid={dumps(XIA, KEY)}",
        "Authorization": f"Bearer {dumps(DANA, KEY, 'jwt')}",
    },
}

Snapshot = Callable[[], dict[str, Any]]


class StoredSession(SecureCookieSession):
    id = ""


class TrustingStore(SessionInterface):
    """Takes over any id that a browser sends, and saves the session with every response.

    A new session is permanent, as those of Flask-Session are.
    """

    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}
        self.writes = 0

    def open_session(self, app: Flask, request: Request) -> StoredSession:
        id = request.cookies.get(self.get_cookie_name(app)) or secrets.token_hex()
        session = StoredSession(self.data.get(id, {"_permanent": True}))
        session.id = id
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, StoredSession)
        if session.keys() - {"_permanent"}:
            self.data[session.id] = dict(session)
            self.writes += 1
            response.set_cookie(self.get_cookie_name(app), session.id)
        elif session.modified:
            self.data.pop(session.id, None)
            self.writes += 1
            response.delete_cookie(self.get_cookie_name(app))

    def snapshot(self) -> dict[str, Any]:
        return {"writes": self.writes, **{id: dict(data) for id, data in self.data.items()}}


class Site:
    """An application with a store, and the browsers that visit it."""

    def __init__(self, app: Flask, snapshot: Snapshot) -> None:
        self.app = app
        #: Everything in the store, with the time of each change.
        self.snapshot = snapshot

    def browser(self, data: dict[str, Any] | None = None, id: str | None = None) -> FlaskClient:
        """Return a browser with the proxy's cookie for a session, and with a local session."""
        browser = self.app.test_client()
        if data is not None:
            browser.set_cookie("sessionid", dumps(data, KEY))
        if id is not None:
            browser.set_cookie("session", id)
        return browser

    def id_with_cart(self, data: dict[str, Any] | None, cart: str) -> str:
        """Return the id of a new local session in which somebody's cart is stored."""
        browser = self.browser(data)
        assert browser.get(f"/open/set/cart/{cart}").status_code == 200
        return id_of(browser)


def id_of(browser: FlaskClient) -> str:
    cookie = browser.get_cookie("session")
    assert cookie is not None
    return cookie.value


def cart(browser: FlaskClient) -> Any:
    found: Any = browser.get("/open/get/cart").json
    return found["value"]


def with_views(app: Flask) -> Flask:
    @app.route("/get/<key>")
    @app.route("/open/get/<key>")
    def get(key: str) -> Any:
        return {"value": session.get(key)}

    @app.route("/set/<key>/<value>")
    @app.route("/open/set/<key>/<value>")
    def set(key: str, value: str) -> str:
        session[key] = value
        return ""

    @app.route("/pop/<key>")
    def pop(key: str) -> Any:
        return {"value": session.pop(key)}

    @app.route("/clear")
    @app.route("/open/clear")
    def clear() -> str:
        session.clear()
        return ""

    @app.route("/untouched")
    @app.route("/open/untouched")
    def untouched() -> str:
        return ""

    return app


@pytest.fixture(params=["Flask-Session", "trusting"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    app = Flask("tests.test_flask_store")
    app.config.update(
        SECRET_KEY="s", DJAODJIN_SECRET_KEY=KEY, DJSESSION_ALLOWED_NO_SESSION=["/open"]
    )
    if request.param == "trusting":
        store = TrustingStore()
        app.session_interface = store
        snapshot = store.snapshot
    else:
        file = pytest.importorskip("cachelib.file")
        flask_session = pytest.importorskip("flask_session")
        folder = tmp_path / "sessions"
        app.config.update(
            SESSION_TYPE="cachelib", SESSION_CACHELIB=file.FileSystemCache(str(folder))
        )
        flask_session.Session(app)

        def snapshot() -> dict[str, Any]:
            return {
                path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()
            }

    DjSession(app)
    return Site(with_views(app), snapshot)


class TestFlaskStoreOfAnotherUser:
    @pytest.mark.parametrize("path", ["/get/cart", "/set/cart/8", "/clear", "/untouched", "/no"])
    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    def test_a_refused_request_leaves_stored_data_alone(
        self, path: str, headers: dict[str, str], site: Site
    ) -> None:
        id = site.id_with_cart(XIA, "7")
        before = site.snapshot()
        cookie = "; ".join(filter(None, [headers.get("Cookie"), f"session={id}"]))
        answer = site.app.test_client(use_cookies=False).get(
            path, headers={**headers, "Cookie": cookie}
        )
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
        assert site.snapshot() == before
        assert cart(site.browser(XIA, id)) == "7"

    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    def test_a_visitor_leaves_stored_data_alone(self, headers: dict[str, str], site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        before = site.snapshot()
        browser = site.app.test_client(use_cookies=False)
        cookie = "; ".join(filter(None, [headers.get("Cookie"), f"session={id}"]))
        for path in ("/open/untouched", "/open/get/cart", "/open/nowhere"):
            answer = browser.get(path, headers={**headers, "Cookie": cookie})
            assert answer.status_code in (200, 404)
            assert "7" not in answer.text
            assert "Set-Cookie" not in answer.headers
            assert site.snapshot() == before
        for path in ("/open/set/cart/8", "/open/clear"):
            answer = browser.get(path, headers={**headers, "Cookie": cookie})
            assert answer.status_code == 200
            assert id not in answer.headers.get("Set-Cookie", "")
        assert cart(site.browser(XIA, id)) == "7"

    def test_another_user_of_the_browser_gets_a_new_session(self, site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        browser = site.browser(DANA, id)
        before = site.snapshot()
        assert cart(browser) is None
        assert browser.get("/clear").status_code == 200
        assert site.snapshot().items() >= {k: v for k, v in before.items() if k != "writes"}.items()
        browser = site.browser(DANA, id)
        browser.get("/set/cart/8")
        assert id_of(browser) != id
        assert cart(browser) == "8"
        # The first user's data is there when she comes back with her cookie.
        assert cart(site.browser(XIA, id)) == "7"
        assert cart(site.browser(XIA, id_of(browser))) is None


class TestFlaskStoreWithPlantedIds:
    """An attacker knows the id of a session and puts it into somebody's browser."""

    @pytest.mark.parametrize("owner", [None, {}, DANA], ids=["nobody", "visitor", "dana"])
    def test_the_id_of_a_stored_session_is_not_taken_over(
        self, owner: dict[str, Any] | None, site: Site
    ) -> None:
        planted = site.id_with_cart(owner, "9")
        before = site.snapshot()
        browser = site.browser(XIA, planted)
        assert cart(browser) is None
        browser.get("/set/cart/7")
        assert id_of(browser) != planted
        assert cart(browser) == "7"
        after = site.snapshot()
        assert {key: after[key] for key in before if planted in key} == {
            key: before[key] for key in before if planted in key
        }
        assert cart(site.browser(owner, planted)) == "9"

    @pytest.mark.parametrize(
        "owner", [None, {}, DANA, XIA], ids=["nobody", "visitor", "dana", "xia"]
    )
    @pytest.mark.parametrize("planted", ["made-up", "x" * 43, "../sessions", "%00"])
    def test_an_id_unknown_to_the_store_is_not_taken_over(
        self, planted: str, owner: dict[str, Any] | None, site: Site
    ) -> None:
        browser = site.browser(owner, planted)
        assert browser.get("/open/set/cart/7").status_code == 200
        assert id_of(browser) != planted
        assert cart(browser) == "7"
        assert cart(site.browser(owner, planted)) is None

    def test_a_visitor_who_signs_in_gets_a_new_id(self, site: Site) -> None:
        browser = site.browser(None)
        browser.get("/open/set/cart/9")
        visited = id_of(browser)
        assert cart(browser) == "9"
        browser.set_cookie("sessionid", dumps(XIA, KEY))
        assert cart(browser) is None
        browser.get("/set/cart/7")
        assert id_of(browser) != visited
        assert cart(site.browser(None, visited)) == "9"
        # And signing out gives neither back.
        browser.delete_cookie("sessionid")
        assert cart(browser) is None

    def test_a_user_keeps_the_id(self, site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        browser = site.browser({**XIA, "last_visited": "2026-01-01T00:00:00Z"}, id)
        browser.get("/set/color/red")
        assert id_of(browser) == id
        assert cart(browser) == "7"


class TestFlaskStoreAtARefusal:
    """The application renders its own 403, and uses ``flask.session`` for it."""

    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    @pytest.mark.parametrize("path", ["/get/cart", "/nowhere", "/static/style.css"])
    def test_nothing_is_read_and_nothing_is_written(
        self, path: str, headers: dict[str, str], site: Site
    ) -> None:
        seen: list[Any] = []

        @site.app.errorhandler(403)
        def page(error: Exception) -> tuple[str, int]:
            seen.append(session.get("cart"))
            flash("you must sign in")
            session["next"] = path
            session.permanent = True
            session.modified = True
            return "our own page", 403

        ids = [site.id_with_cart(owner, "7") for owner in (XIA, {}, None)]
        before = site.snapshot()
        browser = site.app.test_client(use_cookies=False)
        for local in (*ids, "made-up", None):
            cookies = [headers.get("Cookie"), f"session={local}" if local else None]
            answer = browser.get(
                path, headers={**headers, "Cookie": "; ".join(filter(None, cookies))}
            )
            assert (answer.status_code, answer.text) == (403, "our own page")
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["Cache-Control"] == "no-store"
        assert seen == [None] * 5
        assert site.snapshot() == before

    def test_what_a_signal_read_and_wrote_before_is_dropped(self, site: Site) -> None:
        seen: list[Any] = []

        def write(sender: Flask, **_: Any) -> None:
            session["started"] = session.get("cart")

        @site.app.errorhandler(403)
        def page(error: Exception) -> tuple[str, int]:
            seen.append((session.get("cart"), session.get("started")))
            return "", 403

        id = site.id_with_cart(None, "9")
        with request_started.connected_to(write, site.app):
            before = site.snapshot()
            answer = site.browser(None, id).get("/get/cart")
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
        assert seen == [(None, None)]
        assert site.snapshot() == before

    def test_a_view_that_refuses_writes_as_usual(self, site: Site) -> None:
        @site.app.errorhandler(403)
        def page(error: Exception) -> tuple[str, int]:
            session["refused"] = "yes"
            return "", 403

        site.app.add_url_rule("/abort", view_func=lambda: abort(403))
        browser = site.browser(XIA)
        assert browser.get("/abort").status_code == 403
        assert browser.get("/get/refused").json == {"value": "yes"}


def test_taking_the_last_key_out_removes_the_session_from_the_store(site: Site) -> None:
    id = site.id_with_cart(XIA, "7")
    browser = site.browser(XIA, id)
    browser.get("/pop/cart")
    assert browser.get_cookie("session") is None
    # The store does not know the id any more, so nobody gets a session with it.
    browser = site.browser(XIA, id)
    browser.get("/set/cart/8")
    assert id_of(browser) != id
    assert cart(browser) == "8"


def test_the_test_client_changes_a_session_in_a_store(site: Site) -> None:
    browser = site.browser(XIA)
    local: MutableMapping[str, Any]
    with browser.session_transaction() as local:
        local["cart"] = "7"
    assert cart(browser) == "7"


def test_a_store_behind_flask_gets_nothing_from_a_view_that_only_reads(site: Site) -> None:
    before = site.snapshot()
    browser = site.browser(XIA)
    for path in ("/get/username", "/get/cart", "/untouched"):
        assert "Set-Cookie" not in browser.get(path).headers
    assert site.snapshot() == before
