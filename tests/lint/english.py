"""Look for phrases that are hard to read: ``python tests/lint/english.py``.

It searches the documents, and the docstrings and other strings of djsession. Each pattern comes
with what to write instead. Where a phrase is right, exempt its line: with a comment
``english: ignore`` in Python, or with such a comment on the line above in a document.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("*.rst", "*.md", "docs/*.rst")
IGNORE = "english: ignore"

#: Patterns, and what to write instead. A space stands for any white space within a paragraph.
PATTERNS = {
    r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b|\w+er\b)": "is not a",
    r"\b(?:has|have|had) not(?=[.,;:)]| (?:a|an|any|the)\b)": "does not have",
    r"\b(?:has|have|had) none\b": "does not have any",
    r"(?<!leave )(?<!leave it )(?<!leave them )(?<!let )(?<!stand-)\balone\b": "only",
    r"\bmakes? of\b": "does with",
    r"\bbecomes of\b": "happens to",
    r"\b(?:goes|go|went) by\b": "uses",
    r"\bsays? of\b": "says about, or reports",
    r"\b(?:is|are|was|were|be) told\b(?! apart)": "reports, or gets",
    r"\bgo(?:es)? on to\b": "keeps, or then",
    r"\b(?:is|are) to say\b": "a noun, such as diagnosis",
    r"\bthat (?:is|are) there\b": "existing",
    r"\bof (?:the |its |an? )?\w+'s(?=[.,;:)]|$)": "the owner before the noun",
    r"\bunder no\b": "not under any",
    r"\b(?:win|wins) over\b": "overrides",
    r"(?:^|(?<=[.!] ))(?-i:Who)\b(?=[^.?\n]*\.)": "whoever, or a noun",
}


def flatten(text: str, first_line: int) -> tuple[str, list[int]]:
    """Return a text with each paragraph on one line, and the line number of each character."""
    flat, lines = "", []
    for number, line in enumerate(text.splitlines(), first_line):
        piece = line.strip() + " " if line.strip() else "\n"
        flat += piece
        lines += [number] * len(piece)
    return flat, lines


def problems_in(text: str, first_line: int) -> Iterator[tuple[int, str]]:
    """Yield the line of each phrase to avoid, and what is wrong with it."""
    flat, lines = flatten(text, first_line)
    for pattern, advice in PATTERNS.items():
        for found in re.finditer(pattern, flat, re.IGNORECASE | re.MULTILINE):
            yield lines[found.start()], f"{found[0].strip()!r}: write {advice}"


def strings_in(source: str) -> Iterator[tuple[str, int]]:
    """Yield the docstrings and other strings of a module, each with its first line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def check(path: Path) -> Iterator[str]:
    """Yield the problems of a file, as ``path:line: problem``."""
    text = path.read_text(encoding="utf-8")
    ignored = {number for number, line in enumerate(text.splitlines(), 1) if IGNORE in line}
    if path.suffix == ".py":
        found = [item for string, line in strings_in(text) for item in problems_in(string, line)]
    else:
        found = list(problems_in(text, 1))
        ignored |= {number + 1 for number in ignored}
    for line, problem in sorted(found):
        if line not in ignored:
            yield f"{path.relative_to(ROOT)}:{line}: {problem}"


def main() -> int:
    paths = [path for pattern in DOCUMENTS for path in ROOT.glob(pattern)]
    paths += (ROOT / "djsession").rglob("*.py")
    problems = [problem for path in sorted(paths) for problem in check(path)]
    print(*problems, f"{len(problems)} phrases to rewrite in {len(paths)} files", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
