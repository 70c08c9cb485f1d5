"""The page in Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, request, session
from flask_session import Session
from redis import Redis

from djsession.flask import DjSession, current_session
from tests.load.applications.counting import REDIS_URL, answer

application = Flask(__name__)
application.config["SESSION_TYPE"] = "redis"
application.config["SESSION_REDIS"] = Redis.from_url(REDIS_URL)
Session(application)
DjSession(application)


@application.route("/", methods=["GET", "POST"])
def show() -> dict[str, Any]:
    return answer(request.environ, current_session.username, session)
