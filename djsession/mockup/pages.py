"""The pages of the mockup logins: HTML without scripts, with an inline style sheet."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from ..doctor import Finding, Report
from ..session import Organization, Session, Subscription
from ..trace import Trace, count
from .locality import NotLocal

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "NO_KEY",
    "diagnosis_page",
    "inspector_page",
    "login_page",
    "no_key_page",
    "not_local_page",
    "not_local_text",
    "refusal_page",
]

_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

#: The Content-Security-Policy header. It allows this one style sheet, and forms to this site.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

#: What somebody without the key of the login URL reads.
NO_KEY = (
    "These mockup logins accept requests from other machines, so a sign-in needs a key, which is"
    " new for each start. Open the login URL that the application printed when it started."
)

_ONLY_LOCAL = "Mockup logins answer only requests from this machine, and this request was refused"

# How each way to run djsession spells the option, and what that is.
_ALLOW_REMOTE = (
    ("allow_remote=True", "MockupApp"),
    ("djsession serve --allow-remote", ""),
    ("MOCKUP_ALLOW_REMOTE", "Django"),
    ("DJSESSION_MOCKUP_ALLOW_REMOTE", "Flask"),
    ("djsession.mockup_allow_remote", "Pyramid"),
)
_HOSTS = (
    ("hosts", "MockupApp"),
    ("djsession serve --allow-host", ""),
    ("MOCKUP_HOSTS", "Django"),
    ("DJSESSION_MOCKUP_HOSTS", "Flask"),
    ("djsession.mockup_hosts", "Pyramid"),
)


def login_page(
    sessions: Mapping[str, Session],
    *,
    login_url: str,
    logout_url: str,
    inspector_url: str,
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
            f"<span>You are signed in as <strong>{escape(signed_in)}</strong>."
            f' <a href="{escape(inspector_url)}">Inspect the session</a></span>'
            "<button>Sign out</button></form>"
        )
    users = "".join(_user(name, session) for name, session in sessions.items())
    return _document(
        "Sign in: mockup sessions",
        f"""<h1>Sign in</h1>
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
</form>""",
    )


def inspector_page(report: Report, *, login_url: str, logout_url: str) -> str:
    """Return the page that shows a request's token, how it was decoded, and the session in it."""
    session = report.session
    parts = [
        "<h1>Inspector</h1>",
        '<p class="soft">What this request carried, and how djsession decoded it. For development'
        " only: credentials are masked, but personal data is not.</p>",
    ]
    if session is None:
        parts.append(
            '<div class="panel bad" role="status"><p>This request has no session.'
            f' <a href="{escape(login_url)}">Sign in</a></p></div>'
        )
    else:
        who = session.username
        state = (
            f"Signed in as <strong>{escape(who)}</strong>."
            if who
            else "The session has no username, so nobody is signed in."
        )
        parts.append(
            f'<form class="panel inline" method="post" action="{escape(logout_url)}">'
            f'<span>{state} <a href="{escape(login_url)}">Sign in as somebody else</a></span>'
            "<button>Sign out</button></form>"
        )
    parts += _explanation(report)
    if session is not None:
        parts.append(f"<h2>Roles and plans</h2><div class=panel>{_roles(session)}</div>")
        parts.append(f'<h2>The session</h2><div class="panel tree">{_tree(session)}</div>')
    return _document("Inspector: the session of this request", "\n".join(parts))


def refusal_page(report: Report, *, login_url: str) -> str:
    """Return the page that a refused browser sees in development: why, and what to do."""
    return _document(
        "Forbidden",
        "\n".join(
            [
                "<h1>Forbidden</h1>",
                "<p>This request was refused because it does not carry a usable session. This page"
                " explains why, in development only. In production the application's log does.</p>",
                f'<p><a class="button" href="{escape(login_url)}">Sign in</a></p>',
                *_explanation(report),
            ]
        ),
    )


def not_local_text(not_local: NotLocal) -> str:
    """Return why a request that is not local was refused, and the option that would allow it."""
    return " ".join(_not_local_sentences(not_local, "{}"))


def not_local_page(not_local: NotLocal) -> str:
    """Return :func:`not_local_text` as a page."""
    reason, *remedies = _not_local_sentences(not_local, "<code>{}</code>")
    parts = [
        "<h1>Forbidden</h1>",
        f'<div class="panel bad" role="status"><p>{reason}</p></div>',
        *(f'<div class="panel"><p>{remedy}</p></div>' for remedy in remedies),
    ]
    return _document("Forbidden", "\n".join(parts))


def no_key_page() -> str:
    """Return the page that somebody without the key of the login URL sees."""
    panel = f'<div class="panel bad" role="status"><p>{escape(NO_KEY)}</p></div>'
    return _document("Login key needed", f"<h1>Login key needed</h1>\n{panel}")


def _not_local_sentences(not_local: NotLocal, code: str) -> Iterator[str]:
    yield f"{_ONLY_LOCAL} because {not_local.reason}."
    yield f"To allow requests from elsewhere, use {_spellings(_ALLOW_REMOTE, code)}."
    if not_local.concerns_host:
        yield f"To allow one more host name, list it in {_spellings(_HOSTS, code)}."


