"""The page that signs in as a mockup user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from ...session import Session
from .layout import document, hero, icon, panel
from .parts import avatar, plan_chip

__all__ = ["login_page"]

_FILTER_FROM = 8
_MAX_PLANS = 2


def login_page(
    sessions: Mapping[str, Session],
    *,
    login_url: str,
    logout_url: str,
    inspector_url: str,
    next_url: str,
    error: str = "",
    problems: Sequence[str] = (),
    warnings: Sequence[str] = (),
    signed_in: str | None = None,
    source: str = "",
) -> str:
    """Return the page that lists the mockup sessions by name and signs in as one of them.

    ``next_url`` is the page that opens after the login. ``source`` is the file that the sessions
    come from, or ``""`` if there is no file. ``error`` is shown above the list. ``problems`` are
    the mistakes in the file, and ``warnings`` are the probable mistakes. ``signed_in`` is the
    username of the request. Everything is escaped here.
    """
    target = f'<input type="hidden" name="next" value="{escape(next_url)}">'
    facts = [f"{icon('arrow')}<span>Opens <code>{escape(next_url)}</code></span>"]
    if source:
        facts.insert(0, f"{icon('file')}<span>Users from <code>{escape(source)}</code></span>")
    users = "".join(map(_user, sessions, sessions.values()))
    return document(
        "Sign in: mockup sessions",
        [
            hero(
                "Mockup login, in place of the DjaoDjin proxy",
                "Continue as",
                f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>',
            ),
            *_messages(error, problems, warnings),
            _signed_in(signed_in, logout_url) if signed_in else "",
            f'<form method="post" action="{escape(login_url)}">{target}',
            _filter() if len(sessions) >= _FILTER_FROM else "",
            f'<ul class="users">{users}</ul></form>',
            f"""<details class="by-name"{" open" if error else ""}>
<summary>Sign in with a username and password</summary>
<form class="fields" method="post" action="{escape(login_url)}">{target}
<div><label for="username">Username</label>
<input type="text" id="username" name="username" required autocomplete="username"
 autocapitalize="none" spellcheck="false"></div>
<div><label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password"
 aria-describedby="any"></div>
<button>Sign in</button>
<p class="soft" id="any">Any password works.</p>
</form></details>""",
        ],
        links=[("Sign in", ""), ("Inspector", inspector_url)],
    )


def _messages(error: str, problems: Sequence[str], warnings: Sequence[str]) -> Iterator[str]:
    if error:
        yield panel("bad", f"<p>{escape(error)}</p>", alert=True)
    if problems:
        title = "The file has mistakes. The users below are from before the last edit."
        yield panel("bad", f"<p>{title}</p>{_lines(problems)}", alert=True)
    if warnings:
        yield panel("warning", f"<p>Check these lines of the file:</p>{_lines(warnings)}")


def _lines(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li><code>{escape(item)}</code></li>' for item in items)}</ul>"


def _signed_in(username: str, logout_url: str) -> str:
    return (
        f'<form class="status" method="post" action="{escape(logout_url)}">'
        f"<span>Signed in as <strong>{escape(username)}</strong></span>"
        f'<button class="quiet">{icon("door")}Sign out</button></form>'
    )


def _filter() -> str:
    return (
        '<div class="filter" hidden><label for="filter">Filter</label>'
        '<input type="search" id="filter" data-filter=".users" autocomplete="off"'
        ' spellcheck="false" placeholder="Name, role, organization or plan"'
        ' aria-describedby="shown"><span id="shown" class="soft" role="status"></span></div>'
    )


def _user(name: str, session: Session) -> str:
    username = session.username or ""
    known_as = f" <small>{escape(username)}</small>" if username != name else ""
    chips = [*_roles(session), *_plans(session)]
    return (
        f'<li data-words="{escape(_words(name, session))}">'
        f'<button class="user" name="user" value="{escape(name)}">{avatar(name)}'
        f'<span class="name"><span class="unseen">Continue as </span>'
        f"<strong>{escape(name)}</strong>{known_as}</span>"
        f'<span class="chips">{"".join(chips) or "<small>No roles</small>"}</span>'
        f"{icon('arrow')}</button></li>\n"
    )


def _words(name: str, session: Session) -> str:
    """Return the words that the filter searches."""
    words = [name, session.username, *session.roles]
    for organization in session.get_accessibles():
        words += [organization.slug, organization.printable_name]
        words += [subscription.plan for subscription in organization.subscriptions]
    return " ".join(dict.fromkeys(word.lower() for word in words if word))


def _roles(session: Session) -> Iterator[str]:
    """Yield a chip for each role, with its organization or the number of its organizations."""
    for role, organizations in session.roles.items():
        if organizations:
            first = organizations[0]
            where = escape(first.printable_name or first.slug or "")
            if len(organizations) > 1:
                where = f'{len(organizations)}<span class="unseen"> organizations</span>'
            yield f'<span class="chip">{escape(role)} of {where}</span>'


def _plans(session: Session) -> Iterator[str]:
    found = {
        (item.plan, item.ends_at): item
        for organization in session.get_accessibles()
        for item in organization.subscriptions
        if item.plan
    }
    for subscription in [*found.values()][:_MAX_PLANS]:
        yield plan_chip(subscription, with_date=len(found) == 1)
    if len(found) > _MAX_PLANS:
        more = len(found) - _MAX_PLANS
        yield f'<span class="chip plan more">+{more}<span class="unseen"> more plans</span></span>'
