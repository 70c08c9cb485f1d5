"""A plain WSGI application behind the session proxy. It shows the user, the roles and the plans.

Serve it with mockup logins on your machine::

    djsession serve examples.hello:application --mockup examples/sessions.yaml

and behind the proxy, with the key of your site in the environment::

    DJAODJIN_SECRET_KEY=... gunicorn -c examples/gunicorn.conf.py examples.hello:application
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from djsession import Session, SessionMiddleware
from djsession.redact import mask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; }}
body {{ padding: 0 1rem; overflow-wrap: anywhere; }}
pre {{ overflow-x: auto; padding: 1rem; border: 1px solid; border-radius: .5rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<h2>The whole session</h2>
<pre>{session}</pre>
</body>
</html>
"""


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer any request with a page about its session."""
    session: Session = environ["djsession.session"]
    page = PAGE.format(
        title=f"Hello, {escape(session.username)}" if session.username else "Hello, visitor",
        body=describe(session),
        # The proxy may send credentials along, which do not belong on a page.
        session=escape(json.dumps(mask(session), indent=2, ensure_ascii=False)),
    ).encode("utf-8", "replace")
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "private, no-store"),
        ],
    )
    return [page]


def describe(session: Session) -> str:
    """Return the readable part of the page."""
    if not session.is_authenticated:
        return "<p>Nobody is signed in.</p>"
    site = session.site.printable_name
    parts = [f"<p>You come from the site {escape(site)}.</p>"] if site else []
    last_visited = session.last_visited
    when = f"{last_visited:%Y-%m-%d at %H:%M %Z}" if last_visited else None
    parts.append(f"<p>Your last visit was on {when}.</p>" if when else "<p>Welcome!</p>")
    parts.append("<h2>Your roles</h2>")
    roles = [
        f"<li>{escape(role)} of {escape(organization.printable_name or organization['slug'])}</li>"
        for role, organizations in session.roles.items()
        for organization in organizations
    ]
    parts.append(f"<ul>{''.join(roles)}</ul>" if roles else "<p>None.</p>")
    parts.append("<h2>Your plans</h2>")
    plans = [f"<li>{escape(plan)}</li>" for plan in session.accessible_plans()]
    parts.append(f"<ul>{''.join(plans)}</ul>" if plans else "<p>None.</p>")
    return "\n".join(parts)


# The key comes from DJAODJIN_SECRET_KEY in the environment.
application = SessionMiddleware(hello)
