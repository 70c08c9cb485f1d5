"""The page about the session of a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import yaml

from ...doctor import Report
from ...session import Organization, Session
from ...trace import quantity
from ..recent import RecentRequest
from .layout import copyable, document, hero, icon, section
from .parts import (
    actions,
    avatar,
    checks,
    diagnosis,
    findings,
    header_sizes,
    plan_chip,
    rule_code,
    rule_trace,
)

if TYPE_CHECKING:
    from ..rules import Decision, Rule

__all__ = ["decoding", "grants", "identity", "inspector_page", "session_json"]

# The number of rows of a list that are shown at first. The other rows are folded away.
_SHOWN = 8

_VERDICTS = {"passed": "check", "sign in": "door", "refused": "cross"}


def inspector_page(
    report: Report,
    *,
    login_url: str,
    logout_url: str,
    recent: Sequence[RecentRequest] = (),
    rules: Iterable[Rule] = (),
    decision: Decision | None = None,
    curl: str = "",
) -> str:
    """Return the page that shows who is signed in, what they may do, and how that was decoded.

    ``recent`` are the last requests, newest first. ``rules`` are the access rules in front of the
    application, ``decision`` is their decision about this request, and ``curl`` is a command line
    that sends a request as the signed-in user. Everything is escaped here.
    """
    session = report.session
    return document(
        "Inspector: the session of this request",
        [
            _identity(report, login_url, logout_url),
            grants(session) if session is not None else "",
            _recent(recent),
            _rules([*rules], decision),
            decoding(report) if session is not None else "",
            header_sizes(report),
            session_json(session, curl) if session is not None else "",
        ],
        links=[("Sign in", login_url), ("Inspector", "")],
    )


def _identity(report: Report, login_url: str, logout_url: str) -> str:
    session = report.session
    sign_in = f'<a class="button" href="{escape(login_url)}">Sign in</a>'
    if session is None:
        if report.traces:
            return "".join(
                diagnosis(report, "This request does not have a session", actions(sign_in))
            )
        # Nothing is wrong: nobody has signed in yet.
        lead = "<p>The request does not carry a session token.</p>"
        notes = (item for item in report.findings if not item.is_cause)
        top = hero("This request", "Nobody is signed in", lead, actions(sign_in))
        return "".join((top, *findings(notes)))
    if session.is_authenticated:
        sign_in = f'<a class="button quiet" href="{escape(login_url)}">Switch user</a>'
    sign_out = f'<button class="quiet">{icon("door")}Sign out</button>'
    return (
        f'<div class="identity">{identity(session)}<form class="actions" method="post"'
        f' action="{escape(logout_url)}">{sign_in}{sign_out}</form></div>'
    )


def identity(session: Session) -> str:
    """Return the heading that names the user of a session."""
    if session.username is None:
        return hero("This request", "Nobody is signed in")
    return f"{avatar(session.username)}{hero('Signed in as', session.username)}"


def grants(session: Session) -> str:
    """Return the site, the dates, and the organizations with roles and plans of a session."""
    if not session.is_authenticated:
        return ""
    return f"{_facts(session)}{_access(session)}"


def decoding(report: Report) -> str:
    """Return the doctor's findings, and the checks that each token passed."""
    html = "".join((*findings(report.findings), *checks(report)))
    return section("decoding", "Decoding", html)


def session_json(session: Session, curl: str = "") -> str:
    """Return the JSON of a session as a tree, and as text to copy."""
    tree = f'<div class="box tree">{_tree(session)}</div>'
    return section("session", "Session", tree + _copies(session, curl))


def _facts(session: Session) -> str:
    site = session.site
    visited, sent = session.last_visited, session.get("last_visited")
    exp = session.get("exp")
    facts = [
        ("Site", escape(site.printable_name or site.slug or "Not sent"), site.slug or ""),
        (
            "Last visit",
            _relative(visited) if visited else escape(str(sent)) if sent else "First visit",
            _exact(visited),
        ),
    ]
    if isinstance(exp, (int, float)) and abs(exp) < 1e11:
        expires_at = datetime.fromtimestamp(exp, UTC)
        facts.append(("Expires", _relative(expires_at), _exact(expires_at)))
    items = "".join(
        f"<div><dt>{name}</dt><dd>{value}"
        f"{f'<small>{escape(detail)}</small>' if detail else ''}</dd></div>"
        for name, value, detail in facts
    )
    return f'<dl class="grid">{items}</dl>'


