"""A server-side store behind ``request.session``: whose data a request reads, writes and erases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pyramid")

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound
from pyramid.interfaces import ISession
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW
from zope.interface import implementer
from zope.interface.verify import verifyObject

from djsession import dumps
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


class Store:
    """A session factory that keeps sessions in this process, by an id in a cookie.

    It takes over any id that a browser sends. It counts what it does with the store.
    """

    #: Whether it renews a session that was read, as pyramid_session_redis does: it stores again
    #: what it read when the request has finished, and sends the cookie again.
    renews = False

    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}
        self.reads: list[str] = []
        self.writes: list[str] = []

    def __call__(self, request: Request) -> StoredSession:
        session = StoredSession(self, request)
        if self.renews:
            request.add_response_callback(lambda _, answer: answer.set_cookie("local", session.id))
            request.add_finished_callback(lambda _: session.changed())
        return session


@implementer(ISession)
class StoredSession(dict[str, Any]):
    def __init__(self, store: Store, request: Request) -> None:
        self.id = request.cookies.get("local") or secrets.token_hex()
        self.store, self.request = store, request
        self.new = self.id not in store.data
        self.created = int(time.time())
        store.reads.append(self.id)
        super().__init__(store.data.get(self.id, {}))

    def changed(self) -> None:
        self.store.writes.append(self.id)
        if self:
            self.store.data[self.id] = dict(self)
        else:
            self.store.data.pop(self.id, None)

        def set_cookie(request: Request, response: Response) -> None:
            response.set_cookie("local", self.id)

        self.request.add_response_callback(set_cookie)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.changed()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed()

    def clear(self) -> None:
        super().clear()
        self.changed()

    invalidate = clear

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        self["flash"] = [*self.get("flash", []), msg]

    def pop_flash(self, queue: str = "") -> Any:
        return self.pop("flash", [])

    def peek_flash(self, queue: str = "") -> Any:
        return self.get("flash", [])

    def new_csrf_token(self) -> str:
        self["csrf"] = secrets.token_hex()
        return str(self["csrf"])

    def get_csrf_token(self) -> str:
        return str(self.get("csrf") or self.new_csrf_token())


class Site:
    """An application with a store, and requests to it."""

    def __init__(self, configure: Callable[[Configurator], None] | None = None) -> None:
        self.store = Store()
        config = Configurator(
            settings={
                "djsession.secret_key": KEY,
                "djsession.allowed_no_session": "/open",
            }
        )
        config.include("djsession.pyramid")
        config.add_djsession(local_session_factory=self.store)
        views: dict[str, Callable[[Request], Any]] = {
            "get": lambda request: request.session.get(request.params["key"]),
            "set": lambda request: request.session.update(cart=request.params["value"]),
            "clear": lambda request: request.session.clear(),
            "invalidate": lambda request: request.session.invalidate(),
            "flash": lambda request: request.session.flash("hello"),
            "pop": lambda request: request.session.pop_flash(),
            "csrf": lambda request: request.session.get_csrf_token(),
            "new-csrf": lambda request: request.session.new_csrf_token(),
            "untouched": lambda request: None,
        }
        for name, view in views.items():
            for prefix in ("", "open/"):
                config.add_route(prefix + name, f"/{prefix}{name}")
                config.add_view(json_view(view), route_name=prefix + name)
        if configure is not None:
            configure(config)
        self.app = config.make_wsgi_app()

    def get(
        self,
        path: str,
        session: dict[str, Any] | None = None,
        id: str | None = None,
        **headers: str,
    ) -> Any:
        """Return the response to a request with a session, and with an id of a local session."""
        cookies = [headers.pop("Cookie", "")]
        if session is not None:
            cookies.append(f"sessionid={dumps(session, KEY)}")
        if id is not None:
            cookies.append(f"local={id}")
        headers["Cookie"] = "; ".join(filter(None, cookies))
        return Request.blank(path, headers=headers).get_response(self.app)

    def id_with_cart(self, session: dict[str, Any] | None, cart: str) -> str:
        """Return the id of a new local session in which somebody's cart is stored."""
        return new_id(self.get(f"/open/set?value={cart}", session))

    def cart(self, session: dict[str, Any] | None, id: str) -> Any:
        return self.get("/open/get?key=cart", session, id).json

    def snapshot(self) -> Any:
        """Everything in the store, and what was ever written to it."""
        return {id: dict(data) for id, data in self.store.data.items()}, list(self.store.writes)


def looking_tween_factory(handler: Any, registry: Any) -> Any:
    """A tween that looks into the session before the gate has decided."""

    def tween(request: Request) -> Any:
        request.session.get("cart")
        return handler(request)

    return tween


