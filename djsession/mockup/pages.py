"""The login page: HTML without scripts or outside assets, its style sheet inline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from hashlib import sha256
from html import escape
from importlib.resources import files

from ..session import Organization, Session, Subscription

__all__ = ["CONTENT_SECURITY_POLICY", "login_page"]

_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

#: For the Content-Security-Policy header: this one style sheet and forms to this site.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def login_page(
    sessions: Mapping[str, Session],
    *,
    login_url: str,
    logout_url: str,
    next_url: str,
    error: str = "",
    problems: Sequence[str] = (),
    signed_in: str | None = None,
) -> str:
    """Return the page that lists the mockup sessions by name and signs in as one of them.

    ``error`` is shown above the list, ``problems`` are the mistakes in the file, ``signed_in``
    the username of the request. Everything is escaped here.
    """
    action, next_value = escape(login_url), escape(next_url)
    parts = []
    if error:
        parts.append(f'<div class="panel bad" role="alert"><p>{escape(error)}</p></div>')
    if problems:
        items = "".join(f"<li><code>{escape(problem)}</code></li>" for problem in problems)
        parts.append(
            '<div class="panel bad" role="alert"><p>The file of mockup sessions has mistakes.'
            f" The users below are from before the last edit.</p><ul>{items}</ul></div>"
        )
    if signed_in:
        parts.append(
            f'<form class="panel inline" method="post" action="{escape(logout_url)}">'
            f"<span>You are signed in as <strong>{escape(signed_in)}</strong>.</span>"
            "<button>Sign out</button></form>"
        )
    users = "".join(_user(name, session) for name, session in sessions.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in: mockup sessions</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Sign in</h1>
<p class="soft">Mockup sessions for development, in place of the DjaoDjin proxy.</p>
{"".join(parts)}
<h2 id="users">Sign in with a click</h2>
<form method="post" action="{action}">
<input type="hidden" name="next" value="{next_value}">
<ul class="users" aria-labelledby="users">
{users}</ul>
</form>
<h2>Sign in with a form</h2>
<form class="panel" method="post" action="{action}">
<input type="hidden" name="next" value="{next_value}">
<label for="username">Username</label>
<input type="text" id="username" name="username" required autocomplete="username"
 autocapitalize="none" spellcheck="false">
<label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password"
 aria-describedby="any">
<p class="soft" id="any">Any password will do.</p>
<button>Sign in</button>
</form>
</main>
</body>
</html>
"""


def _user(name: str, session: Session) -> str:
    roles = "".join(
        f"<li>{escape(role)} of {_organization(organization)}</li>"
        for role, organizations in session.roles.items()
        for organization in organizations
    )
    label = escape(name)
    username = session.username or ""
    known_as = f' <span class="soft">({escape(username)})</span>' if username != name else ""
    return (
        f'<li class="panel user"><div><h3>{label}{known_as}</h3>'
        f"<ul>{roles or '<li class=soft>no roles</li>'}</ul></div>"
        f'<button name="user" value="{label}" aria-label="Sign in as {label}">Sign in</button>'
        "</li>\n"
    )


def _organization(organization: Organization) -> str:
    slug = organization.slug or ""
    name = organization.printable_name
    title = f"{escape(name)} <span class=soft>({escape(slug)})</span>" if name else escape(slug)
    plans = "".join(_plan(subscription) for subscription in organization.subscriptions)
    return f"{title}<br>{plans}" if plans else title


def _plan(subscription: Subscription) -> str:
    active = subscription.is_active(datetime.now(timezone.utc))
    ends_at = subscription.ends_at
    when = f", {'until' if active else 'ended'} {ends_at:%Y-%m-%d}" if ends_at else ""
    state = "plan" if active else "plan ended"
    return f'<span class="{state}">{escape(subscription.plan or "")}{when}</span>'
