"""The check of phrases: what it finds, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint import english


@pytest.mark.parametrize(
    "text",
    [
        "This is no token of a proxy.",
        "It contains characters that base64 has not.",
        "The request has none.",
        "Both need Python alone.",
        "What the gate makes of it.",
        "The name it goes by.",
        "What the session says of the user.",
        "The user is told why.",
        "Test clients go on to work.",
        "What there is to say.",
        "Give a page that is there.",
        "A token of the proxy's.",
        "It is under no entry.",
        "Arguments win over settings.",
        "It ends. Who read it has enough.",
        "The phrase may go\n    on to the next line.",
    ],
)
def test_the_check_of_phrases_finds_a_phrase_to_avoid(text: str) -> None:
    assert len(list(english.problems_in(text, 1))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "There is no session.",
        "It is no longer refused.",
        "The page has not changed.",
        "Leave it alone.",
        "They cannot be told apart.",
        "The proxy's token is in the application's log.",
        "Who may connect",
        "Who is signed in?",
    ],
)
def test_the_check_of_phrases_leaves_plain_english_alone(text: str) -> None:
    assert list(english.problems_in(text, 1)) == []


def test_the_check_of_phrases_reports_the_line() -> None:
    assert [line for line, _ in english.problems_in("One.\nTwo.\n\nIt has\nnone.\n", 5)] == [8]


def test_a_comment_exempts_a_line_from_the_check_of_phrases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(english, "ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text('A = "it has none"\nB = "it has none"  # english: ignore\n')
    document = tmp_path / "page.rst"
    document.write_text("It has none.\n\n.. english: ignore\nIt has none.\n")
    found = [*english.check(module), *english.check(document)]
    assert [problem.split(": ")[0] for problem in found] == ["module.py:1", "page.rst:1"]
