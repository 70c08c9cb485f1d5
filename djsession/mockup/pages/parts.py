"""Parts that several pages show: plans, the steps of a token, findings and access rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from ...doctor import Finding, Report
from ...doctor.diagnosis import GUNICORN_LIMIT, NGINX_LIMIT
from ...session import Subscription
from ...trace import Step, Trace, quantity
from .layout import copyable, hero, icon, panel, section

if TYPE_CHECKING:
    from ..rules import Decision, Rule

__all__ = [
    "actions",
    "avatar",
    "checks",
    "copy_report",
    "diagnosis",
    "findings",
    "header_sizes",
    "plan_chip",
    "rule_code",
    "rule_trace",
]

_MARKS = {"passed": "check", "failed": "cross", "not reached": "dash"}


def avatar(name: str) -> str:
    """Return a square with up to two initials of a name: "dana.lee" becomes DL."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    letters = "".join(word[0] for word in [*words[:1], *words[1:][-1:]]).upper()
    return f'<span class="avatar" aria-hidden="true">{escape(letters or "?")}</span>'


def plan_chip(subscription: Subscription, *, with_date: bool = True) -> str:
    """Return a plan with its end date, crossed out when it has ended."""
    ends_at = subscription.ends_at
    active = subscription.is_active(datetime.now(UTC))
    name = escape(subscription.plan or "")
    when = ""
    if with_date and ends_at:
        when = f" <small>{'until' if active else 'ended'} {ends_at:%Y-%m-%d}</small>"
    elif not active:
        when = '<span class="unseen"> ended</span>'
    return f'<span class="chip plan">{name if active else f"<s>{name}</s>"}{when}</span>'


def findings(items: Iterable[Finding]) -> Iterator[str]:
    """Yield a box for each finding of the doctor."""
    for item in items:
        remedy = f'<p class="soft">{escape(item.remedy)}</p>' if item.remedy else ""
        yield panel("bad" if item.is_cause else "info", f"<p>{escape(item.sentence)}</p>{remedy}")


def diagnosis(report: Report, line: str, buttons: str) -> Iterator[str]:
    """Yield the first finding as the heading with its fix, then the other findings and the checks.

    ``line`` is the text above the heading, and ``buttons`` is the HTML below it.
    """
    first, *others = report.findings or (
        Finding("", "The request does not have a usable session.", ""),
    )
    heading, colon, cause = first.sentence.partition(": ")
    cause = cause.removeprefix("most likely ")
    facts = [("Likely cause", _capitalized(cause))] if colon else []
    if first.remedy:
        facts.append(("Fix", first.remedy))
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    yield hero(line, heading.rstrip("."), f'<dl class="why">{rows}</dl>', buttons, kind="bad")
    yield from findings(others)
    yield from checks(report)


def _capitalized(clause: str) -> str:
    # The names of settings are not capitalized.
    return clause if "_" in clause.partition(" ")[0] else clause[:1].upper() + clause[1:]


def actions(*items: str) -> str:
    """Return a row of buttons."""
    return f'<p class="actions">{"".join(items)}</p>'


def checks(report: Report) -> Iterator[str]:
    """Yield the steps of each token, folded unless one of them failed."""
    for trace in report.traces:
        yield _checks(trace, len(report.traces) > 1, len(report.case.keys.raw) > 1)


def _checks(trace: Trace, several_tokens: bool, several_keys: bool) -> str:
    failed = trace.failed
    passed = sum(step.status == "passed" for step in trace.steps)
    where = f'<span class="soft">{escape(trace.steps[0].value)}</span>' if several_tokens else ""
    title = f"{icon('check')}{quantity(passed, 'check')} passed"
    if failed is not None:
        title = f"{icon('cross')}{quantity(passed, 'check')} passed, then one failed"
    rows = "".join(
        _not_reached([*steps])
        if is_skipped
        else "".join(_check(item, several_keys) for item in steps)
        for is_skipped, steps in groupby(trace.steps, lambda step: step.status == "not reached")
    )
    return (
        f'<details class="box checks"{"" if failed is None else " open"}>'
        f"<summary>{title}{where}</summary><table>{rows}</table></details>"
    )


def _check(step: Step, several_keys: bool) -> str:
    key = f" <small>key {step.key}</small>" if several_keys and step.key else ""
    value = f"<code>{escape(step.value)}</code>" if step.value else ""
    cause = f"<p>{escape(step.error.reason)}</p>" if step.error is not None else ""
    return (
        f'<tr class="{step.status}"><th scope="row">{icon(_MARKS[step.status], step.status + ": ")}'
        f"{escape(step.name)}{key}</th><td>{value}{cause}</td></tr>"
    )


def _not_reached(steps: Sequence[Step]) -> str:
    names = ", ".join(step.name for step in steps)
    return (
        f'<tr class="not-reached"><th scope="row">{icon("dash")}not reached</th>'
        f"<td>{escape(names)}</td></tr>"
    )


def header_sizes(report: Report) -> str:
    """Return the size of each header that the doctor examined, and the harmless values."""
    rows = []
    for name, size, value in report.case.request.header_sizes():
        share = min(size / GUNICORN_LIMIT, 1)
        shown = f"<code>{escape(value)}</code>" if value else ""
        rows.append(
            f'<tr><th scope="row">{escape(name.title())}</th>'
            f'<td><svg class="bar{" full" if share == 1 else ""}" aria-hidden="true"'
            f' viewBox="0 0 100 6" preserveAspectRatio="none"><rect width="100" height="6"/>'
            f'<rect width="{100 * share:.1f}" height="6"/></svg>{shown}</td>'
            f"<td>{quantity(size, 'byte')}</td></tr>"
        )
    if not rows:
        return ""
    caption = (
        f"By default, gunicorn refuses headers over {GUNICORN_LIMIT} bytes, and nginx"
        f" refuses headers over {NGINX_LIMIT} bytes."
    )
    table = f"<table><caption>{caption}</caption>{''.join(rows)}</table>"
    return section("headers", "Header size", f'<div class="box sizes">{table}</div>')


def copy_report(report: Report) -> str:
    """Return the doctor's report as text to copy, for a colleague or an issue."""
    return copyable("report", "Report", report.as_text())


def rule_trace(decision: Decision) -> str:
    """Return each access rule that was compared for a decision, with its outcome."""
    rows = "".join(
        f'<li class="{"decided" if step.rule is decision.rule else ""}">{rule_code(step.rule)}'
        f"<p>{escape(step.outcome)}</p></li>"
        for step in decision.steps
    )
    return f'<ol class="rules">{rows}</ol>' if rows else ""


def rule_code(rule: Rule) -> str:
    """Return a rule as it is written in the file, with its line number if there is one."""
    line = f"<small>{'' if rule.line is None else f'line {rule.line}'}</small>"
    return f"{line}<code>{escape(str(rule))}</code>"
