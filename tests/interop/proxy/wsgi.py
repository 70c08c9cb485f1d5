"""The proxy as an application for gunicorn; makes its database when it starts."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

call_command("migrate", run_syncdb=True, verbosity=0)

from rules.models import App, Rule  # noqa: E402

if not App.objects.exists():
    site = App.objects.create(slug="site", session_backend=int(os.environ["PROXY_SESSION_BACKEND"]))
    ANY, AUTHENTICATED = 0, 1
    for rank, (prefix, rule_op, engaged) in enumerate(
        [
            ("/public/", ANY, ""),
            ("/app/", AUTHENTICATED, "app"),
            ("/", AUTHENTICATED, ""),
        ]
    ):
        Rule.objects.create(
            app=site, path=prefix, rule_op=rule_op, is_forward=True, engaged=engaged, rank=rank
        )
