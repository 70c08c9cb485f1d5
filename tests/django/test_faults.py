"""A database that is down, and two users at once in one browser."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.sessions.models import Session as Row
from django.db import connections
from django.test import Client, override_settings

from djsession import dumps
from tests.helpers.django_clients import as_user, read, store
from tests.helpers.servers import Serve, free_port, http
from tests.helpers.sessions import KEY, XIA


def test_a_view_that_never_touches_the_user_answers_while_the_database_is_down(
    serve: Serve,
) -> None:
    pytest.importorskip("psycopg")
    nobody = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    port = serve(
        "-m",
        "gunicorn",
        "-b",
        "127.0.0.1:{port}",
        "tests.django.wsgi:application",
        DJSESSION_TEST_DATABASE_URL=nobody,
    )
    cookie = {"Cookie": f'sessionid="{dumps(XIA, KEY)}"'}
    status, _, body = http(port, "/", **cookie)
    assert (status, body) == (200, b"nothing")
    status, _, body = http(port, "/app/", **cookie)  # roles and plans
    assert status == 200
    assert b'"managed_accounts": ["xia"]' in body
    assert http(port, "/")[0] == 403
    assert http(port, "/whoami", **cookie)[0] == 500


@pytest.mark.django_db(transaction=True)
def test_two_users_of_one_browser_at_once_never_see_the_others_session() -> None:
    """Two tabs share a cookie jar, and the user changes in between. Local sessions are rows."""
    settings = {"LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.db"}
    failures: list[Any] = []
    browser = Client()
    lock = threading.Lock()
    barrier = threading.Barrier(2)

    def run(name: str) -> None:
        try:
            for number in range(15):
                barrier.wait(30)
                tab = as_user(Client(), {**XIA, "username": name})
                with lock:
                    if "djsession_local" in browser.cookies:
                        value = browser.cookies["djsession_local"].value
                        tab.cookies["djsession_local"] = value
                found = read(tab, "of")
                if found not in (None, name):
                    failures.append((name, number, found))
                store(tab, "of", name)
                with lock:
                    browser.cookies["djsession_local"] = tab.cookies["djsession_local"].value
        except BaseException as error:
            failures.append(error)
            barrier.abort()
        finally:
            connections.close_all()

    with override_settings(DJSESSION=settings):
        threads = [threading.Thread(target=run, args=(name,)) for name in ("xia", "alice")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        owners = {row.get_decoded()["_djsession_user"] for row in Row.objects.all()}
        assert owners == {"xia", "alice"}
