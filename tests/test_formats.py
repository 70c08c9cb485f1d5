"""The setting ``formats``: which formats of tokens an application accepts."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

pytest.importorskip("flask")
pytest.importorskip("pyramid")

from flask import Flask
from pyramid.config import Configurator

from djsession import ConfigurationError, SessionCodec, Settings, dumps
from djsession.codec import token_format
from djsession.commands import examine
from djsession.errors import RefusedFormat
from djsession.flask import DjSession
from djsession.mockup import MockupApp
from djsession.pyramid import settings_of
from djsession.testing import log_in
from tests.helpers.django_clients import as_user
from tests.helpers.gates import ask, make_gate, request
from tests.helpers.sessions import KEY, XIA

TOKENS: dict[Any, str] = {"openssl": dumps(XIA, KEY), "jwt": dumps(XIA, KEY, "jwt")}


@pytest.mark.parametrize(("accepted", "refused"), [("openssl", "jwt"), ("jwt", "openssl")])
def test_a_token_of_another_format_is_refused_wherever_it_comes_from(
    accepted: str, refused: str
) -> None:
    codec = SessionCodec(KEY, formats=[accepted])
    assert codec.loads(TOKENS[accepted]).username == "xia"
    with pytest.raises(RefusedFormat):
        codec.loads(TOKENS[refused])
    gate = make_gate(formats=[accepted])
    session = ask(gate, request(token=TOKENS[accepted]))
    assert session is not None
    assert session.username == "xia"
    assert ask(gate, request(token=TOKENS[refused])) is None
    assert ask(gate, request(bearer=TOKENS[refused])) is None
    # The header is for a jwt.
    assert (ask(gate, request(bearer=TOKENS[accepted])) is None) == (accepted == "openssl")


def test_an_old_cookie_does_not_count_beside_the_header_of_the_jwt_backend() -> None:
    """The proxy passes the browser's own cookies through with that backend."""
    overheard = dumps({"username": "alice"}, KEY)
    opaque = "abcdefghijklmnopqrstuvwxyz012345"
    cookie = f"sessionid={opaque}; sessionid={overheard}"
    head = request(cookie=cookie, bearer=TOKENS["jwt"])
    session = ask(make_gate(formats=["jwt"]), head)
    assert session is not None
    assert session.username == "xia"
    # Without the setting they are two different sessions, and nobody is signed in.
    assert ask(make_gate(), head) is None
    # Once the user has signed out, the setting is what refuses the cookie where there is no header.
    assert ask(make_gate(formats=["jwt"]), request(cookie=cookie)) is None


@pytest.mark.parametrize("formats", ["jwt", [], ["jwt", "jwe"], [""]])
def test_a_wrong_value_of_formats_is_an_error(formats: Any) -> None:
    with pytest.raises(ConfigurationError, match="formats: must be a list"):
        Settings(KEY, formats=formats)


def test_every_framework_has_the_setting_formats(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_djangos_test_client_writes_a_format_that_is_accepted() -> None:
    with override_settings(DJSESSION={"FORMATS": ["jwt"], "MOCKUP_WITHOUT_DEBUG": True}):
        client = Client()
        client.force_login(get_user_model().objects.create(username="xia"))
        assert client.get("/whoami").json()["user"] == "xia"


def test_a_mockup_login_writes_a_format_that_is_accepted() -> None:
    app = MockupApp(sessions={"xia": XIA}, secret_key=KEY, formats=["jwt"])
    codec = app.gate.codec
    token = codec.dumps(XIA, app.gate.settings.format)
    assert token_format(token) == "jwt"
    assert codec.loads(token).username == "xia"


def test_the_doctor_reports_a_token_of_an_excluded_format() -> None:
    report = examine(TOKENS["openssl"], Settings(KEY, formats=["jwt"]))
    assert not report.decodes
    assert "format-refused" in [finding.id for finding in report.findings]
