"""The doctor's report, as text for people and as JSON for machines."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..gate import Gate
from ..redact import redact
from ..session import Session
from ..trace import Step, Trace, quantity, session_text, trace_token
from .diagnosis import Case, Finding, diagnose

__all__ = ["Report"]

_WIDTH = 96
_MARKS = {"passed": "ok", "failed": "FAILED", "not reached": "-"}
_COLOURS = {"passed": "32", "failed": "1;31", "not reached": "2"}


@dataclass(frozen=True)
class Report:
    """A case, what happened to its tokens, and the findings about it."""

    case: Case
    traces: tuple[Trace, ...]
    findings: tuple[Finding, ...]
    #: Why the request is refused although one of its tokens decodes, or ``""``.
    refusal: str = ""

    @classmethod
    def of(cls, case: Case) -> Report:
        """Examine a case and return the report about it."""
        settings, request = case.settings, case.request
        cookie = request.header("cookie")
        has_key = bool(case.keys.usable or case.keys.trimmed)
        traces = [
            trace_token(
                candidate,
                settings,
                is_quoted=f'"{candidate.token}"' in cookie,
                has_key=has_key,
            )
            for candidate in case.candidates()
        ]
        findings = diagnose(case, traces)
        refusal = ""
        if request.token is None and any(trace.session is not None for trace in traces):
            # The peer is checked below, if it is known.
            gate = Gate(replace(settings, trusted_proxies=None))
            decoded = gate.decode(cookie, request.header("authorization"))
            if decoded.session is None:
                refusal = "; ".join(decoded.causes)
                sentence = f"No token was accepted: {refusal}."
                remedy = (
                    "Find out what adds a cookie or a header to those that the proxy sends. If the"
                    " site uses the JWT session backend and nobody is signed in, sign in."
                )
                findings.insert(0, Finding("no-token-counts", sentence, remedy))
            elif not case.is_trusted:
                refusal = "the request did not come from one of trusted_proxies"
        return cls(case, tuple(traces), tuple(findings), refusal)

    @property
    def session(self) -> Session | None:
        """The session of the first token that decodes, with its credentials masked, or None."""
        if self.refusal:
            return None
        return next((item.session for item in self.traces if item.session is not None), None)

    @property
    def decodes(self) -> bool:
        """Whether an application with these keys would have a session."""
        return self.session is not None and bool(self.case.keys.usable)

    @property
    def request_line(self) -> str:
        """The method and the path of the request, in ASCII, or ``""`` if they are not known."""
        request = self.case.request
        return f"{request.method} {ascii(request.path)[1:-1]}" if request.method else ""

    def as_json(self) -> str:
        """Return the report as JSON in ASCII: the tokens with their steps, and the findings."""
        document = {
            "decodes": self.decodes,
            "source": self.case.request.source,
            "method": self.case.request.method,
            "path": self.case.request.path,
            "tokens": [
                {
                    "transport": trace.transport,
                    "format": trace.format,
                    "decodes": trace.session is not None,
                    "steps": [_step_document(step) for step in trace.steps],
                }
                for trace in self.traces
            ],
            "session": self.session,
            "findings": [
                {
                    "id": finding.id,
                    "is_cause": finding.is_cause,
                    "sentence": finding.sentence,
                    "remedy": finding.remedy,
                }
                for finding in self.findings
            ],
        }
        return self.redacted(json.dumps(document, indent=2))

    def as_text(self, *, colour: bool = False) -> str:
        """Return the report as text in ASCII, with escape sequences if ``colour`` is true."""
        lines = list(self._lines(colour))
        text = "\n".join(lines).encode("ascii", "backslashreplace").decode()
        return self.redacted(text)

    def _lines(self, colour: bool) -> Iterator[str]:
        if self.request_line:
            yield self.request_line
            headers = [*self.case.request.header_sizes()]
            width = max((len(name) for name, _, _ in headers), default=0)
            for name, size, value in headers:
                yield f"  {name:<{width}}  {quantity(size, 'byte'):>11}  {value}".rstrip()
            yield ""
        for trace in self.traces:
            yield from _table(trace, colour)
            yield ""
        if self.session is not None:
            yield "session:"
            yield textwrap.indent(session_text(self.session), "  ")
            yield ""
        if self.decodes:
            yield _paint("The session decodes.", "1;32", colour)
        elif self.session is not None:
            verdict = "There is no session: an application does not start with this key."
            yield _paint(verdict, "1;31", colour)
            yield "The steps above used the key with the quotes and white space around it removed."
        else:
            yield _paint("There is no session.", "1;31", colour)
        for finding in self.findings:
            yield ""
            title = "1;31" if finding.is_cause and not self.decodes else "1"
            yield _paint(_wrapped(finding.sentence, "  "), title, colour)
            if finding.remedy:
                yield _wrapped(f"What to do: {finding.remedy}", "  ")

    def redacted(self, text: str) -> str:
        """Return a text about the case with the keys masked wherever they occur in it."""
        return redact(text, {*self.case.keys.raw, *self.case.keys.trimmed})


def _step_document(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"name": step.name, "status": step.status, "key": step.key}
    if step.value:
        document["value"] = step.value
    if step.error is not None:
        document.update(cause=step.error.reason, remedy=step.error.remedy)
    return document


def _table(trace: Trace, colour: bool) -> Iterator[str]:
    names = [step.name for step in trace.steps]
    several = max((step.key or 0 for step in trace.steps), default=0) > 1
    width = max(len(name) for name in names) + (len(" (key 1)") if several else 0)
    for step in trace.steps:
        name = f"{step.name} (key {step.key})" if several and step.key else step.name
        mark = _paint(f"{_MARKS[step.status]:<6}", _COLOURS[step.status], colour)
        yield f"  {name:<{width}}  {mark}  {step.value}".rstrip()
        if step.error is not None:
            yield " " * (width + 12) + step.error.reason


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text.encode("ascii", "backslashreplace").decode(),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
