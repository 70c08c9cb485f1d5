"""The Flask extension. Flask 3.0 and later.

::

    from flask import Flask
    from djsession.flask import DjSession, current_session, current_user

    app = Flask(__name__)
    DjSession(app)  # or djsession = DjSession() and djsession.init_app(app)
"""

from __future__ import annotations

from .extension import DjSession, FlaskSettings
from .session_interface import FlaskSession
from .users import User, current_session, current_user, plan_required, role_required

__all__ = [
    "DjSession",
    "FlaskSession",
    "FlaskSettings",
    "User",
    "current_session",
    "current_user",
    "plan_required",
    "role_required",
]
