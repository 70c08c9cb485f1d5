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
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError
from djsession.errors import MockupError
from djsession.mockup import MockupSessions
from tests.helpers.commands import ROOT
from tests.helpers.sessions import XIA

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
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_file_maps_names_to_sessions(write: Callable[[str], Path]) -> None:
    sessions = MockupSessions(write(GOOD), accept)
    assert list(sessions.by_name) == ["alice", "xia"]
    assert sessions.problems == []
    alice, xia = sessions.by_name.values()
    assert alice.username == "alice"
    assert xia.username == "xia.lee"
    assert xia["site"] == alice["site"] == XIA["site"]


def test_dates_stay_the_text_that_the_proxy_would_send(write: Callable[[str], Path]) -> None:
    alice = MockupSessions(write(GOOD), accept).by_name["alice"]
    assert alice["roles"]["manager"][0]["created_at"] == "2017-09-14T23:16:55Z"


def test_a_session_is_found_by_its_username(write: Callable[[str], Path]) -> None:
    sessions = MockupSessions(write(GOOD), accept)
    assert sessions.by_username("xia.lee") is sessions.by_name["xia"]
    assert sessions.by_username("xia") is None
    assert sessions.by_username(None) is None


def test_merge_keys_bring_in_what_is_not_there(write: Callable[[str], Path]) -> None:
    text = GOOD + "bob:\n  <<: *alice\n  site: {email: bob@example.com}\n"
    bob = MockupSessions(write(text), accept).by_name["bob"]
    assert bob.username == "bob"
    assert bob.managed_accounts == ["cowork"]
    assert bob["site"] == {"email": "bob@example.com"}


def test_unknown_keys_are_kept(write: Callable[[str], Path]) -> None:
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


def test_every_mistake_is_reported_at_once_with_its_line(write: Callable[[str], Path]) -> None:
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
        "5: an organization without slug, expected a string that identifies it",
        "6: slug is a number, expected a string: put it in quotes",
        "7: created_at is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "8: email is a list, expected a string",
        "9: a string, expected an organization: a mapping with a slug",
        "10: contributor is a string, expected a list of organizations",
        "11: site is a string, expected a mapping",
        "12: last_visited is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "13: bob is a number, expected a session: a mapping",
        "15: roles is a list, expected a mapping of roles to lists of organizations",
        "16: duplicate user 'xia', first on line 14, expected each once",
        "24: a subscription without plan, expected a string that identifies the plan",
        "24: ends_at is not a date, expected a date such as 2030-01-01T09:00:00Z, or null",
        "25: plan is true or false, expected a string: put it in quotes",
        "26: a string, expected a subscription: a mapping with a plan",
        "28: subscriptions is a string, expected a list of plans",
        "29: a key that is not a string, expected one: put it in quotes",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: empty, expected a mapping of user names to sessions"),
        ("# nothing\n", "1: empty, expected a mapping of user names to sessions"),
        ("[]", "1: a list, expected a mapping of user names to sessions"),
        ("alice", "1: a string, expected a mapping of user names to sessions"),
        ("{}", "1: a mapping, expected a mapping of user names to sessions"),
        ("alice:", "1: alice is empty, expected a session: a mapping"),
        ("alice:\n\troles: {}\n", "2: a tab in the indentation, expected spaces"),
        ("a:\n  roles: {}\n\n \tsite: {}\n", "4: a tab in the indentation, expected spaces"),
        ("a: {roles: [", "1: expected the node content"),
        ("a: {roles: {}}\n--- \nb: {}", "2: but found another document"),
        ("a: !!python/object:os.system {}", "1: a value of the unknown type"),
        ("a: {b: !!python/object/apply:os.system [id]}", "1: a value of the unknown type"),
        ("a: {b: !!binary aGk=}", "1: a value of the unknown type"),
        ("a: {b: !!set {c, d}}", "1: a value of the unknown type"),
        ("a: {b: !custom 1}", "1: a value of the unknown type"),
        ("a: {b: .nan}", "1: a value of the unknown type"),
        ("a: {b: !!int x}", "1: a value of the unknown type"),
        ("a: &a {b: *a}", "1: an anchor refers to itself"),
        ("a: {b: 1, b: 2}", "1: duplicate key 'b', first on line 1, expected each once"),
        ("a: {<<: 1}", "1: << merges what is not a mapping, expected a mapping"),
        ("a: {username: b}\nb: {}", "2: duplicate user: a has the same username"),
        ("a: {x: \x00}", "1: a character that YAML does not allow"),
        ("a: *nowhere", "1: found undefined alias"),
        ("a: " + "[" * 5000 + "]" * 5000, "1: nested too deeply"),
    ],
)
def test_a_broken_file_is_explained(text: str, problem: str, write: Callable[[str], Path]) -> None:
    problems = problems_of(write(text))
    assert problems[0].startswith(problem), problems
    assert "expected" in problems[0]


