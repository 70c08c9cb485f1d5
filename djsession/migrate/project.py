"""Migrates the files of a project, and describes the changes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from .names import DOTTED, MOVED, Note, Reason
from .python_file import rewrite_python

__all__ = ["Migration", "migrate"]

_TEMPLATES = (".html", ".htm", ".eml", ".txt", ".xml", ".jinja", ".jinja2", ".j2")
_LARGEST_OTHER_FILE = 1_000_000  # bytes, for files that are neither Python nor templates
_ENVIRONMENT_MARKERS = ("pyvenv.cfg", "conda-meta", "bin/activate")
_LEFT_IN_TEMPLATES = re.compile(rf"{DOTTED.pattern}|\bdeployutils_\w+")


@dataclass
class _File:
    """A file of the project, before and after the migration."""

    path: Path
    before: bytes = b""
    after: bytes = b""
    notes: list[Note] = field(default_factory=list)

    @property
    def is_changed(self) -> bool:
        return self.before != self.after

    @property
    def name(self) -> str:
        """The path with unprintable characters escaped, for the terminal and ``patch``."""
        name = str(self.path)
        return name if name.isprintable() else ascii(name)[1:-1]

    def diff(self) -> str:
        """Return the changes in the format for ``patch -p0``."""
        # Only "\n" ends a line, as for patch.
        before, after = (list(StringIO(data.decode())) for data in (self.before, self.after))
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in unified_diff(before, after, self.name, self.name)
        )

    def write(self) -> None:
        """Replace the file atomically, and keep its mode."""
        with TemporaryDirectory(prefix=".djsession-", dir=self.path.parent) as folder:
            new = Path(folder, self.path.name)
            new.write_bytes(self.after)
            shutil.copymode(self.path, new)
            os.replace(new, self.path)


@dataclass(frozen=True)
class Migration:
    """The files of a project that change or that need changes by hand."""

    files: list[_File]
    is_written: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to rewrite, and no file was skipped."""
        skipped = any(note.reason == Reason.SKIPPED for file in self.files for note in file.notes)
        return not skipped and (self.is_written or not any(file.is_changed for file in self.files))

    def as_text(self) -> str:
        """Return the diff, followed by everything that was not changed and why."""
        sections = [file.diff() for file in self.files if file.is_changed]
        count = f"{len(sections)} file{'' if len(sections) == 1 else 's'}"
        if not sections:
            last = "There is nothing to rewrite."
        elif self.is_written:
            last = f"{count} rewritten. Next: manage.py check"
        else:
            last = f"{count} to rewrite. Nothing was written yet: add --write to change the files."
        if any(file.notes for file in self.files):
            sections.append("Not changed:\n")
        for reason in Reason:
            lines = [
                f"  {file.name}:{note.line}: {note.subject}"
                for file in self.files
                for note in sorted(file.notes, key=lambda note: note.line)
                if note.reason == reason
            ]
            if lines:
                sections.append("\n".join([reason.value, *lines, ""]))
        return "\n".join([*sections, last])


def migrate(path: Path, *, write: bool = False) -> Migration:
    """Return the changes to a project or a single file, and write them if ``write`` is true."""
    files = []
    for found in _files(path):
        file = _migrated(found)
        if write and file.is_changed:
            try:
                file.write()
                file.notes = _migrated(found).notes  # the line numbers of the new file
            except OSError as error:
                file.after = file.before
                file.notes.append(Note(1, error.strerror or "not written", Reason.SKIPPED))
        if file.notes or file.is_changed:
            files.append(file)
    return Migration(files, write)


def _files(path: Path) -> Iterator[Path]:
    """Yield the regular files of a project, and what cannot be listed: closed folders, or a file.

    Skips hidden folders, virtual environments and installed packages.
    """
    errors: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not _is_foreign(Path(folder, name)))
        for name in sorted(names):
            found = Path(folder, name)
            # Skip links, which may lead out of the project.
            if os.path.isfile(found) and not found.is_symlink():
                yield found
    for error in errors:
        yield Path(error.filename)


def _is_foreign(folder: Path) -> bool:
    return (
        folder.name.startswith(".")
        or folder.name in ("__pycache__", "node_modules", "site-packages")
        or any((folder / name).exists() for name in _ENVIRONMENT_MARKERS)
    )


def _migrated(path: Path) -> _File:
    """Return a file with its changes and notes. A file that is not relevant has neither."""
    is_python = path.suffix == ".py"
    is_rewritten = is_python or path.suffix in _TEMPLATES
    file = _File(path)
    try:
        if not is_rewritten and path.stat().st_size > _LARGEST_OTHER_FILE:
            return file
        file.before = file.after = data = path.read_bytes()
    except OSError as error:
        if is_rewritten or path.is_dir():
            file.notes.append(Note(1, error.strerror or "not readable", Reason.SKIPPED))
        return file
    try:
        after = text = data.decode("utf-8-sig")
        if is_python:
            after, file.notes = rewrite_python(text)
        elif is_rewritten:
            after = DOTTED.sub(lambda match: MOVED.get(match[0], match[0]), text)
            file.notes = list(_notes(after, _LEFT_IN_TEMPLATES, Reason.LEFT))
        else:
            found = _notes(text, DOTTED, Reason.OTHER_FILE)
            file.notes = [note for note in found if note.subject in MOVED]
        file.after = data.removesuffix(text.encode()) + after.encode()  # after a byte order mark
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        if is_rewritten and b"deployutils" in data:
            line, subject = 1, "not the syntax of this Python version"
            if isinstance(error, UnicodeDecodeError):
                line, subject = data.count(b"\n", 0, error.start) + 1, "not UTF-8"
            elif isinstance(error, SyntaxError):
                line = error.lineno or 1
            elif not isinstance(error, ValueError):
                subject = "nested too deeply"
            file.notes.append(Note(line, subject, Reason.SKIPPED))
    return file


def _notes(text: str, pattern: re.Pattern[str], reason: Reason) -> Iterator[Note]:
    """Yield a note for each match of a pattern."""
    for match in pattern.finditer(text):
        yield Note(text.count("\n", 0, match.start()) + 1, match[0], reason)
