"""The pages that explain why a request was refused and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from ...doctor import Report
from ...trace import quantity
from ..locality import NotLocal
from .inspector import decoding, grants, identity, session_json
from .layout import document, hero, section
from .parts import actions, copy_report, diagnosis, header_sizes, rule_code, rule_trace

if TYPE_CHECKING:
    from ..rules import Decision

__all__ = [
    "NO_KEY",
    "diagnosis_page",
    "forbidden_page",
    "no_key_page",
    "not_local_page",
    "not_local_text",
    "refusal_page",
    "upstream_down_page",
]

#: The message for somebody who does not have the key in the login URL.
NO_KEY = (
    "These mockup logins accept requests from other machines, so these pages need a key, which"
    " changes at each start. Open the login URL that the application printed when it started."
)

# How the option is spelled in each way to run djsession.
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


def refusal_page(report: Report, *, login_url: str, inspector_url: str) -> str:
    """Return the page that explains to a refused browser, in development, why and what to do.

    Everything is escaped here.
    """
    buttons = actions(
        f'<a class="button" href="{escape(login_url)}">Sign in again</a>',
        f'<a class="button quiet" href="{escape(inspector_url)}">Inspect the request</a>',
    )
    line = f"403 Forbidden: {report.request_line}"
    return document(
        "Forbidden",
        [*diagnosis(report, line, buttons), copy_report(report)],
        links=[("Sign in", login_url), ("Inspector", inspector_url)],
    )


def diagnosis_page(report: Report) -> str:
    """Return the doctor's report about one request as a page without links to a login."""
    line, session = f"Diagnosis of {report.request_line}", report.session
    if session is None:
        parts = [*diagnosis(report, line, "")]
    else:
        parts = [
            f'<p class="eyebrow">{escape(line)}</p><div class="identity">{identity(session)}</div>',
            grants(session),
            decoding(report),
            session_json(session),
        ]
    parts += [header_sizes(report), copy_report(report)]
    return document("Diagnosis", parts, badge="Doctor")


def forbidden_page(
    decision: Decision,
    *,
    login_url: str,
    inspector_url: str,
    method: str,
    path: str,
    username: str | None,
    source: str = "",
) -> str:
    """Return the page for a browser that the access rules refuse.

    ``username`` is None if nobody is signed in. ``source`` is the file that the rules come from.
    Everything is escaped here.
    """
    rule = decision.rule
    where = f"<code>{escape(source)}</code>" if source else "the file of mockup sessions"
    facts = [("Cause", escape(decision.reason))]
    if rule is not None:
        facts.append(("Rule", f'<span class="rule">{rule_code(rule)}</span>'))
        fix = f"Sign in as a user who meets the rule, or change the user or the rule in {where}."
    else:
        fix = f"In {where}, add a rule that matches the path."
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{html}</dd></div>" for name, html in [*facts, ("Fix", fix)]
    )
    trace, inspector = rule_trace(decision), escape(inspector_url)
    looked_at = f"{quantity(len(decision.steps), 'rule')} compared with the path"
    return document(
        "Forbidden",
        [
            hero(
                f"403 Forbidden: {method} {path}",
                f"{username or 'A visitor'} may not open this page",
                f'<dl class="why">{rows}</dl>',
                actions(
                    f'<a class="button" href="{escape(login_url)}">Switch user</a>',
                    f'<a class="button quiet" href="{inspector}">Inspect the session</a>',
                ),
                kind="bad",
            ),
            f'<details class="box"><summary>{looked_at}</summary>{trace}</details>'
            if trace
            else "",
        ],
        links=[("Sign in", login_url), ("Inspector", inspector_url)],
    )


def upstream_down_page(address: str) -> str:
    """Return the page that tells that the server behind the stand-in does not answer.

    Send it with the header ``Refresh: 5``. ``address`` is escaped here.
    """
    return document(
        "The development server does not answer",
        [
            hero(
                "502 Bad gateway",
                "The development server does not answer",
                '<dl class="why"><div><dt>Address</dt>'
                f"<dd><code>{escape(address)}</code></dd></div>"
                "<div><dt>Fix</dt><dd>Start the server on the same port in another terminal. This"
                " page reloads every 5 seconds.</dd></div></dl>",
                kind="bad",
            ),
            _commands(address),
        ],
    )


def _commands(address: str) -> str:
    port = address.rstrip("/").rpartition(":")[2]
    port = port if port.isascii() and port.isdigit() else "PORT"
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td><code>{command.format(port)}</code></td></tr>"
        for name, command in (
            ("Django", "python manage.py runserver {}"),
            ("Flask", "flask run --debug --port {}"),
            ("FastAPI", "uvicorn main:app --reload --port {}"),
            ("Pyramid", "pserve development.ini --reload"),
        )
    )
    html = f'<div class="box"><table class="commands">{rows}</table></div>'
    return section("commands", "Commands to start it", html)


def not_local_text(not_local: NotLocal) -> str:
    """Explain why a request that is not local was refused, and which option would allow it."""
    reason, *remedies = _not_local_sentences(not_local, "{}")
    return " ".join(
        [
            "Mockup logins answer only requests from this machine, and this request was refused"
            f" because {reason}.",
            *remedies,
        ]
    )


def not_local_page(not_local: NotLocal) -> str:
    """Return :func:`not_local_text` as a page."""
    reason, *remedies = _not_local_sentences(not_local, "<code>{}</code>")
    fixes = "".join(f"<p>{remedy}</p>" for remedy in remedies)
    cause = escape(f"{reason[:1].upper()}{reason[1:]}.")
    why = (
        f'<dl class="why"><div><dt>Cause</dt><dd>{cause}</dd></div>'
        f"<div><dt>Fix</dt><dd>{fixes}</dd></div></dl>"
    )
    heading = "Mockup logins answer only requests from this machine"
    return document("Forbidden", [hero("403 Forbidden", heading, why, kind="bad")])


def no_key_page() -> str:
    """Return the page for somebody who does not have the key in the login URL."""
    cause, _, fix = NO_KEY.partition(". ")
    why = (
        f'<dl class="why"><div><dt>Cause</dt><dd>{escape(cause)}.</dd></div>'
        f"<div><dt>Fix</dt><dd>{escape(fix)}</dd></div></dl>"
    )
    return document(
        "Forbidden", [hero("403 Forbidden", "This page needs a login key", why, kind="bad")]
    )


def _not_local_sentences(not_local: NotLocal, code: str) -> Iterator[str]:
    yield not_local.reason
    yield f"To allow requests from elsewhere, use {_spellings(_ALLOW_REMOTE, code)}."
    if not_local.concerns_host:
        yield f"To allow another host name, list it in {_spellings(_HOSTS, code)}."


def _spellings(options: Sequence[tuple[str, str]], code: str) -> str:
    *others, last = [
        code.format(option) + (f" ({where})" if where else "") for option, where in options
    ]
    return f"{', '.join(others)} or {last}"
