"""The Pyramid example for gunicorn, its settings from the environment."""

from __future__ import annotations

import os

from examples.pyramid_app import main

application = main(
    {},
    **{
        "djsession.local_secret": os.environ["SECRET_KEY"],
        "djsession.allowed_no_session": "/about",
    },
)