def json_view(view: Callable[[Request], Any]) -> Callable[[Request], Response]:
    return lambda request: Response(json=view(request))


def new_id(response: Any) -> str:
    name, _, value = response.headers["Set-Cookie"].partition(";")[0].partition("=")
    assert name == "local"
    return str(value)


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_store_of_these_tests_is_a_session_factory_of_pyramid() -> None:
    assert verifyObject(ISession, StoredSession(Store(), Request.blank("/")))


class TestPyramidStoreOfAnotherUser:
    @pytest.mark.parametrize(
        "path",
        ["/get?key=cart", "/set?value=8", "/clear", "/invalidate", "/flash", "/pop", "/csrf"]
        + ["/untouched", "/nowhere"],
    )
    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    def test_a_refused_request_leaves_stored_data_alone(
        self, path: str, headers: dict[str, str], site: Site
    ) -> None:
        id = site.id_with_cart(XIA, "7")
        before = site.snapshot()
        response = site.get(path, None, id, **headers)
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
        assert site.snapshot() == before
        assert site.cart(XIA, id) == "7"

    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    def test_a_visitor_leaves_stored_data_alone(self, headers: dict[str, str], site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        before = site.snapshot()
        for path in ("/open/untouched", "/open/get?key=cart", "/open/nowhere"):
            response = site.get(path, None, id, **headers)
            assert response.status_code in (200, 404)
            assert "7" not in response.text
            assert "Set-Cookie" not in response.headers
            assert site.snapshot() == before
        for path in ("/open/set?value=8", "/open/clear", "/open/invalidate", "/open/flash"):
            response = site.get(path, None, id, **headers)
            assert response.status_code == 200
            assert id not in response.headers["Set-Cookie"]
        assert site.cart(XIA, id) == "7"

    def test_another_user_of_the_browser_gets_a_new_session(self, site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        assert site.cart(DANA, id) is None
        for path in ("/clear", "/invalidate", "/pop"):
            assert site.get(path, DANA, id).status_code == 200
        danas = new_id(site.get("/set?value=8", DANA, id))
        assert danas != id
        assert site.cart(DANA, danas) == "8"
        # The first user's data is there when she comes back with her cookie.
        assert site.cart(XIA, id) == "7"
        assert site.cart(XIA, danas) is None

    @pytest.mark.parametrize("other", [DANA, {}, None], ids=["dana", "visitor", "nobody"])
    def test_a_store_renews_a_session_for_its_owner_only(
        self, other: dict[str, Any] | None, site: Site
    ) -> None:
        site.store.renews = True
        id = site.id_with_cart(XIA, "7")
        site.store.writes.clear()
        response = site.get("/open/get?key=cart", other, id)
        assert response.json is None
        assert id not in str(response.headers.getall("Set-Cookie"))
        assert id not in site.store.writes
        assert site.cart(XIA, id) == "7"
        assert id in site.store.writes

    @pytest.mark.parametrize("path", ["/set?value=7", "/flash", "/csrf", "/new-csrf"])
    def test_whatever_is_written_first_belongs_to_the_user(self, path: str, site: Site) -> None:
        id = new_id(site.get(path, XIA))
        before = dict(site.store.data[id])
        for other in (DANA, {}, None):
            for reading in ("/open/get?key=cart", "/open/pop", "/open/csrf"):
                response = site.get(reading, other, id)
                assert response.status_code == 200
                assert id not in response.headers.get("Set-Cookie", "")
                assert not {str(value) for value in before.values()} & {str(response.json)}
        assert site.store.data[id] == before
        assert new_id(site.get("/flash", XIA, id)) == id


class TestPyramidStoreWithPlantedIds:
    """An attacker knows the id of a session and puts it into somebody's browser."""

    @pytest.mark.parametrize("owner", [None, {}, DANA], ids=["nobody", "visitor", "dana"])
    @pytest.mark.parametrize("path", ["/set?value=7", "/flash", "/csrf"])
    def test_the_id_of_a_stored_session_is_not_taken_over(
        self, path: str, owner: dict[str, Any] | None, site: Site
    ) -> None:
        planted = site.id_with_cart(owner, "9")
        before = dict(site.store.data[planted])
        assert site.cart(XIA, planted) is None
        assert new_id(site.get(path, XIA, planted)) != planted
        assert site.store.data[planted] == before
        assert site.cart(owner, planted) == "9"

    @pytest.mark.parametrize(
        "owner", [None, {}, DANA, XIA], ids=["nobody", "visitor", "dana", "xia"]
    )
    @pytest.mark.parametrize("path", ["/open/set?value=7", "/open/flash", "/open/csrf"])
    def test_an_id_unknown_to_the_store_is_not_taken_over(
        self, path: str, owner: dict[str, Any] | None, site: Site
    ) -> None:
        assert new_id(site.get(path, owner, "made-up")) != "made-up"
        assert "made-up" not in site.store.data

    def test_a_visitor_who_signs_in_gets_a_new_id(self, site: Site) -> None:
        visited = site.id_with_cart(None, "9")
        assert site.cart(None, visited) == "9"
        assert site.cart(XIA, visited) is None
        id = new_id(site.get("/set?value=7", XIA, visited))
        assert id != visited
        assert site.cart(None, visited) == "9"
        # And signing out gives neither back.
        assert site.cart(None, id) is None

    def test_a_user_keeps_the_id(self, site: Site) -> None:
        id = site.id_with_cart(XIA, "7")
        again = {**XIA, "last_visited": "2026-01-01T00:00:00Z"}
        assert new_id(site.get("/flash", again, id)) == id
        assert site.cart(XIA, id) == "7"


class TestPyramidStoreAtARefusal:
    """The application renders its own 403, and uses ``request.session`` for it."""

    @pytest.mark.parametrize("headers", WITHOUT_SESSION.values(), ids=WITHOUT_SESSION)
    @pytest.mark.parametrize("path", ["/get?key=cart", "/nowhere"])
    def test_nothing_is_read_and_nothing_is_written(
        self, path: str, headers: dict[str, str]
    ) -> None:
        seen: list[Any] = []

        def forbidden(request: Request) -> Response:
            session = request.session
            seen.append((session.get("cart"), session.peek_flash(), len(session)))
            session.flash("you must sign in")
            session["next"] = path
            session.changed()
            assert session.get_csrf_token()
            assert session.new_csrf_token()
            # What it writes is there as long as it renders the page.
            assert (session["next"], session.pop_flash()) == (path, ["you must sign in"])
            session.invalidate()
            return Response("our own page", 403)

        site = Site(lambda config: config.add_forbidden_view(forbidden))
        ids = [site.id_with_cart(owner, "7") for owner in (XIA, {}, None)]
        before, reads = site.snapshot(), list(site.store.reads)
        for local in (*ids, "made-up", None):
            response = site.get(path, None, local, **headers)
            assert (response.status_code, response.text) == (403, "our own page")
            assert "Set-Cookie" not in response.headers
            assert response.headers["Cache-Control"] == "no-store"
        assert seen == [(None, [], 0)] * 5
        assert site.snapshot() == before
        assert site.store.reads == reads

    def test_nothing_is_written_after_a_tween_has_looked(self) -> None:
        def forbidden(request: Request) -> Response:
            request.session["cart"] = "8"
            return Response("", 403)

        def configure(config: Configurator) -> None:
            config.add_tween("tests.test_pyramid_store.looking_tween_factory", over=EXCVIEW)
            config.add_forbidden_view(forbidden)

        site = Site(configure)
        for local in (site.id_with_cart(None, "7"), None):
            before = site.snapshot()
            response = site.get("/get?key=cart", None, local)
            assert response.status_code == 403
            assert "Set-Cookie" not in response.headers
            assert site.snapshot() == before

    def test_a_view_that_refuses_writes_as_usual(self) -> None:
        def forbidden(request: Request) -> Response:
            request.session["cart"] = "refused"
            return Response("", 403)

        def refusing(request: Request) -> Response:
            raise HTTPForbidden

        def configure(config: Configurator) -> None:
            config.add_forbidden_view(forbidden)
            config.add_route("refusing", "/refusing")
            config.add_view(refusing, route_name="refusing")

        site = Site(configure)
        response = site.get("/refusing", XIA)
        assert response.status_code == 403
        assert site.cart(XIA, new_id(response)) == "refused"

    def test_an_exception_view_writes_as_usual(self) -> None:
        def not_found(request: Request) -> Response:
            request.session["cart"] = "not found"
            return Response("", 404)

        def raising(request: Request) -> Response:
            raise HTTPNotFound

        def configure(config: Configurator) -> None:
            config.add_notfound_view(not_found)
            config.add_route("raising", "/open/raising")
            config.add_view(raising, route_name="raising")

        site = Site(configure)
        for session in (XIA, None):
            for path in ("/open/raising", "/open/nowhere"):
                response = site.get(path, session)
                assert response.status_code == 404
                assert response.headers["Cache-Control"] == "private"
                assert site.cart(session, new_id(response)) == "not found"


def test_the_store_is_not_read_for_a_view_that_reads_what_the_proxy_sent(site: Site) -> None:
    for path in ("/get?key=username", "/untouched"):
        response = site.get(path, XIA, "made-up")
        assert "Set-Cookie" not in response.headers
    assert site.store.reads == []