def _spellings(options: Sequence[tuple[str, str]], code: str) -> str:
    *others, last = [
        code.format(option) + (f" ({where})" if where else "") for option, where in options
    ]
    return f"{', '.join(others)} or {last}"


def _document(title: str, main: str) -> str:
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{main}
</main>
</body>
</html>
"""
    # A session may contain half of a surrogate pair, which cannot be encoded.
    return html.encode("utf-8", "backslashreplace").decode()


def _explanation(report: Report) -> Iterator[str]:
    """Yield the doctor's findings and the steps of each token."""
    if report.findings:
        yield "<h2>Diagnosis</h2>"
        yield f'<ul class="findings">{"".join(map(_finding, report.findings))}</ul>'
    several = len(report.case.keys.raw) > 1
    for trace in report.traces:
        yield from _steps(trace, several)


def _finding(finding: Finding) -> str:
    remedy = f"<p>What to do: {escape(finding.remedy)}</p>" if finding.remedy else ""
    kind = "panel bad" if finding.is_cause else "panel"
    return f'<li class="{kind}"><p><strong>{escape(finding.sentence)}</strong></p>{remedy}</li>'


def _steps(trace: Trace, several_keys: bool) -> Iterator[str]:
    yield f"<h2>The token in {escape(trace.steps[0].value)}, step by step</h2>"
    yield '<ol class="steps panel">'
    for step in trace.steps:
        which = f' <span class="soft">with secret key {step.key}</span>'
        key = which if several_keys and step.key else ""
        value = f"<code>{escape(step.value)}</code>" if step.value else ""
        cause = f"<p>{escape(str(step.error))}.</p>" if step.error is not None else ""
        mark = step.status.replace(" ", "-")
        yield (
            f'<li class="{mark}"><span class="mark">{step.status}</span>'
            f"<div><strong>{escape(step.name)}</strong>{key} {value}{cause}</div></li>"
        )
    yield "</ol>"


# Deeper than any session that somebody wants to read, and far from Python's recursion limit.
_DEPTH = 20


def _tree(value: Any, depth: int = 0) -> str:
    """Return a JSON value as nested lists that can be folded."""
    if isinstance(value, dict):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(_label(item) or str(index), item) for index, item in enumerate(value)]
    else:
        return f"<code>{escape(json.dumps(value, ensure_ascii=False))}</code>"
    if not pairs:
        return "<code>{}</code>" if isinstance(value, dict) else "<code>[]</code>"
    if depth == _DEPTH:
        return "<code>...</code>"
    items = []
    for key, item in pairs:
        inner = _tree(item, depth + 1)
        if isinstance(item, (dict, list)) and item:
            count = f'<span class="soft">{len(item)}</span>'
            items.append(
                f"<li><details open><summary>{escape(key)} {count}</summary>{inner}</details></li>"
            )
        else:
            items.append(f"<li><span>{escape(key)}:</span> {inner}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _label(item: Any) -> str:
    """Return the slug of an organization or the plan of a subscription, or ``""``."""
    found = item.get("slug") or item.get("plan") if isinstance(item, dict) else None
    return found if isinstance(found, str) else ""


def _roles(session: Session) -> str:
    roles = "".join(
        f"<li>{escape(role)} of {_organization(organization)}</li>"
        for role, organizations in session.roles.items()
        for organization in organizations
    )
    return f'<ul class="roles">{roles or "<li class=soft>no roles</li>"}</ul>'


def _user(name: str, session: Session) -> str:
    label = escape(name)
    username = session.username or ""
    known_as = f' <span class="soft">({escape(username)})</span>' if username != name else ""
    return (
        f'<li class="panel user"><div><h3>{label}{known_as}</h3>'
        f"{_roles(session)}</div>"
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
    active = subscription.is_active(datetime.now(UTC))
    ends_at = subscription.ends_at
    when = f", {'until' if active else 'ended'} {ends_at:%Y-%m-%d}" if ends_at else ""
    state = "plan" if active else "plan ended"
    return f'<span class="{state}">{escape(subscription.plan or "")}{when}</span>'


def diagnosis_page(report: Report) -> str:
    """Return the page of ``djsession doctor --listen``: the diagnosis and what the proxy sent."""
    state = "The session decodes." if report.decodes else "There is no session."
    sizes = "".join(
        f"<li>{escape(name)}: {count(size, 'byte')} <code>{escape(value)}</code></li>"
        for name, size, value in report.case.request.header_sizes()
    )
    parts = [f"<h1>{state}</h1>", f"<p><code>{escape(report.request_line)}</code></p>"]
    parts += _explanation(report)
    if report.session is not None:
        parts.append(f'<h2>The session</h2><div class="panel tree">{_tree(report.session)}</div>')
    parts.append(f'<h2>The headers of the request</h2><ul class="panel">{sizes}</ul>')
    return _document("What the proxy sends", "\n".join(parts))
