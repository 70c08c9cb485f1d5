"""Access rules of the stand-in: which requests it forwards, and why.

A site's proxy has an ordered list of rules. The first rule whose path matches decides. If no rule
matches, the request is refused. Mockup files contain rules like these::

    rules:
      - {path: /static/, allow: any}
      - {path: "/app/{profile}/", roles: [manager]}
      - {path: /courses/, plans: [all-courses]}
      - {path: /visits/, allow: authenticated, engaged: app}
      - {path: /, allow: authenticated}

A rule's path is a prefix of whole segments: ``/app/`` matches ``/app``, ``/app/`` and ``/app/x``
but not ``/apple``, and ``/`` matches every path. (An entry in ``allowed_no_session`` is
different: there, ``/`` matches only the home page.) ``{name}`` or ``:name`` matches exactly one
segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from ..errors import ConfigurationError
from ..paths import check_path
from ..requirements import plan_requirement, role_requirement
from ..session import Session
from .reader import Problem, Where, kind_of, text_problems

__all__ = ["Allow", "Decision", "Rule", "Rules", "Step", "Verdict", "read_rules"]

Allow = Literal["any", "authenticated"]
Verdict = Literal["forward", "sign in", "forbidden"]

_KEYS = ("path", "allow", "roles", "plans", "engaged")
_PARAMETER = re.compile(r"\{[A-Za-z_][\w-]*\}|:[A-Za-z_][\w-]*", re.ASCII)
# Tags become the last_visited of a token, which is ASCII, with commas between them.
_TAG = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """What a site requires of requests whose path starts with ``path``.

    A rule has either ``allow``, or ``roles``, ``plans`` or both. With both, the session needs one
    of the roles and one of the plans. ``engaged`` contains the tags that ``last_visited`` is kept
    for. ``line`` is the line in the YAML file, or None if the rule was not read from a file.

    Raises ConfigurationError for a rule that can never be met or whose meaning is ambiguous.
    """

    path: str
    allow: Allow | None = None
    roles: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    engaged: tuple[str, ...] = ()
    line: int | None = None

    def __post_init__(self) -> None:
        problems = [
            what
            for _, what in _rule_problems(
                self.path, self.allow, self.roles, self.plans, self.engaged
            )
        ]
        if problems:
            raise ConfigurationError("; ".join(problems))

    def __str__(self) -> str:
        """The rule as a line of YAML."""
        values = {
            "path": self.path,
            "allow": self.allow,
            "roles": list(self.roles),
            "plans": list(self.plans),
            "engaged": ",".join(self.engaged),
        }
        written = {key: value for key, value in values.items() if value}
        return yaml.safe_dump(
            written, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
        ).strip()

    def covers(self, other: Rule) -> bool:
        """Whether this rule matches every path that ``other`` matches."""
        ours, theirs = _segments(self.path), _segments(other.path)
        return len(ours) <= len(theirs) and all(
            _is_parameter(our) or our == their for our, their in zip(ours, theirs, strict=False)
        )


@dataclass(frozen=True)
class Step:
    """A line of a trace: a rule, and its outcome for this request.

    ``outcome`` may quote the request's path: escape it in HTML.
    """

    rule: Rule
    outcome: str


@dataclass(frozen=True)
class Decision:
    """What to do with a request, and why.

    ``rule`` is the rule that decided, or None if no rule did. ``reason`` is one sentence that may
    quote the request's path: escape it in HTML. ``steps`` contains each rule that was compared.
    """

    verdict: Verdict
    rule: Rule | None
    reason: str
    steps: tuple[Step, ...] = ()


class Rules:
    """The rules of a site, in order.

    Without any rule, every path is forwarded for signed-in users.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self._compiled = [(rule, _segments(rule.path)) for rule in self._rules]

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def decide(self, path: str, session: Session | None) -> Decision:
        """Decide what happens to a request for ``path``.

        ``path`` must be decoded and normalized, with a leading slash. Any other path is forbidden.
        ``session`` is the session of the signed-in user. None, or a session without a username,
        means that nobody is signed in.
        """
        segments = _segments(path)
        if not path.startswith("/") or not {"", ".", ".."}.isdisjoint(segments):
            return Decision("forbidden", None, "The path is not normalized, so no rule matches it.")
        signed_in = session is not None and session.is_authenticated
        if not self._rules:
            if signed_in:
                return Decision("forward", None, "Without rules, every signed-in user passes.")
            return Decision(
                "sign in", None, "Nobody is signed in. Without rules, only signed-in users pass."
            )
        steps = []
        for rule, pattern in self._compiled:
            parameters = _match(pattern, segments)
            if parameters is None:
                steps.append(Step(rule, "does not match the path"))
                continue
            verdict, outcome = _verdict(rule, parameters, session if signed_in else None)
            steps.append(Step(rule, f"matches; {outcome}"))
            return Decision(verdict, rule, f"The rule for {rule.path} {outcome}.", tuple(steps))
        return Decision("forbidden", None, "No rule matches the path.", tuple(steps))


