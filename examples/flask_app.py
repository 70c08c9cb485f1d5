"""A Flask application behind the session proxy.

Serve it with mockup logins on your machine::

    DJAODJIN_SECRET_KEY=$(djsession keygen) flask --app examples.flask_app run --debug

and behind the proxy, with the key of your site in the environment::

    export DJAODJIN_SECRET_KEY=... SECRET_KEY=...
    gunicorn -c examples/gunicorn.conf.py "examples.flask_app:create_app()"
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from flask import Flask, flash, jsonify, redirect, render_template_string, session, url_for

from djsession.flask import (
    DjSession,
    current_session,
    current_user,
    plan_required,
    role_required,
)
from djsession.redact import mask

PAGE = """<!doctype html>
<html lang="en">
<title>{{ current_user.username or "visitor" }}</title>
<h1>Hello, {{ current_user.username or "visitor" }}</h1>
{% for message in get_flashed_messages() %}<p role="status">{{ message }}</p>{% endfor %}
<p>You have been here {{ visits }} times.</p>
<ul>{% for slug in current_session.accessibles() %}<li>{{ slug }}</li>{% endfor %}</ul>
"""

djsession = DjSession(mockup=Path(__file__).parent / "sessions.yaml")


def create_app(**config: Any) -> Flask:
    """Return the application. The key comes from DJAODJIN_SECRET_KEY in the environment."""
    app = Flask(__name__)
    # Signs the cookie that holds what the application itself keeps in flask.session. A random key
    # lasts for one run of one process.
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY") or secrets.token_hex()
    app.config["DJSESSION_ALLOWED_NO_SESSION"] = ["/static/", "/about"]
    app.config.update(config)
    djsession.init_app(app)

    @app.get("/")
    @app.get("/app/")
    @app.get("/app/second")
    @app.get("/public/")
    def index() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return render_template_string(PAGE, visits=session["visits"])

    @app.get("/about")
    def about() -> str:
        return "open to anyone"

    @app.get("/session")
    def raw() -> Any:
        # The proxy may send credentials along, which do not belong on a page.
        return jsonify(mask(current_session))

    @app.get("/manage/<slug>")
    @role_required("manager", account="slug")
    def manage(slug: str) -> str:
        return f"{current_user.username} manages {slug}"

    @app.get("/course")
    @plan_required("basic", "all-courses")
    def course() -> str:
        return "for subscribers"

    @app.post("/note")
    def note() -> Any:
        flash("noted")
        return redirect(url_for("index"))

    return app
