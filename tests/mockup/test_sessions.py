from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError
from djsession.errors import MockupError
from djsession.mockup import MockupSessions
from djsession.mockup.rules import Rule
from tests.helpers.commands import ROOT
from tests.helpers.sessions import CAPTURES, XIA, load_capture

GOOD = """\
alice: &alice
  roles:
    manager:
      - slug: cowork
        created_at: 2017-09-14T23:16:55Z
  site: &site {printable_name: Chamoix Coworking, email: support@cowork.net}
  last_visited: null
xia:
  username: xia.lee
  site: *site
  roles: {manager: [{slug: xia, subscriptions: [{plan: basic, ends_at: 2030-01-01}]}]}
"""

SCHEMA = json.loads(files("djsession.mockup").joinpath("sessions.schema.json").read_text())


def accept(session: object) -> None:
    return None


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "sessions.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems_of(path: Path) -> list[str]:
    with pytest.raises(MockupError) as caught:
        MockupSessions(path, accept)
    assert isinstance(caught.value, ConfigurationError)
    assert str(caught.value) == "\n".join(caught.value.problems)
    prefix = f"{path}:"
    return [problem.removeprefix(prefix).lstrip() for problem in caught.value.problems]


def test_a_mockup_file_maps_names_to_sessions(write: Callable[[str], Path]) -> None:
    sessions = MockupSessions(write(GOOD), accept)
    assert list(sessions.by_name) == ["alice", "xia"]
    assert sessions.problems == []
    alice, xia = sessions.by_name.values()
    assert alice.username == "alice"
    assert xia.username == "xia.lee"
    assert xia["site"] == alice["site"] == XIA["site"]


def test_dates_in_a_mockup_file_stay_the_text_that_the_proxy_would_send(
    write: Callable[[str], Path],
) -> None:
    alice = MockupSessions(write(GOOD), accept).by_name["alice"]
    assert alice["roles"]["manager"][0]["created_at"] == "2017-09-14T23:16:55Z"


def test_a_mockup_session_is_found_by_its_username(write: Callable[[str], Path]) -> None:
    sessions = MockupSessions(write(GOOD), accept)
    assert sessions.by_username("xia.lee") is sessions.by_name["xia"]
    assert sessions.by_username("xia") is None
    assert sessions.by_username(None) is None


def test_yaml_merge_keys_only_add_missing_keys(write: Callable[[str], Path]) -> None:
    text = GOOD + "bob:\n  <<: *alice\n  site: {email: bob@example.com}\n"
    bob = MockupSessions(write(text), accept).by_name["bob"]
    assert bob.username == "bob"
    assert bob.managed_accounts == ["cowork"]
    assert bob["site"] == {"email": "bob@example.com"}


def test_unknown_keys_of_a_mockup_session_are_kept(write: Callable[[str], Path]) -> None:
    text = "a: {invoice_keys: [], email: a@b.c, age: 7, ratio: 0.5, yes: true, none: ~}"
    session = MockupSessions(write(text.replace("yes", '"yes"')), accept).by_name["a"]
    assert session == {
        "username": "a",
        "invoice_keys": [],
        "email": "a@b.c",
        "age": 7,
        "ratio": 0.5,
        "yes": True,
        "none": None,
    }


@pytest.mark.parametrize("visited", ["app,tutorial", "2026-11-23T06:20:15.501933+00:00", "null"])
def test_last_visited_is_a_date_or_tags_or_null(visited: str, write: Callable[[str], Path]) -> None:
    MockupSessions(write(f"a: {{last_visited: {visited!r}}}".replace("'null'", "null")), accept)


