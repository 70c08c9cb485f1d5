"""The pages in Flask, with its signed cookie as the local session."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import flask
from flask import Flask, Response, abort, request

from djsession.flask import DjSession, current_session, current_user
from tests.caching.pages import ENTRIES, answer

application = Flask(__name__)
application.config["SECRET_KEY"] = "a secret of the tests"
application.config["DJSESSION_ALLOWED_NO_SESSION"] = ENTRIES
DjSession(application)


class FlaskVisit:
    def __init__(self) -> None:
        self.path = request.path
        self.query_string = request.query_string.decode()
        self.if_none_match = request.headers.get("If-None-Match")

    @property
    def local(self) -> MutableMapping[str, Any]:
        return flask.session

    def session(self) -> str | None:
        return current_session.username

    def merged_session(self) -> str | None:
        username: str | None = flask.session.get("username")
        return username

    def user(self) -> str | None:
        return current_user.username

    def remote_user(self) -> str | None:
        return request.remote_user


@application.get("/<page>")
@application.get("/open/<page>")
def show(page: str) -> Response:
    if page == "keep":
        # From now on Flask sends the cookie again with every response.
        flask.session.permanent = True
        flask.session["kept"] = "yes"
        return Response("kept")
    status, headers, body = answer(FlaskVisit())
    if "raise" in request.args:
        abort(Response(body, status, headers) if status == 302 else status)
    return Response(body, status, headers, mimetype="text/plain")