def test_a_billion_laughs_are_cut_short(write: Callable[[str], Path]) -> None:
    lines = ["a0: &a0 {x: lol}"]
    lines += [f"a{n}: &a{n} {{l: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    started = time.monotonic()
    [problem] = problems_of(write("\n".join(lines)))
    assert "values, its aliases followed" in problem
    assert time.monotonic() - started < 20


def test_nothing_but_a_small_regular_file_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    assert problems_of(fifo) == ["1: not a regular file, expected a YAML file"]
    assert problems_of(tmp_path) == ["1: not a regular file, expected a YAML file"]
    assert "cannot be read" in problems_of(tmp_path / "missing.yaml")[0]
    large = tmp_path / "large.yaml"
    large.write_text("a: {}\n#" + "x" * 1_048_576)
    assert "larger than 1048576 bytes" in problems_of(large)[0]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff")
    assert problems_of(binary) == ["1: not UTF-8, expected a YAML file in UTF-8"]


def test_a_mapping_is_checked_too() -> None:
    with pytest.raises(MockupError) as caught:
        MockupSessions({"a": {"roles": {"manager": [{}]}, "site": 1}, "b": None}, accept)
    assert caught.value.problems == [
        "a.roles.manager[0]: an organization without slug, expected a string that identifies it",
        "a.site: site is a number, expected a mapping",
        "b: b is empty, expected a session: a mapping",
    ]
    with pytest.raises(MockupError, match="sessions: a mapping, expected a mapping of user names"):
        MockupSessions({}, accept)


def test_a_mapping_may_hold_dates() -> None:
    visited = datetime(2030, 1, 1, tzinfo=UTC)
    session = MockupSessions({"a": {"last_visited": visited}}, accept).by_name["a"]
    assert session.last_visited == visited


def test_the_check_is_asked_about_each_session(write: Callable[[str], Path]) -> None:
    with pytest.raises(MockupError) as caught:
        MockupSessions(write(GOOD), lambda session: f"{session.username} is too large")
    assert [problem.rpartition("yaml:")[2] for problem in caught.value.problems] == [
        "1: alice: alice is too large",
        "8: xia: xia.lee is too large",
    ]


class TestEditing:
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
def test_a_value_that_yaml_itself_trips_over_is_explained(
    value: str, write: Callable[[str], Path]
) -> None:
    with pytest.raises(MockupError):
        MockupSessions(write(f"a: {{b: {value}}}\n"), accept)


def test_a_version_of_too_many_digits(write: Callable[[str], Path]) -> None:
    with pytest.raises(MockupError):
        MockupSessions(write(f"%YAML {'9' * 5000}.1\n---\na: {{}}\n"), accept)


def test_a_role_is_named_by_a_string() -> None:
    with pytest.raises(MockupError, match="a role is a number"):
        MockupSessions({"xia": {"roles": {1: [{"slug": "a"}]}}}, accept)


@given(st.text() | st.lists(st.sampled_from([*ODD, "a: ", "\n", "- ", "  "])).map("".join))
def test_any_text_is_sessions_or_explained(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "sessions.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(MockupError):
        assert MockupSessions(path, accept).by_name


class TestSchema:
    validator = jsonschema.Draft7Validator(SCHEMA)

    def test_it_is_a_json_schema(self) -> None:
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_the_example_satisfies_it(self) -> None:
        sessions = MockupSessions(ROOT / "examples/sessions.yaml", accept).by_name
        assert list(sessions) == ["alice", "xia", "dana"]
        assert self.validator.is_valid(sessions)

    def test_the_example_points_editors_to_it(self) -> None:
        first = (ROOT / "examples/sessions.yaml").read_text().splitlines()[0]
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
            {},
        ],
        ids=json.dumps,
    )
    def test_it_agrees_with_the_reader(self, sessions: dict[str, Any]) -> None:
        try:
            MockupSessions(sessions, accept)
        except MockupError:
            assert not self.validator.is_valid(sessions)
        else:
            assert self.validator.is_valid(sessions)