def test_every_mistake_in_a_mockup_file_is_reported_with_its_line(
    write: Callable[[str], Path],
) -> None:
    path = write(
        """\
alice:
  username: 7
  roles:
    manager:
      - printable_name: No slug
      - slug: 2024
        created_at: yesterday
        email: [a@b.c]
      - just text
    contributor: cowork
  site: Chamoix
  last_visited: sometimes
bob: 12
xia:
  roles: [manager]
xia:
  roles: {}
dana:
  username: dana
  roles:
    manager:
      - slug: dana
        subscriptions:
          - ends_at: never
          - plan: true
          - basic
      - slug: dana2
        subscriptions: basic
1:
  roles: {}
"""
    )
    assert problems_of(path) == [
        "2: username is a number, expected a string: put it in quotes",
        "5: an organization without a slug, expected a string that identifies it",
        "6: slug is a number, expected a string: put it in quotes",
        "7: created_at is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "8: email is a list, expected a string",
        "9: a string, expected an organization: a mapping with a slug",
        "10: contributor is a string, expected a list of organizations",
        "11: site is a string, expected a mapping",
        "12: last_visited is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "13: bob is a number, expected a session: a mapping",
        "15: roles is a list, expected a mapping from roles to lists of organizations",
        "16: duplicate key 'xia', first on line 14, expected each key once",
        "24: a subscription without a plan, expected a string that identifies it",
        "24: ends_at is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "25: plan is true or false, expected a string: put it in quotes",
        "26: a string, expected a subscription: a mapping with a plan",
        "28: subscriptions is a string, expected a list of plans",
        "29: a key that is not a string, expected a string: put it in quotes",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: empty, expected a mapping from user names to sessions"),
        ("# nothing\n", "1: empty, expected a mapping from user names to sessions"),
        ("[]", "1: an empty list, expected a mapping from user names to sessions"),
        ("alice", "1: a string, expected a mapping from user names to sessions"),
        ("{}", "1: an empty mapping, expected a mapping from user names to sessions"),
        ("alice:", "1: alice is empty, expected a session: a mapping"),
        ("alice:\n\troles: {}\n", "2: a tab in the indentation, expected spaces"),
        ("a:\n  roles: {}\n\n \tsite: {}\n", "4: a tab in the indentation, expected spaces"),
        ("a: {roles: [", "1: expected the node content"),
        ("a: {roles: {}}\n--- \nb: {}", "2: but found another document"),
        ("a: !!python/object:os.system {}", "1: a value with the unknown type"),
        ("a: {b: !!python/object/apply:os.system [id]}", "1: a value with the unknown type"),
        ("a: {b: !!binary aGk=}", "1: a value with the unknown type"),
        ("a: {b: !!set {c, d}}", "1: a value with the unknown type"),
        ("a: {b: !custom 1}", "1: a value with the unknown type"),
        ("a: {b: .nan}", "1: a value with the unknown type"),
        ("a: {b: !!int x}", "1: a value with the unknown type"),
        ("a: &a {b: *a}", "1: an anchor refers to itself"),
        ("a: {b: 1, b: 2}", "1: duplicate key 'b', first on line 1, expected each key once"),
        ("a: {<<: 1}", "1: << merges something that is not a mapping, expected a mapping"),
        ("a: {username: b}\nb: {}", "2: duplicate user: a has the same username"),
        ("a: {x: \x00}", "1: a character that YAML does not allow"),
        ("a: *nowhere", "1: found undefined alias"),
        ("a: " + "[" * 5000 + "]" * 5000, "1: nested too deeply"),
    ],
)
def test_a_broken_mockup_file_is_explained(
    text: str, problem: str, write: Callable[[str], Path]
) -> None:
    problems = problems_of(write(text))
    assert problems[0].startswith(problem), problems
    assert "expected" in problems[0]


