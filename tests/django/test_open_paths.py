"""ALLOWED_NO_SESSION: which paths are open, wherever the application is mounted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.test import Client, override_settings
from django.urls import get_script_prefix, include, path, reverse_lazy
from django.utils import translation
from django.utils.functional import lazy, lazystr
from django.utils.translation import gettext_lazy

from djsession.django import conf
from djsession.django.conf import get_gate, get_settings
from tests.django.urls import urlpatterns
from tests.django.views import nothing
from tests.helpers.django_clients import cookie
from tests.helpers.django_handlers import by_asgi, by_wsgi, urlconf
from tests.helpers.wsgi import Answer

Send = Callable[..., Answer]

pytestmark = pytest.mark.usefixtures("db")


def opening(*entries: Any, **more: Any) -> Any:
    return override_settings(DJSESSION={"ALLOWED_NO_SESSION": list(entries)}, **more)


@pytest.fixture(params=[by_wsgi, by_asgi], ids=["WSGI", "ASGI"])
def send(request: pytest.FixtureRequest) -> Send:
    function: Send = request.param
    return function


MOUNT_POINTS = ["", "/mounted", "/open", "/open/x", "/about", "/static/a", "/a b", "/é"]


@pytest.mark.parametrize("script_name", MOUNT_POINTS)
def test_the_script_prefix_opens_and_closes_nothing(send: Send, script_name: str) -> None:
    for target in ("/about/", "/open/nothing"):
        assert send(target, script_name=script_name).code == 200
    assert send("/static/x", script_name=script_name).code == 404
    # These views do not query the database: under ASGI, rows would outlive the test.
    for target in ("/app/", "/"):
        assert send(target, script_name=script_name).code == 403
        assert send(target, script_name=script_name, HTTP_COOKIE=cookie()).code == 200
    assert send("/openly", script_name=script_name).code == 403


@pytest.mark.parametrize("script_name", ["/%41", "/a/..", "/a//b", "/a\\b", "/a\x01"])
def test_a_mount_point_of_any_name_is_not_an_error(send: Send, script_name: str) -> None:
    assert send("/about/", script_name=script_name).code == 200
    assert send("/whoami", script_name=script_name).code == 403
    assert send("/about/", script_name=script_name, HTTP_COOKIE=cookie()).code == 200


def test_an_entry_for_the_home_page_of_django_opens_only_that(send: Send) -> None:
    with opening(reverse_lazy("home")):
        for script_name in ("", "/mounted"):
            assert send("/", script_name=script_name).code == 200
            assert send("/whoami", script_name=script_name).code == 403


@pytest.mark.parametrize("value", ["/open", "/open/x", "/static", ""])
def test_a_script_name_header_closes_every_path(send: Send, value: str) -> None:
    # gunicorn takes the mount point from this header, and sets SCRIPT_NAME.
    for script_name in ("", value):
        for target in ("/whoami", "/open/nothing", "/about/"):
            reply = send(target, script_name=script_name, HTTP_SCRIPT_NAME=value)
            assert reply.code == 403
    assert send("/", HTTP_SCRIPT_NAME=value, HTTP_COOKIE=cookie()).code == 200


def test_one_gate_serves_every_script_prefix(send: Send) -> None:
    gate = get_gate()
    for number in range(5):
        assert send("/about/", script_name=f"/mount-{number}").code == 200
    assert get_gate() is gate
    assert get_gate.cache_info().currsize == 1


def test_a_lazy_entry_is_reversed_once(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    evaluated: list[None] = []

    def evaluate() -> str:
        evaluated.append(None)
        return "/about/"

    with opening(lazy(evaluate, str)()):
        for script_name in ("", "/one", "/two"):
            assert send("/about/", script_name=script_name).code == 200
    assert len(evaluated) == 1


def test_the_login_and_static_urls_of_a_mounted_project_are_open(send: Send) -> None:
    """With FORCE_SCRIPT_NAME, Django adds it to relative URLs when a template asks for them."""
    with override_settings(FORCE_SCRIPT_NAME="/mounted"):
        with opening("static/", reverse_lazy("about")):
            assert send("/about/", script_name="/mounted").code == 200
            assert send("/static/x", script_name="/mounted").code == 404
            assert get_settings().open_entries() == ["/static/", "/about/"]
        with opening("/mounted/open/"):
            assert send("/open/nothing", script_name="/mounted").code == 403


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ("https://cdn.example.com/static/", "/static/x"),
        ("http://cdn.example.com/", "/"),
        ("//cdn.example.com/whoami", "/whoami"),
        (lazystr("https://cdn.example.com/whoami"), "/whoami"),
        (lazystr("//cdn.example.com/whoami"), "/whoami"),
        ("", "/"),
        ("", "/whoami"),
        (lazystr(""), "/"),
        (reverse_lazy("no-such"), "/no-such"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "lazy",
)
def test_an_entry_that_is_not_a_path_of_the_project_opens_nothing(entry: Any, target: str) -> None:
    with opening(entry, "/about/"):
        assert Client().get(target).status_code == 403
        assert Client().get("/about/").status_code == 200


def test_a_lazy_entry_is_compared_unquoted(send: Send) -> None:
    urls = urlconf([path("日本 x/", nothing, name="japan"), path("", nothing)])
    with opening(reverse_lazy("japan"), ROOT_URLCONF=urls):
        assert send("/日本 x/").code == 200
        assert send("/").code == 403


def test_an_entry_that_cannot_be_reversed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with opening(reverse_lazy("no-such")), caplog.at_level(logging.WARNING, "djsession"):
        Client().get("/about/")
    [message] = [record.getMessage() for record in caplog.records if "opens nothing" in record.msg]
    assert "'no-such' not found" in message


TRANSLATED = urlconf(
    [
        *urlpatterns,
        *i18n_patterns(path("terms/", nothing, name="terms"), prefix_default_language=False),
        # Django's own catalogs translate this word.
        path(gettext_lazy("Home"), nothing, name="translated"),
    ]
)


@pytest.fixture
def _translated() -> Iterator[None]:
    languages = [("en", "English"), ("fr", "French"), ("de", "German")]
    with override_settings(ROOT_URLCONF=TRANSLATED, LANGUAGES=languages):
        yield


@pytest.mark.usefixtures("_translated")
def test_a_lazy_entry_is_open_in_every_language() -> None:
    with opening(reverse_lazy("terms"), reverse_lazy("translated")):
        assert get_settings().open_entries() == [
            *("/terms/", "/en/terms/", "/fr/terms/", "/de/terms/"),
            *("/Home", "/Accueil", "/Start"),
        ]
        for target in ("/es/terms/", "/fr/whoami", "/whoami"):
            assert Client().get(target).status_code == 403
        locale = "django.middleware.locale.LocaleMiddleware"
        with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, locale]):
            for target in ("/terms/", "/fr/terms/", "/de/terms/"):
                assert Client().get(target).status_code == 200


@pytest.mark.usefixtures("_translated")
def test_without_translations_lazy_entries_are_reversed_in_one_language() -> None:
    with opening(reverse_lazy("terms"), USE_I18N=False):
        assert get_settings().open_entries() == ["/terms/"]


def test_languages_are_loaded_only_for_urls_that_differ_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    activate = translation.activate

    def spy(code: str) -> None:
        loaded.append(code)
        activate(code)

    monkeypatch.setattr("django.utils.translation.activate", spy)
    with opening(reverse_lazy("about")):
        assert get_settings().open_entries() == ["/about/"]
    assert loaded == []
    inner = include([path(gettext_lazy("Home"), nothing, name="translated")])
    nested = urlconf([path("a/", inner)])
    with opening(reverse_lazy("translated"), ROOT_URLCONF=nested, LANGUAGES=[("fr", "French")]):
        assert get_settings().open_entries() == ["/a/Home", "/a/Accueil"]
    assert "fr" in loaded


def test_reversing_entries_restores_the_script_prefix_and_the_language() -> None:
    with translation.override("fr"), conf.at_script_prefix("/mounted/"):
        with opening(reverse_lazy("about")):
            assert get_settings().open_entries() == ["/about/"]
        assert get_script_prefix() == "/mounted/"
        assert translation.get_language() == "fr"
