"""System checks and commands."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.urls import include, path, re_path, reverse_lazy

from djsession import loads
from djsession.django.checks import check_settings
from tests.django.urls import urlpatterns
from tests.django.views import nothing
from tests.helpers.django_handlers import urlconf
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

OURS = "djsession.django.middleware.SessionMiddleware"
MOCKUPS = include("djsession.django.mockup.urls")
WITHOUT_MOCKUPS = [item for item in urlpatterns if getattr(item, "urlconf_module", 0) != MOCKUPS[0]]
QUIET: dict[str, Any] = {
    "DJSESSION": {"STAFF_ROLES": []},
    "ROOT_URLCONF": urlconf(WITHOUT_MOCKUPS),
}


def quiet(**overrides: Any) -> override_settings:
    """Return the settings of a project without findings, changed by ``overrides``."""
    ours = {**QUIET["DJSESSION"], **overrides.pop("DJSESSION", {})}
    return override_settings(**{**QUIET, "DJSESSION": ours, **overrides})


def ids(**overrides: Any) -> list[str]:
    with quiet(**overrides):
        messages = check_settings()
        assert all(message.hint and message.msg for message in messages)
        return [message.id for message in messages]


def test_the_checks_find_nothing_in_a_project_as_documented() -> None:
    assert ids() == []


def test_djangos_own_checks_find_nothing_in_a_project_as_documented() -> None:
    # Among them those of the admin, which look for middleware and context processors.
    with override_settings(DJSESSION={"MOCKUP_WITHOUT_DEBUG": True, "STAFF_ROLES": []}):
        assert run_checks() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("about", []),
        ("home", []),
        ("admin:index", ["djsession.W005"]),
        ("expression", ["djsession.W005"]),
        ("no-such", ["djsession.W007"]),
    ],
)
def test_a_check_reports_a_named_page_with_others_below_it(name: str, expected: list[str]) -> None:
    urls = urlconf(
        [
            *WITHOUT_MOCKUPS,
            re_path(r"^expression/$", nothing, name="expression"),
            re_path(r"^expression/(?P<slug>[a-z]+)/$", nothing),
        ]
    )
    entries = ["/open/", "static/", reverse_lazy(name)]
    assert (ids(ROOT_URLCONF=urls, DJSESSION={"ALLOWED_NO_SESSION": entries})) == expected


def test_a_check_names_an_entry_that_cannot_be_reversed() -> None:
    with quiet(DJSESSION={"ALLOWED_NO_SESSION": [reverse_lazy("no")]}):
        [message] = check_settings()
    assert "Reverse for 'no' not found" in message.msg
    # An error would stop manage.py.
    assert not message.is_serious()


@pytest.mark.parametrize(
    "urls",
    [
        [path("", MOCKUPS)],
        [path("deep/", include([path("er/", include((MOCKUPS[0], "mockup")))]))],
    ],
    ids=["at the top", "in a namespace"],
)
def test_a_check_reports_mockup_urls_where_debug_is_off(urls: list[Any]) -> None:
    included = urlconf([*WITHOUT_MOCKUPS, *urls])
    assert ids(ROOT_URLCONF=included) == ["djsession.W008"]
    assert ids(ROOT_URLCONF=included, DEBUG=True) == []
    assert ids(ROOT_URLCONF=included, DJSESSION={"MOCKUP_WITHOUT_DEBUG": True}) == []


def test_a_project_without_urls_can_be_checked() -> None:
    assert ids(ROOT_URLCONF=None) == []


def without_ours() -> list[str]:
    return [path for path in settings.MIDDLEWARE if path != OURS]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"DJAODJIN_SECRET_KEY": None}, ["djsession.E001"]),
        ({"DJAODJIN_SECRET_KEY": '"quoted"'}, ["djsession.E001"]),
        ({"DJSESSION": {"UNKNOWN": 1}}, ["djsession.E002"]),
        ({"DJAODJIN_SECRET_KEY": "short"}, ["djsession.W001"]),
        ({"DJAODJIN_SECRET_KEY": "a" * 40}, ["djsession.W001"]),
        ({"DJAODJIN_SECRET_KEY": [KEY, "short"]}, ["djsession.W001"]),
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.db"}, ["djsession.E006"]),
        ({"SESSION_ENGINE": "no.such"}, ["djsession.E006"]),
        ({"DJSESSION": {"LOCAL_SESSION_ENGINE": "no.such"}}, ["djsession.E007"]),
        ({"SESSION_COOKIE_NAME": "other"}, ["djsession.W002"]),
        (
            {"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]},
            ["djsession.E008"],
        ),
        (
            {"AUTHENTICATION_BACKENDS": "djsession.django.backends.auth.ProxyUserBackend"},
            ["djsession.E009"],
        ),
        (
            {"DJSESSION": {"MOCKUP": {"xia": XIA}, "MOCKUP_WITHOUT_DEBUG": True}},
            ["djsession.W003"],
        ),
        ({"DJSESSION": {"MOCKUP": {"xia": XIA}}}, ["djsession.W004"]),
        ({"DJSESSION": {"MOCKUP": {"xia": XIA}}, "DEBUG": True}, []),
        ({"DJSESSION": {"MOCKUP": "no-such.yaml"}, "DEBUG": True}, ["djsession.E011"]),
        ({"DJSESSION": {"MOCKUP": {"xia": {"roles": 1}}}, "DEBUG": True}, ["djsession.E011"]),
        ({"DJSESSION": {"MOCKUP": 5}}, ["djsession.E002"]),
        ({"DJSESSION": {"MOCKUP_HOSTS": "example.com"}}, ["djsession.E002"]),
        ({"DJSESSION": {"FORMATS": 5}}, ["djsession.E002"]),
        ({"DJSESSION": {"LOCAL_SESSION_ENGINE": ""}}, ["djsession.E007"]),
        ({"DJSESSION": {"LOCAL_SESSION_ENGINE": "..x"}}, ["djsession.E007"]),
        ({"DJSESSION": {"TRUSTED_PROXIES": ["10.0.0.0/33"]}}, ["djsession.E002"]),
        ({"DJSESSION": {"TRUSTED_PROXIES": ["10.0.0.7", "unix"]}}, []),
        ({"DJSESSION": {"MOCKUP_ALLOW_REMOTE": "yes"}}, ["djsession.E002"]),
        ({"DJSESSION": {"STAFF_ROLES": None}}, ["djsession.W010"]),
        ({"DJSESSION": {"STAFF_ROLES": None, "USER_SOURCE": "session"}}, []),
        ({"DJSESSION": {"STAFF_ROLES": ["manager"], "SUPERUSER_ROLES": ["owner"]}}, []),
        ({"DJSESSION": {"STAFF_ROLES": None, "SUPERUSER_ROLES": ["owner"]}}, ["djsession.E002"]),
        ({"DJSESSION": {"STAFF_ROLES": "manager"}}, ["djsession.E002"]),
        ({"DJSESSION": {"GROUPS": {"manager": ["Editors"]}}}, []),
        ({"DJSESSION": {"GROUPS": {"manager": "Editors"}}}, ["djsession.E002"]),
        ({"DJSESSION": {"GROUPS": ["manager"]}}, ["djsession.E002"]),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": [""]}}, ["djsession.E012"]),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": ["/open/", ""]}}, ["djsession.E012"]),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": ["https://cdn.example.com/", "//cdn/"]}}, []),
    ],
    ids=str,
)
def test_each_mistake_in_the_settings_has_a_check_id(
    overrides: dict[str, Any], expected: list[str]
) -> None:
    assert ids(**overrides) == expected


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ("/app/open/", "/open/"),
        ("/app/", "/"),
        ("/app", "/"),
        ("/apples/", None),
        ("/open/", None),
        (reverse_lazy("about"), None),
        ("https://cdn.example.com/app/", None),
    ],
    ids=str,
)
@pytest.mark.parametrize("mount_point", ["/app", "/app/"])
def test_a_check_reports_an_entry_that_starts_with_the_mount_point(
    mount_point: str, entry: Any, written: str | None
) -> None:
    with quiet(DJSESSION={"ALLOWED_NO_SESSION": [entry]}, FORCE_SCRIPT_NAME=mount_point):
        found = [(message.id, message.hint) for message in check_settings()]
    assert found == ([] if written is None else [("djsession.E013", f"Write {written}")])


XFF = "tests.django.no_such.XForwardedForMiddleware"


@pytest.mark.parametrize(
    ("overrides", "allow_ips", "expected"),
    [
        ({}, "*", ["djsession.W006"]),
        ({}, "127.0.0.1", []),
        ({}, None, []),
        ({"MIDDLEWARE": [*settings.MIDDLEWARE, XFF]}, None, ["djsession.W006"]),
        ({"MIDDLEWARE": ["whitenoise.ProxyFix", *settings.MIDDLEWARE]}, None, ["djsession.W006"]),
        ({"MIDDLEWARE": ["a.RealIPMiddleware", *settings.MIDDLEWARE]}, "*", ["djsession.W006"] * 2),
        ({"DJSESSION": {}}, "*", []),
        ({"DJSESSION": {}, "MIDDLEWARE": [*settings.MIDDLEWARE, XFF]}, None, []),
    ],
)
def test_a_check_reports_what_replaces_the_address_of_the_peer(
    overrides: dict[str, Any],
    allow_ips: str | None,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if allow_ips is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", allow_ips)
    assert ids(**{"DJSESSION": {"TRUSTED_PROXIES": ["10.0.0.7"]}, **overrides}) == expected


def test_a_check_reports_middleware_that_is_missing_or_misplaced() -> None:
    django = "django.contrib.sessions.middleware.SessionMiddleware"
    assert ids(MIDDLEWARE=without_ours()) == ["djsession.E003"]
    assert ids(MIDDLEWARE=[django, *without_ours()]) == ["djsession.E003", "djsession.E004"]
    assert ids(MIDDLEWARE=[*settings.MIDDLEWARE, django]) == ["djsession.E004"]
    assert ids(MIDDLEWARE=[*without_ours(), OURS]) == ["djsession.E005", "djsession.E005"]
    cache = "django.middleware.cache.FetchFromCacheMiddleware"
    assert ids(MIDDLEWARE=[cache, *settings.MIDDLEWARE]) == ["djsession.E005"]
    assert ids(MIDDLEWARE=[*settings.MIDDLEWARE, cache, "no.such.Middleware"]) == []


def test_no_check_shows_a_key() -> None:
    with override_settings(DJAODJIN_SECRET_KEY='"Zs3cret"', DJSESSION={}):
        assert "Zs3cret" not in str([(item.msg, item.hint) for item in check_settings()])


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_commands_encrypt_and_decrypt_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = command("encrypt_session", json.dumps(XIA)).strip()
    assert loads(token, KEY) == XIA
    assert json.loads(command("decrypt_session", token)) == XIA
    assert json.loads(command("decrypt_session", f'Cookie: a=b; sessionid="{token}"')) == XIA
    file = tmp_path / "session.json"
    file.write_text(json.dumps(XIA))
    signed = command("encrypt_session", str(file), "--format", "jwt").strip()
    assert loads(signed, KEY).username == "xia"
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(XIA)))
    monkeypatch.setattr("sys.stdin", io.StringIO(command("encrypt_session")))
    assert json.loads(command("decrypt_session")) == XIA


def test_the_commands_of_django_fail_with_one_line() -> None:
    token = command("encrypt_session", "{}").strip()
    with (
        override_settings(DJAODJIN_SECRET_KEY=OTHER_KEY),
        pytest.raises(CommandError, match="DJAODJIN_SECRET_KEY differs from the key at the proxy"),
    ):
        command("decrypt_session", token)
    for arguments, message in (
        (["encrypt_session", "{not json"], "not JSON"),
        (["encrypt_session", "/no/such/file"], "No such file"),
        (["decrypt_session", ""], "no token"),
    ):
        with pytest.raises(CommandError, match=message):
            command(*arguments)
    with (
        override_settings(DJAODJIN_SECRET_KEY=None),
        pytest.raises(CommandError, match="no secret key"),
    ):
        command("encrypt_session", "{}")