def test_a_billion_laughs_attack_in_yaml_is_stopped(write: Callable[[str], Path]) -> None:
    lines = ["a0: &a0 {x: lol}"]
    lines += [f"a{n}: &a{n} {{l: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    started = time.monotonic()
    [problem] = problems_of(write("\n".join(lines)))
    assert "values with aliases followed" in problem
    assert time.monotonic() - started < 20


def test_only_a_small_regular_file_is_read_as_a_mockup_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    assert problems_of(fifo) == ["not a regular file, expected a YAML file"]
    assert problems_of(tmp_path) == ["not a regular file, expected a YAML file"]
    assert "cannot be read" in problems_of(tmp_path / "missing.yaml")[0]
    large = tmp_path / "large.yaml"
    large.write_text("a: {}\n#" + "x" * 1_048_576)
    assert "larger than 1048576 bytes" in problems_of(large)[0]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff")
    assert problems_of(binary) == ["not UTF-8, expected a YAML file in UTF-8"]


def test_a_mapping_of_mockup_sessions_is_checked_like_a_file() -> None:
    with pytest.raises(MockupError) as caught:
        MockupSessions({"a": {"roles": {"manager": [{}]}, "site": 1}, "b": None}, accept)
    assert caught.value.problems == [
        "a.roles.manager[0]: an organization without a slug, expected a string that identifies it",
        "a.site: site is a number, expected a mapping",
        "b: b is empty, expected a session: a mapping",
    ]
    with pytest.raises(
        MockupError, match="sessions: an empty mapping, expected a mapping from user names"
    ):
        MockupSessions({}, accept)


def test_a_mapping_of_mockup_sessions_may_hold_dates() -> None:
    visited = datetime(2030, 1, 1, tzinfo=UTC)
    session = MockupSessions({"a": {"last_visited": visited}}, accept).by_name["a"]
    assert session.last_visited == visited


def test_the_given_check_is_applied_to_each_mockup_session(write: Callable[[str], Path]) -> None:
    with pytest.raises(MockupError) as caught:
        MockupSessions(write(GOOD), lambda session: f"{session.username} is too large")
    assert [problem.rpartition("yaml:")[2] for problem in caught.value.problems] == [
        "1: alice: alice is too large",
        "8: xia: xia.lee is too large",
    ]


RULES = """\
sessions:
  xia: {roles: {manager: [{slug: xia}]}}
rules:
  - {path: /static/, allow: any}
  - path: "/app/{profile}/"
    roles: [manager]
    plans: [basic, premium]
  - {path: /visits/, allow: authenticated, engaged: "app,tutorial"}
  - {path: /tags/, allow: any, engaged: [app]}
  - {path: /, allow: authenticated}
"""


class TestRulesInAMockupFile:
    def test_a_file_may_hold_rules_beside_sessions(self, write: Callable[[str], Path]) -> None:
        sessions = MockupSessions(write(RULES), accept)
        assert list(sessions.by_name) == ["xia"]
        assert list(sessions.rules) == [
            Rule("/static/", "any", line=4),
            Rule("/app/{profile}/", None, ("manager",), ("basic", "premium"), line=5),
            Rule("/visits/", "authenticated", engaged=("app", "tutorial"), line=8),
            Rule("/tags/", "any", engaged=("app",), line=9),
            Rule("/", "authenticated", line=10),
        ]
        assert sessions.rules.decide("/", sessions.by_name["xia"]).verdict == "forward"

    def test_a_rule_as_text_is_read_as_that_rule(self, write: Callable[[str], Path]) -> None:
        sessions = MockupSessions(write(RULES), accept)
        lines = "".join(f"  - {rule}\n" for rule in sessions.rules)
        again = MockupSessions(write(f"sessions: {{xia: {{}}}}\nrules:\n{lines}"), accept)
        assert list(map(str, again.rules)) == list(map(str, sessions.rules))

    @pytest.mark.parametrize("text", [GOOD, "sessions: {xia: {}}", "sessions: {xia: {roles: {}}}"])
    def test_without_rules_there_are_none(self, text: str, write: Callable[[str], Path]) -> None:
        sessions = MockupSessions(write(text), accept)
        assert list(sessions.rules) == []
        assert "xia" in sessions.by_name

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("sessions: {username: bob}", ["sessions"]),
            ("sessions: {roles: {}}", ["sessions"]),
            ("sessions: {site: {slug: a}}\nrules: {roles: {}}", ["sessions", "rules"]),
            ("sessions: {last_visited: null}\nxia: {}", ["sessions", "xia"]),
            ("rules: {}", ["rules"]),
            ("sessions: {sessions: {}, rules: {}}", ["sessions", "rules"]),
            ("sessions: {roles: {}}\nrules: [{path: /, allow: any}]", ["roles"]),
        ],
    )
    def test_a_user_may_be_named_sessions_or_rules(
        self, text: str, names: list[str], write: Callable[[str], Path]
    ) -> None:
        assert list(MockupSessions(write(text), accept).by_name) == names

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("sessions: {}", "1: an empty mapping, expected a mapping from user names to sessions"),
            ("sessions:", "1: empty, expected a mapping from user names to sessions"),
            (
                "sessions: {invoice_keys: []}",
                "1: invoice_keys is an empty list, expected a session",
            ),
            (
                "sessions: {a: {}}\nruels: [{path: /, allow: any}]",
                "2: unknown key 'ruels' next to sessions, expected sessions and rules",
            ),
            ("sessions: {a: {}}\nxia: {}", "2: unknown key 'xia' next to sessions, expected"),
            ("sessions: {a: {}}\nrules:", "2: rules is empty, expected a list of rules"),
            ("sessions: {a: {}}\nrules: []", "2: rules is an empty list, expected a list"),
            (
                "sessions: {a: {}}\nrules: {path: /, allow: any}",
                "2: rules is a mapping, expected a list of rules",
            ),
            (
                "a: {}\nrules: [{path: /, allow: any}]",
                "2: rules is a list, expected a session: a mapping. In a file with rules, the"
                " users are below the key sessions",
            ),
            ("sessions: {roles: {}}\nrules: []", "2: rules is an empty list, expected a list"),
            (
                "sessions: {roles: {}}\nrules: {path: /, allow: any}",
                "2: rules is a mapping, expected a list of rules",
            ),
        ],
    )
    def test_misplaced_or_malformed_rules_are_a_mistake(
        self, text: str, problem: str, write: Callable[[str], Path]
    ) -> None:
        [found] = problems_of(write(text))
        assert found.startswith(problem)

    def test_every_mistake_in_rules_is_reported_with_its_line(
        self, write: Callable[[str], Path]
    ) -> None:
        text = """\
sessions: {a: {}}
rules:
  - {path: /one/, allow: any, role: manager}
  - allow: any
  - path: 7
    allow: true
  - path: app/
    allow: everybody
  - path: /a/../b/
    allow: any
  - path: /a%20b/
    allow: any
  - just text
  - path: /two/
    roles: [manager]
  - path: "/{a}/{b}/"
    roles: manager
    plans: []
    engaged: 1
  - path: "/{a}/{b}/"
    plans:
      - basic
  - path: "/three/{profile}/"
    allow: any
    roles: [1, "", ok]
  - path: "/four/{profile}/"
    roles: [manager]
    allow: any
  - path: /five/
  - path: /six/{a}b/
    allow: any
    engaged: app, tutorial
  - path: /five/five/
    allow:
"""
        assert problems_of(write(text)) == [
            "3: unknown key 'role' in a rule, expected path, allow, roles, plans, engaged",
            "4: a rule without a path, expected a string such as /app/",
            "5: path is a number, expected a string: put it in quotes",
            "6: allow is true or false, expected a string: put it in quotes",
            "7: 'app/' must start with '/': it is the path of a URL",
            "8: allow is 'everybody', expected any or authenticated",
            "9: no path ever matches '/a/../b/': write it percent-decoded, without '//',"
            " backslashes and '.' or '..' segments",
            "11: no path ever matches '/a%20b/': write it percent-decoded, without '//',"
            " backslashes and '.' or '..' segments",
            "13: a string, expected a rule: a mapping with a path",
            "15: roles with 0 parameters in the path, expected exactly one, such as {profile}: the"
            " organization that the role is for",
            "17: roles is a string, expected a list of strings",
            "18: plans is an empty list, expected a list of strings",
            "19: engaged is a number, expected a list of strings",
            "21: plans with 2 parameters in the path, expected at most one: the organization that"
            " is subscribed",
            "25: a number in roles, expected a string",
            "25: an empty string in roles, expected a string",
            "28: allow together with roles or plans, expected one or the other",
            "29: a rule that admits nobody, expected allow, or roles, plans or both",
            "30: '{a}b' in a path, expected a parameter such as {profile}",
            "32: ' tutorial' in engaged, expected a tag of letters, digits, - and _",
            "34: allow is empty, expected a string",
        ]

    def test_a_rule_that_can_never_match_is_a_mistake(self, write: Callable[[str], Path]) -> None:
        text = """\
sessions: {a: {}}
rules:
  - {path: "/a/{x}/", allow: any}
  - {path: /a/b/, allow: any}
  - {path: "/a/:y/c/", allow: any}
  - {path: /a/, allow: any}
  - {path: /a, allow: authenticated}
  - {path: /, allow: any}
  - {path: /z/, allow: any}
"""
        because = "matches every such path, expected the more specific rule first"
        assert problems_of(write(text)) == [
            "4: the rule for /a/b/ can never match, because the rule for /a/{x}/ on line 3 "
            + because,
            "5: the rule for /a/:y/c/ can never match, because the rule for /a/{x}/ on line 3 "
            + because,
            "7: the rule for /a can never match, because the rule for /a/ on line 6 " + because,
            "9: the rule for /z/ can never match, because the rule for / on line 8 " + because,
        ]

    def test_a_mapping_may_hold_rules(self) -> None:
        rules = [{"path": "/", "allow": "any"}, {"path": "/a/", "allow": "any"}]
        sessions = MockupSessions({"sessions": {"xia": {}}, "rules": rules[:1]}, accept)
        assert list(sessions.rules) == [Rule("/", "any", line=None)]
        with pytest.raises(MockupError) as caught:
            MockupSessions({"sessions": {"xia": {"site": 1}}, "rules": rules}, accept)
        assert caught.value.problems == [
            "sessions.xia.site: site is a number, expected a mapping",
            "rules[1]: the rule for /a/ can never match, because the rule for / matches every such"
            " path, expected the more specific rule first",
        ]

    def test_a_broken_edit_keeps_the_last_good_rules(
        self, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(RULES)
        sessions = MockupSessions(path, accept)
        before = list(sessions.rules)
        path.write_text(RULES.replace("allow: any", "allow: all"))
        assert list(sessions.rules) == before
        assert len(sessions.problems) == 2
        path.write_text("sessions: [\n")
        assert list(sessions.rules) == before
        path.write_text("xia: {}\n")
        assert list(sessions.rules) == []


class TestWarningsAboutAMockupFile:
    TEXT = """\
xia:
  role: {manager: []}
  site: {printablename: Xia}
  roles:
    manager:
      - slug: xia
        subcriptions: []
        plans: [basic]
        subscriptions:
          - {plan: basic, end_at: 2030-01-01}
"""
    WARNINGS: ClassVar = [
        "2: unknown key 'role', did you mean 'roles'?",
        "3: unknown key 'printablename', did you mean 'printable_name'?",
        "7: unknown key 'subcriptions', did you mean 'subscriptions'?",
        "8: unknown key 'plans', did you mean 'subscriptions'?",
        "10: unknown key 'end_at', did you mean 'ends_at'?",
    ]

    def test_a_key_close_to_a_known_one_is_a_warning(
        self, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(self.TEXT)
        sessions = MockupSessions(path, accept)
        assert list(sessions.by_name) == ["xia"]
        assert sessions.warnings == [f"{path}:{line}" for line in self.WARNINGS]
        assert sessions.problems == []
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (logging.WARNING, f"mockup sessions: {warning}") for warning in sessions.warnings
        ]

    def test_it_is_logged_again_after_an_edit(
        self, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(self.TEXT)
        sessions = MockupSessions(path, accept)
        assert len(sessions.by_name) == 1
        assert len(caplog.records) == 5
        path.write_text("xia: {usernam: x}\n")
        assert sessions.warnings == [f"{path}:1: unknown key 'usernam', did you mean 'username'?"]
        assert caplog.messages[-1] == f"mockup sessions: {sessions.warnings[0]}"
        assert len(caplog.records) == 6
        path.write_text("xia: {username: x}\n")
        assert sessions.warnings == []

    def test_a_mistake_does_not_hide_it(
        self, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        text = "xia: {roles: {manager: [{slug: xia, subscriptions: [{plans: basic}]}]}}"
        assert problems_of(write(text)) == [
            "1: a subscription without a plan, expected a string that identifies it"
        ]
        assert caplog.messages[0].endswith("yaml:1: unknown key 'plans', did you mean 'plan'?")

    def test_an_anchor_is_warned_about_once(self, write: Callable[[str], Path]) -> None:
        text = "a:\n  site: &site {slugs: x}\nb:\n  site: *site\n"
        assert len(MockupSessions(write(text), accept).warnings) == 1

    def test_a_mapping_has_warnings_too(self) -> None:
        sessions = MockupSessions({"xia": {"role": {}, 1: 2}}, accept)
        assert sessions.warnings == ["xia.role: unknown key 'role', did you mean 'roles'?"]

    def test_an_unknown_key_below_the_key_sessions_is_a_warning(
        self, write: Callable[[str], Path]
    ) -> None:
        [warning] = MockupSessions(write("sessions:\n  xia:\n    role: {}\n"), accept).warnings
        assert warning.endswith("yaml:3: unknown key 'role', did you mean 'roles'?")

    @pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
    def test_what_the_proxy_sends_is_silent(self, path: Path) -> None:
        session = load_capture(path).session
        assert MockupSessions({"xia": session or {}}, accept).warnings == []

    def test_unknown_keys_with_a_meaning_of_their_own_cause_no_warning(self) -> None:
        organization = {"slug": "a", "picture": 1, "created_by": 1, "type": 1, "phone": 1}
        session = {
            "roles": {"manager": [organization]},
            "site": {"full_name": "x", "is_active": True},
            **dict.fromkeys(["invoice_keys", "session_key", "access_key", "secret_key", "exp"]),
            **dict.fromkeys(["security_token", "email", "full_name", "language", "last_login"]),
        }
        assert MockupSessions({"xia": session}, accept).warnings == []


class TestEditedMockupFile:
    def test_an_edited_file_is_read_again(self, write: Callable[[str], Path]) -> None:
        path = write(GOOD)
        sessions = MockupSessions(path, accept)
        before = sessions.by_name
        assert sessions.by_name is before
        path.write_text(GOOD + "dana: {}\n")
        assert list(sessions.by_name) == ["alice", "xia", "dana"]

    def test_a_broken_edit_keeps_the_last_good_sessions(
        self, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(GOOD)
        sessions = MockupSessions(path, accept)
        path.write_text("alice: 1\n")
        assert list(sessions.by_name) == ["alice", "xia"]
        assert sessions.problems == [f"{path}:1: alice is a number, expected a session: a mapping"]
        sessions.by_name  # noqa: B018
        # Said once, however often it is looked at.
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert "alice is a number" in record.getMessage()
        path.write_text("dana: {}\n")
        assert list(sessions.by_name) == ["dana"]
        assert sessions.problems == []

    def test_a_file_that_is_gone_for_a_moment_does_no_harm(
        self, write: Callable[[str], Path]
    ) -> None:
        path = write(GOOD)
        sessions = MockupSessions(path, accept)
        path.unlink()
        assert list(sessions.by_name) == ["alice", "xia"]
        assert "cannot be read" in sessions.problems[0]
        write("dana: {}\n")
        assert list(sessions.by_name) == ["dana"]


ODD = [
    *('!!int ""', '!!int "_"', '!!int "-"', '!!float ""', ":".join(["1"] * 300) + ":1.0"),
    *('"\\UFFFFFFFF"', '"\\U00110000"', "!!python/object:os.system x", "&a [*a]", "<<: *a"),
]


@pytest.mark.parametrize("value", ODD)
def test_a_value_that_the_yaml_library_fails_on_is_a_mockup_error(
    value: str, write: Callable[[str], Path]
) -> None:
    with pytest.raises(MockupError):
        MockupSessions(write(f"a: {{b: {value}}}\n"), accept)


def test_a_yaml_version_with_too_many_digits_is_a_mockup_error(
    write: Callable[[str], Path],
) -> None:
    with pytest.raises(MockupError):
        MockupSessions(write(f"%YAML {'9' * 5000}.1\n---\na: {{}}\n"), accept)


def test_the_name_of_a_role_must_be_a_string() -> None:
    with pytest.raises(MockupError, match="a role is a number"):
        MockupSessions({"xia": {"roles": {1: [{"slug": "a"}]}}}, accept)


@given(st.text() | st.lists(st.sampled_from([*ODD, "a: ", "\n", "- ", "  "])).map("".join))
def test_any_text_is_read_as_mockup_sessions_or_is_a_mockup_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "sessions.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(MockupError):
        assert MockupSessions(path, accept).by_name


RULE_VALUES: list[Any] = [
    {},
    {"allow": "any"},
    {"allow": "authenticated", "engaged": "app"},
    {"allow": "authenticated", "engaged": "app,tour"},
    {"allow": "any", "engaged": ["app", "tour"]},
    {"allow": "any", "engaged": "app, tour"},
    {"allow": "any", "engaged": "caf\xe9"},
    {"allow": "any", "engaged": ""},
    {"allow": "any", "engaged": []},
    {"allow": "any", "engaged": ["app,tour"]},
    {"allow": "any", "engaged": 1},
    {"allow": "everybody"},
    {"allow": None},
    {"allow": True},
    {"allow": ["any"]},
    {"allow": "any", "roles": ["a"]},
    {"allow": "any", "plans": ["a"]},
    {"allow": "any", "role": "a"},
    {"allow": "any", "path": 1},
    {"allow": "any", "path": None},
    {"roles": ["a"]},
    {"roles": ["a", "b"], "engaged": "app"},
    {"roles": "a"},
    {"roles": []},
    {"roles": [1]},
    {"roles": [" "]},
    {"roles": None},
    {"plans": ["a"]},
    {"plans": []},
    {"plans": "a"},
    {"roles": ["a"], "plans": ["b"]},
    {"roles": ["a"], "plans": []},
]
PATH_PARTS = [
    *("/", "/", "/", "a", "{a}", ":b", "{", "}", ":", ".", "..", "%2e", "%", "\\", ";", "\n"),
    *("\xe9", "\ufffd", "-", "_", "1", "{1}", "?"),
]


class TestMockupSchema:
    validator = jsonschema.Draft7Validator(SCHEMA)

    def test_it_is_a_json_schema(self) -> None:
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    @pytest.mark.parametrize(("name", "rules"), [("sessions.yaml", 0), ("site.yaml", 6)])
    def test_the_examples_satisfy_it(self, name: str, rules: int) -> None:
        path = ROOT / "examples" / name
        found = MockupSessions(path, accept)
        assert list(found.by_name) == ["alice", "xia", "dana"]
        assert len(found.rules) == rules
        assert found.warnings == []
        assert self.validator.is_valid(
            json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str))
        )

    @pytest.mark.parametrize("name", ["sessions.yaml", "site.yaml"])
    def test_the_examples_point_editors_to_it(self, name: str) -> None:
        first = (ROOT / "examples" / name).read_text().splitlines()[0]
        prefix = "# yaml-language-server: $schema="
        assert first.startswith(prefix)
        target = ROOT / "examples" / first.removeprefix(prefix)
        assert json.loads(target.read_text()) == SCHEMA

    @pytest.mark.parametrize(
        "sessions",
        [
            {"a": {}},
            {"a": XIA},
            {"a": {"last_visited": "app,tutorial", "x": [1]}},
            {"a": {"username": 1}},
            {"a": {"username": " "}},
            {"a": {"roles": []}},
            {"a": {"roles": None}},
            {"a": {"roles": {"manager": {}}}},
            {"a": {"roles": {"manager": [{"slug": ""}]}}},
            {"a": {"roles": {"manager": [{}]}}},
            {"a": {"roles": {"manager": [{"slug": "a", "created_at": "soon"}]}}},
            {"a": {"roles": {"manager": [{"slug": "a", "subscriptions": None}]}}},
            {"a": {"roles": {"manager": [{"slug": "a", "subscriptions": [{}]}]}}},
            {"a": {"roles": {"manager": [{"slug": "a", "subscriptions": [{"plan": 1}]}]}}},
            {"a": {"site": []}},
            {"a": {"site": {"email": 1}}},
            {"a": {"last_visited": "sometimes"}},
            {"a": {"last_visited": 1}},
            {"a": None},
            {" ": {}},
            {},
            {"sessions": {}},
            {"sessions": None},
            {"sessions": {"a": {}}},
            {"sessions": {"a": {"roles": []}}},
            {"sessions": {"username": "a"}},
            {"sessions": {"roles": {"manager": []}}},
            {"sessions": {"roles": []}},
            {"sessions": {"a": {}}, "a": {}},
            {"sessions": {"a": {}}, "rules": None},
            {"sessions": {"a": {}}, "rules": []},
            {"sessions": {"a": {}}, "rules": {}},
            {"sessions": {"site": {}}, "rules": {}},
            {"sessions": {"site": {}}, "rules": None},
            {"sessions": {"site": {}}, "rules": {"site": {}}},
            {"sessions": {"site": {}}, "rules": {"path": "/", "allow": "any"}},
            {"sessions": {"site": {}}, "rules": [{"path": "/", "allow": "any"}]},
            {"sessions": {"username": "a"}, "rules": [{"path": "/", "allow": "any"}]},
            {"a": {}, "rules": [{"path": "/", "allow": "any"}]},
        ],
        ids=json.dumps,
    )
    def test_it_agrees_with_the_reader(self, sessions: dict[str, Any]) -> None:
        self.check(sessions)

    @pytest.mark.parametrize("values", RULE_VALUES, ids=json.dumps)
    @pytest.mark.parametrize("path", ["/", "/{a}/", "/:a/b", "/{a}/:b/"])
    def test_it_agrees_with_the_reader_about_rules(self, path: str, values: Any) -> None:
        self.check({"sessions": {"a": {}}, "rules": [{"path": path, **values}]})

    @given(st.lists(st.sampled_from(PATH_PARTS), max_size=6).map("".join))
    def test_it_agrees_with_the_reader_about_paths(self, path: str) -> None:
        self.check({"sessions": {"a": {}}, "rules": [{"path": path, "allow": "any"}]})
        self.check({"sessions": {"a": {}}, "rules": [{"path": path, "roles": ["a"]}]})

    def check(self, sessions: dict[str, Any]) -> None:
        try:
            MockupSessions(sessions, accept)
        except MockupError:
            assert not self.validator.is_valid(sessions)
        else:
            assert self.validator.is_valid(sessions)
