"""The setting ``formats``: a site with one backend of the proxy need not take the other's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from flask import Flask
from pyramid.config import Configurator

from djsession import ConfigurationError, Gate, SessionCodec, Settings, dumps
from djsession.cli import examine
from djsession.codec import token_format
from djsession.errors import AccessDenied, RefusedFormat
from djsession.flask import DjSession
from djsession.mockup import MockupApp
from djsession.pyramid import settings_of
from djsession.testing import log_in

from .conftest import KEY, XIA
from .django.conftest import as_user

TOKENS: dict[Any, str] = {"openssl": dumps(XIA, KEY), "jwt": dumps(XIA, KEY, "jwt")}


@pytest.mark.parametrize(("taken", "refused"), [("openssl", "jwt"), ("jwt", "openssl")])
def test_a_token_of_another_format_is_refused_wherever_it_is_from(taken: str, refused: str) -> None:
    codec = SessionCodec(KEY, formats=[taken])
    assert codec.loads(TOKENS[taken]) == codec.loads(TOKENS[taken])
    with pytest.raises(RefusedFormat):
        codec.loads(TOKENS[refused])
    gate = Gate(Settings(KEY, formats=[taken]))
    for header in ("HTTP_COOKIE", "HTTP_AUTHORIZATION"):
        before = "sessionid=" if header == "HTTP_COOKIE" else "Bearer "
        assert gate.open({header: before + TOKENS[taken]}).username == "xia"
        with pytest.raises(AccessDenied):
            gate.open({header: before + TOKENS[refused]})


def test_an_old_cookie_does_not_win_over_the_header_of_the_jwt_backend() -> None:
    """The proxy passes the browser's own cookies through with that backend."""
    overheard = dumps({"username": "alice"}, KEY)
    environ = {
        "HTTP_COOKIE": f"sessionid=abcdefghijklmnopqrstuvwxyz012345; sessionid={overheard}",
        "HTTP_AUTHORIZATION": f"Bearer {TOKENS['jwt']}",
    }
    assert Gate(Settings(KEY)).open(dict(environ)).username == "alice"  # why there is the setting
    assert Gate(Settings(KEY, formats=["jwt"])).open(dict(environ)).username == "xia"


def test_a_gate_further_in_that_takes_less_looks_again() -> None:
    environ = {"HTTP_COOKIE": f"sessionid={TOKENS['openssl']}"}
    Gate(Settings(KEY)).open(environ)
    with pytest.raises(AccessDenied):
        Gate(Settings(KEY, formats=["jwt"])).open(environ)


@pytest.mark.parametrize("formats", ["jwt", [], ["jwt", "jwe"], [""]])
def test_a_wrong_value_is_a_mistake(formats: Any) -> None:
    with pytest.raises(ConfigurationError, match="formats must be a list"):
        Settings(KEY, formats=formats)


def test_every_framework_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Configurator(settings={"djsession.secret_key": KEY, "djsession.formats": "jwt"})
    config.include("djsession.pyramid")
    config.make_wsgi_app()
    assert settings_of(config.registry).formats == ("jwt",)
    app = Flask(__name__)
    app.config.update(SECRET_KEY="s", DJAODJIN_SECRET_KEY=KEY, DJSESSION_FORMATS=["jwt"])
    DjSession(app)
    app.add_url_rule("/", view_func=lambda: "in")
    assert log_in(app.test_client(), XIA).get("/").text == "in"
    with override_settings(DJSESSION={"FORMATS": ["jwt"], "MOCKUP_WITHOUT_DEBUG": True}):
        assert as_user(Client()).get("/").status_code == 403
        assert log_in(Client(), XIA).get("/").status_code == 200
    monkeypatch.setenv("DJSESSION_FORMATS", "jwt, openssl")
    assert Settings.from_environ(secret_key=KEY).formats == ("jwt", "openssl")
    assert Settings.from_environ(secret_key=KEY).format == "jwt"


@pytest.mark.django_db
def test_djangos_test_client_writes_what_is_taken() -> None:
    with override_settings(DJSESSION={"FORMATS": ["jwt"], "MOCKUP_WITHOUT_DEBUG": True}):
        client = Client()
        client.force_login(get_user_model().objects.create(username="xia"))
        assert client.get("/whoami").json()["user"] == "xia"


def test_a_mockup_login_writes_what_is_taken() -> None:
    app = MockupApp(sessions={"xia": XIA}, secret_key=KEY, formats=["jwt"])
    codec = app.gate.codec
    token = codec.dumps(XIA, app.gate.settings.format)
    assert token_format(token) == "jwt"
    assert codec.loads(token).username == "xia"


def test_the_doctor_says_so() -> None:
    report = examine(TOKENS["openssl"], (KEY,), formats=("jwt",))
    assert not report.decodes
    [finding] = report.findings
    assert finding.id == "format-refused"
    assert "openssl, which the setting formats leaves out" in finding.sentence