def _rule_problems(
    path: str,
    allow: str | None,
    roles: Sequence[str],
    plans: Sequence[str],
    engaged: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Yield the problems of a rule with these values, each with the key to change."""
    yield from _path_problems(path)
    if allow is not None and (roles or plans):
        yield "allow", "allow together with roles or plans, expected one or the other"
    elif allow not in (None, "any", "authenticated"):
        yield "allow", f"allow is {allow!r}, expected any or authenticated"
    elif allow is None and not roles and not plans:
        yield "path", "a rule that admits nobody, expected allow, or roles, plans or both"
    parameters = len(_parameters(path))
    if roles and parameters != 1:
        yield (
            "roles",
            f"roles with {parameters} parameters in the path, expected exactly one, such as"
            " {profile}: the organization that the role is for",
        )
    elif plans and parameters > 1:
        yield (
            "plans",
            f"plans with {parameters} parameters in the path, expected at most one: the"
            " organization that is subscribed",
        )
    for tag in engaged:
        if not _TAG.fullmatch(tag):
            yield "engaged", f"{tag!r} in engaged, expected a tag of letters, digits, - and _"


def read_rules(
    data: Any, where: Where, line_of: Callable[[Where], int | None]
) -> tuple[list[Rule], list[Problem]]:
    """Return the rules in a list from a mockup file, and all problems with the list.

    ``where`` is the place of the list in the file. ``line_of`` returns the line of a place in the
    file, or None if the rules do not come from a file.
    """
    if not isinstance(data, (list, tuple)) or not data:
        what = f"rules is {kind_of(data)}, expected a list of rules, or leave out the key"
        return [], [Problem(where, what)]
    rules: list[Rule] = []
    problems: list[Problem] = []
    for index, value in enumerate(data):
        here = (*where, index)
        found_here = list(_type_problems(value, here))
        if not found_here:
            engaged = value.get("engaged", ())
            values = {
                "path": value["path"],
                "allow": value.get("allow"),
                "roles": tuple(value.get("roles", ())),
                "plans": tuple(value.get("plans", ())),
                "engaged": tuple(engaged.split(",") if isinstance(engaged, str) else engaged),
            }
            found_here = [Problem((*here, key), what) for key, what in _rule_problems(**values)]
        if not found_here:
            rule = Rule(**values, line=line_of(here))
            found_here = list(_shadow_problems(rule, rules, here))
            rules.append(rule)
        problems += found_here
    return rules, problems


def _type_problems(value: Any, where: Where) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(where, f"{kind_of(value)}, expected a rule: a mapping with a path")
        return
    for key in value:
        if key not in _KEYS:
            what = f"unknown key {key!r} in a rule, expected {', '.join(_KEYS)}"
            yield Problem((*where, key), what)
    if "path" not in value:
        yield Problem(where, "a rule without a path, expected a string such as /app/")
    for key in ("path", "allow"):
        if key in value:
            yield from text_problems(value, key, where)
    for key in ("roles", "plans", "engaged"):
        if key not in value or (key == "engaged" and isinstance(value[key], str)):
            continue
        if not isinstance(value[key], (list, tuple)) or not value[key]:
            what = f"{key} is {kind_of(value[key])}, expected a list of strings"
            yield Problem((*where, key), what)
            continue
        for index, name in enumerate(value[key]):
            if not isinstance(name, str) or not name.strip():
                what = f"{kind_of(name)} in {key}, expected a string"
                yield Problem((*where, key, index), what)


def _shadow_problems(rule: Rule, earlier: list[Rule], where: Where) -> Iterator[Problem]:
    """Yield a problem if an earlier rule matches every path that a rule matches.

    Comparing with one earlier rule at a time is enough. Take the path that consists of the
    rule's own segments, with values for its parameters that occur in no other rule: an earlier rule
    that matches this path matches every path of the rule.
    """
    for other in earlier:
        if other.covers(rule):
            position = f" on line {other.line}" if other.line else ""
            yield Problem(
                where,
                f"the rule for {rule.path} can never match, because the rule for {other.path}"
                f"{position} matches every such path, expected the more specific rule first",
            )
            return


def _path_problems(path: str) -> Iterator[tuple[str, str]]:
    try:
        check_path(path)
    except ValueError as error:
        yield "path", str(error)
    for segment in _segments(path):
        if not _is_parameter(segment) and re.search(r"^:|[{}]", segment):
            yield "path", f"{segment!r} in a path, expected a parameter such as {{profile}}"


def _segments(path: str) -> list[str]:
    """Return the segments of a path, without the empty segment after a trailing slash."""
    return path.removesuffix("/").split("/")[1:]


def _is_parameter(segment: str) -> bool:
    return _PARAMETER.fullmatch(segment) is not None


def _parameters(path: str) -> list[str]:
    return [segment for segment in _segments(path) if _is_parameter(segment)]


def _match(pattern: list[str], segments: list[str]) -> list[str] | None:
    """Return the values of the pattern's parameters, or None if the path does not match."""
    if len(segments) < len(pattern):
        return None
    values = []
    for expected, segment in zip(pattern, segments, strict=False):
        if _is_parameter(expected):
            values.append(segment)
        elif expected != segment:
            return None
    return values


def _verdict(rule: Rule, parameters: list[str], session: Session | None) -> tuple[Verdict, str]:
    """Return the verdict of a matching rule, and the reason as the end of a sentence about it.

    ``session`` is None if nobody is signed in.
    """
    if rule.allow == "any":
        return "forward", "lets everybody in"
    needs = {"a signed-in user": session is not None}
    if rule.allow is None:
        needs = dict(_needs(rule, parameters, session or Session()))
    wanted = " and ".join(needs)
    missing = [need for need, is_met in needs.items() if not is_met]
    if session is None:
        return "sign in", f"needs {wanted}, and nobody is signed in"
    if not missing:
        return "forward", f"needs {wanted}, which the session has"
    if len(missing) == len(needs):
        return "forbidden", f"needs {wanted}, which the session does not have"
    return "forbidden", f"needs {wanted}, but the session does not have {missing[0]}"


def _needs(rule: Rule, parameters: list[str], session: Session) -> Iterator[tuple[str, bool]]:
    """Yield each requirement of a rule in words, and whether the session meets it."""
    arguments = dict(zip(["organization"], parameters, strict=False))
    # Only printable text may go into a log.
    slug = "".join(text if text.isprintable() else ascii(text) for text in parameters)
    if rule.roles:
        is_met = not role_requirement(rule.roles, "organization")(session, arguments)
        yield f"the role {' or '.join(rule.roles)} for {slug}", is_met
    if rule.plans:
        account = "organization" if arguments else None
        is_met = not plan_requirement(rule.plans, account)(session, arguments)
        owner = f" of {slug}" if account else ""
        yield f"an active subscription{owner} to {' or '.join(rule.plans)}", is_met