def _exact(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else ""


def _relative(moment: datetime) -> str:
    """Return a moment relative to now, such as "in 23 hours" or "2 days ago"."""
    seconds = (moment - datetime.now(UTC)) / timedelta(seconds=1)
    size = abs(seconds)
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if size >= length * (1.95 if unit != "second" else 1):
            text = quantity(round(size / length), unit)
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return "now"


def _access(session: Session) -> str:
    rows = [
        _organization(role, organization)
        for role, organizations in session.roles.items()
        for organization in organizations
    ]
    if not rows:
        html = (
            "<p>The session does not contain any roles, so there are no organizations or plans.</p>"
        )
        return section("access", "Roles and plans", f'<div class="box">{html}</div>')
    return section(
        "access", "Roles and plans", f'<div class="box">{_folded(rows, "organizations")}</div>'
    )


def _organization(role: str, organization: Organization) -> str:
    slug = organization.slug or ""
    name = organization.printable_name
    title = f"<strong>{escape(name or slug)}</strong>"
    known_as = f" <small>{escape(slug)}</small>" if name else ""
    plans = "".join(map(plan_chip, organization.subscriptions))
    return (
        f"<li><div>{title}{known_as}</div><div>{escape(role)}</div>"
        f'<div class="chips">{plans or "<span class=soft>No plan</span>"}</div></li>'
    )


def _folded(rows: Sequence[str], name: str) -> str:
    """Return a list whose end is folded away if it is long."""
    if len(rows) <= _SHOWN + 1:
        return f'<ul class="{name}">{"".join(rows)}</ul>'
    rest = len(rows) - _SHOWN
    return (
        f'<ul class="{name}">{"".join(rows[:_SHOWN])}</ul><details><summary>{rest} more</summary>'
        f'<ul class="{name}">{"".join(rows[_SHOWN:])}</ul></details>'
    )


def _copies(session: Session, curl: str) -> str:
    # The token's expiry is meaningless in a file of mockup sessions.
    entry = {key: value for key, value in session.items() if key != "exp"}
    text = yaml.safe_dump({session.username or "visitor": entry}, sort_keys=False)
    parts = [
        copyable("json", "As JSON", json.dumps(session, indent=2)),
        copyable("yaml", "As YAML", text, note="An entry for a file with mockup sessions."),
    ]
    if curl:
        note = "Contains a token that signs in as this user for a day."
        parts.append(copyable("curl", "As curl", curl, note=note))
    return f'<div class="box copies">{"".join(parts)}</div>'


def _recent(recent: Sequence[RecentRequest]) -> str:
    if not recent:
        return ""
    rows = "".join(map(_request, recent))
    return section("recent", "Last requests", f'<ul class="box requests">{rows}</ul>')


def _request(request: RecentRequest) -> str:
    mark, label = _VERDICTS[request.verdict], str(request.verdict)
    failed = request.verdict == "passed" and not 0 < request.status < 400
    if failed:
        # A green mark would say that the session is all right for the application.
        mark, label = "dash", "passed, but the application did not accept it"
    row = (
        f"{icon(mark, label + ': ')}"
        f"<span>{escape(request.method)}</span><code>{escape(request.path)}</code>"
        f'<span class="who">{escape(request.user or "")}</span>'
        f"<span>{request.status or 'error'}</span>"
        f'<time datetime="{request.at:%Y-%m-%dT%H:%M:%SZ}">{_ago(request.at)}</time>'
    )
    reason = request.decision.reason if request.decision else request.reason
    if failed:
        answer = f"with {request.status}" if request.status else "with an exception"
        reason = f"{reason} The application itself answered {answer}.".strip()
    why = f"<p>{escape(reason)}</p>" if reason else ""
    if request.decision:
        why += rule_trace(request.decision)
    kind = request.verdict.replace(" ", "-")
    if not why:
        return f'<li class="{kind}"><div>{row}</div></li>'
    return f'<li class="{kind}"><details><summary>{row}</summary>{why}</details></li>'


def _ago(moment: datetime) -> str:
    seconds = int((datetime.now(UTC) - moment) / timedelta(seconds=1))
    if seconds < 60:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 3600 else f"{seconds // 3600} h ago"


def _rules(rules: Sequence[Rule], decision: Decision | None) -> str:
    if decision is not None:
        html = f"<p>{escape(decision.reason)}</p>{rule_trace(decision)}"
        return section("rules", "Access rules", f'<div class="box">{html}</div>')
    if not rules:
        return ""
    rows = "".join(f"<li>{rule_code(rule)}</li>" for rule in rules)
    lead = "<p>The first rule whose path matches decides.</p>"
    html = f'<div class="box">{lead}<ol class="rules">{rows}</ol></div>'
    return section("rules", "Access rules", html)


# Deeper than any readable session, and far below Python's recursion limit.
_DEPTH = 20


def _tree(value: Any, depth: int = 0) -> str:
    """Return a JSON value as nested lists that can be folded. Long lists start out folded."""
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
            opened = " open" if len(item) <= _SHOWN and len(pairs) <= _SHOWN else ""
            items.append(
                f"<li><details{opened}><summary>{escape(key)} <small>{len(item)}</small></summary>"
                f"{inner}</details></li>"
            )
        else:
            items.append(f"<li><span>{escape(key)}</span> {inner}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _label(item: Any) -> str:
    """Return the slug of an organization or the plan of a subscription, or ``""``."""
    found = item.get("slug") or item.get("plan") if isinstance(item, dict) else None
    return found if isinstance(found, str) else ""
