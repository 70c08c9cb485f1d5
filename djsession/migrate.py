"""Moves a project from djaodjin-deployutils to djsession, for ``djsession migrate``.

Only the names in ``MOVED``, which djsession also has, are rewritten. All other names still come
from deployutils, and both packages can be installed side by side. An import statement with names of
both kinds is split in two.

Python files are parsed and then edited at the positions in the syntax tree, so unchanged code keeps
its comments and its formatting. The project's code is never imported or executed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import unified_diff
from enum import Enum
from pathlib import Path

from .settings import KEY_NAME

__all__ = ["MOVED", "Migration", "migrate"]

_PACKAGES = ("deployutils.apps.django", "deployutils.apps.django_deployutils")
_APP = "djsession.django"
_DJANGO_NAMES = (
    "authentication.JWTAuthentication",
    "backends.auth.ProxyUserBackend",
    "backends.encrypted_cookies",
    "backends.encrypted_cookies.SessionStore",
    "backends.jwt_session_store",
    "backends.jwt_session_store.SessionStore",
    "middleware.SessionMiddleware",
    "mixins.AccessiblesMixin",
    "mixins.AccountMixin",
    "mockup.urls",
    "mockup.urls.urlpatterns",
)

#: The names of deployutils that djsession also has, with their new names.
MOVED: dict[str, str] = {
    **{f"{package}.{name}": f"{_APP}.{name}" for package in _PACKAGES for name in _DJANGO_NAMES},
    **{
        f"{package}.{name.replace('mixins.', 'mixins.base.')}": f"{_APP}.{name}"
        for package in _PACKAGES
        for name in _DJANGO_NAMES
        if name.startswith("mixins.")
    },
    # The names in versions of deployutils before "apps".
    **{
        f"deployutils.{name}": f"{_APP}.{name}"
        for name in _DJANGO_NAMES
        if name.startswith(("backends.", "middleware."))
    },
    "deployutils.apps.flask.sessions.Session": "djsession.flask.DjSession",
}


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


# The modules that contain these names, with their new names.
_MOVED_MODULES = {_parent(old): _parent(new) for old, new in MOVED.items()}


class _Reason(Enum):
    """Why something was not changed. The values are the report's headings, in order."""

    SKIPPED = "Skipped, since this command cannot read or write these. Migrate them by hand."
    BROKEN = (
        "djsession does not have these names, and the originals do not work with its session"
        " engines. Use djsession's mockup logins instead."
    )
    PART_OF_MODULE = (
        "djsession has only some of the names in these modules. Import the names instead of the"
        " module, and run this command again."
    )
    IN_TEXT = (
        "These names are part of a longer text, or are made of several strings. Replace them by"
        " hand if necessary."
    )
    OTHER_FILE = "Only Python files and templates are rewritten. Replace these names by hand."
    APP = f"Add {_APP!r} to INSTALLED_APPS before this app."
    LOGGER = "djsession logs to the logger 'djsession'. Configure it as well."
    DEBUG = (
        "At level DEBUG, djsession's logger writes the content of each session, including personal"
        " data. Choose INFO if you do not want that."
    )
    KEY = (
        f"With deployutils the environment variable {KEY_NAME} overrides the setting. With"
        " djsession the setting overrides the variable. If you have both, keep only the one with"
        " the current key."
    )
    FLASK_PATHS = (
        "djsession reads DJSESSION_ALLOWED_NO_SESSION from Flask's configuration, not"
        " ALLOWED_NO_SESSION. Entries match whole segments of a path, and by default no path is"
        " open, not even /api and /api/auth. Review the entries, then rename the setting."
    )
    FLASK_COOKIE = (
        "In Flask's configuration, SESSION_COOKIE_NAME names the cookie in which the application"
        " keeps its session. DJSESSION_COOKIE_NAME names the proxy's cookie, and the two must"
        " differ."
    )
    OUTDATED = "Current versions of Django ignore these settings."
    LEFT = "djsession does not have these names. They still come from djaodjin-deployutils."


_OUTDATED_SETTINGS = {
    "MIDDLEWARE_CLASSES": "MIDDLEWARE",
    "TEMPLATE_CONTEXT_PROCESSORS": "TEMPLATES",
    "TEMPLATE_DEBUG": "TEMPLATES",
    "TEMPLATE_DIRS": "TEMPLATES",
    "TEMPLATE_LOADERS": "TEMPLATES",
    "DEFAULT_FILE_STORAGE": "STORAGES",
    "STATICFILES_STORAGE": "STORAGES",
}

_TEMPLATES = (".html", ".htm", ".eml", ".txt", ".xml", ".jinja", ".jinja2", ".j2")
_LARGEST_OTHER_FILE = 1_000_000  # bytes, for files that are neither Python nor templates
_ENVIRONMENT_MARKERS = ("pyvenv.cfg", "conda-meta", "bin/activate")
_DOTTED = re.compile(r"(?<![\w./-])deployutils(?:\.[A-Za-z_]\w*)+")
_LEFT_IN_TEMPLATES = re.compile(rf"{_DOTTED.pattern}|\bdeployutils_\w+")
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_IMPORT_FROM = re.compile(rb"(from[\s\\]+)[\w.]+")
_COMMENT = re.compile(rb"(?:[ \t]*#[^\r\n]*)?")
_AFTER_NAME = re.compile(rb",?(?:[ \t]*#[^\r\n]*)?")


@dataclass(frozen=True)
class _Note:
    """Something that was not changed."""

    line: int
    subject: str
    reason: _Reason


@dataclass
class _File:
    """A file of the project, before and after the migration."""

    path: Path
    before: bytes = b""
    after: bytes = b""
    notes: list[_Note] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The path with unprintable characters escaped, for the terminal and ``patch``."""
        name = str(self.path)
        return name if name.isprintable() else ascii(name)[1:-1]

    def diff(self) -> str:
        """Return the changes in the format for ``patch -p0``."""
        before, after = (
            [line.decode() for line in re.split(rb"(?<=\n)", data) if line]
            for data in (self.before, self.after)
        )
        lines = unified_diff(before, after, self.name, self.name)
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )

    def write(self) -> None:
        """Replace the file atomically, and keep its mode."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with open(descriptor, "wb") as file:
                file.write(self.after)
            shutil.copymode(self.path, name)
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


@dataclass(frozen=True)
class Migration:
    """The files of a project that change or that need changes by hand."""

    files: list[_File]
    is_written: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to rewrite, and no file was skipped."""
        changed = any(file.before != file.after for file in self.files)
        skipped = any(note.reason == _Reason.SKIPPED for file in self.files for note in file.notes)
        return not skipped and (self.is_written or not changed)

    def as_text(self) -> str:
        """Return the diff, followed by everything that was not changed and why."""
        changed = [file for file in self.files if file.before != file.after]
        by_reason: dict[_Reason, list[str]] = defaultdict(list)
        for file in self.files:
            for note in sorted(file.notes, key=lambda note: note.line):
                by_reason[note.reason].append(f"  {file.name}:{note.line}: {note.subject}")
        sections = [file.diff() for file in changed]
        if by_reason:
            sections.append("Not changed:\n")
        for reason in _Reason:
            if reason in by_reason:
                sections.append("\n".join([reason.value, *by_reason[reason], ""]))
        count = f"{len(changed)} file{'' if len(changed) == 1 else 's'}"
        if not changed:
            sections.append("There is nothing to rewrite.")
        elif self.is_written:
            sections.append(f"{count} rewritten. Next: manage.py check")
        else:
            sections.append(
                f"{count} to rewrite. Nothing was written yet: add --write to change the files."
            )
        return "\n".join(sections)


def migrate(path: Path, *, write: bool = False) -> Migration:
    """Return the changes to a project or a single file, and write them if ``write`` is true."""
    files = []
    for found in _files(path):
        file = _migrated(found)
        if write and file.before != file.after:
            try:
                file.write()
                file.notes = _migrated(found).notes  # the line numbers of the new file
            except OSError as error:
                file.after = file.before
                file.notes.append(_Note(1, error.strerror or "not written", _Reason.SKIPPED))
        if file.notes or file.before != file.after:
            files.append(file)
    return Migration(files, write)


def _files(path: Path) -> Iterator[Path]:
    """Yield the regular files of a project, and the folders that cannot be read.

    Skips hidden folders, virtual environments and installed packages.
    """
    if not path.is_dir():
        yield path
        return
    errors: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not _is_foreign(Path(folder, name)))
        for name in sorted(names):
            found = Path(folder, name)
            with suppress(OSError):
                # Skip links, which may lead out of the project.
                if stat.S_ISREG(found.lstat().st_mode):
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
    is_python, is_template = path.suffix == ".py", path.suffix in _TEMPLATES
    file = _File(path)
    try:
        if not (is_python or is_template) and path.stat().st_size > _LARGEST_OTHER_FILE:
            return file
        data = path.read_bytes()
    except OSError as error:
        if is_python or is_template or path.is_dir():
            file.notes.append(_Note(1, error.strerror or "not readable", _Reason.SKIPPED))
        return file
    file.before = file.after = data
    try:
        text = data.decode("utf-8-sig")
        source = after = text.encode()  # without the byte order mark
        if is_python:
            module = _Module(_parse(text), source)
            after, file.notes = module.result(), module.notes
        elif is_template:
            after, file.notes = _template(text)
        else:
            file.notes = list(_notes(text, _DOTTED, _Reason.OTHER_FILE, MOVED))
        file.after = data[: len(data) - len(source)] + after
    except (UnicodeDecodeError, SyntaxError, RecursionError, MemoryError) as error:
        if (is_python or is_template) and b"deployutils" in data:
            line, subject = 1, "nested too deeply"
            if isinstance(error, SyntaxError):
                line, subject = error.lineno or 1, "not the syntax of this Python version"
            elif isinstance(error, UnicodeDecodeError):
                line, subject = data.count(b"\n", 0, error.start) + 1, "not UTF-8"
            file.notes.append(_Note(line, subject, _Reason.SKIPPED))
    return file


def _parse(text: str) -> ast.Module:
    """Return the syntax tree of a Python file. Raises SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the project's code
        try:
            return ast.parse(text)
        except ValueError as error:  # Python 3.11, of null bytes
            raise SyntaxError(str(error)) from None


def _template(text: str) -> tuple[bytes, list[_Note]]:
    """Return a template with its names replaced, and notes on the remaining names."""
    after = _DOTTED.sub(lambda match: MOVED.get(match[0], match[0]), text)
    return after.encode(), list(_notes(after, _LEFT_IN_TEMPLATES, _Reason.LEFT))


def _notes(
    text: str, pattern: re.Pattern[str], reason: _Reason, names: Container[str] | None = None
) -> Iterator[_Note]:
    """Yield a note for each match of a pattern, or only for matches that are in ``names``."""
    for match in pattern.finditer(text):
        if names is None or match[0] in names:
            yield _Note(text.count("\n", 0, match.start()) + 1, match[0], reason)


class _Module(ast.NodeVisitor):
    """Collects the edits to a Python file, and notes on the remaining names."""

    def __init__(self, tree: ast.Module, source: bytes) -> None:
        # Positions in the syntax tree count UTF-8 bytes.
        self.source = source
        self.notes: list[_Note] = []
        self._edits: set[tuple[int, int, bytes]] = set()
        self._starts = [0, *(match.end() for match in _NEWLINE.finditer(self.source))]
        newline = _NEWLINE.search(self.source)
        self._newline = newline[0] if newline else b"\n"
        self._handled: set[ast.AST] = set()
        self._attributes: dict[ast.AST, ast.Attribute] = {}
        self._uses: dict[str, list[ast.Name]] = defaultdict(list)
        self._whole_imports: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                self._attributes[node.value] = node
            elif isinstance(node, ast.Name):
                self._uses[node.id].append(node)
            elif isinstance(node, ast.Import):
                self._whole_imports.update(item.name for item in node.names if item.asname is None)
        self.visit(tree)

    def result(self) -> bytes:
        """Return the source with the edits applied."""
        parts, position = [], 0
        for start, end, replacement in sorted(self._edits):
            parts += [self.source[position:start], replacement]
            position = end
        return b"".join([*parts, self.source[position:]])

    # Positions.

    def _start(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _segment(self, node: ast.expr | ast.stmt | ast.alias) -> bytes:
        return self.source[self._start(node) : self._end(node)]

    def _gap(self, node: ast.expr | ast.stmt) -> bytes:
        """Return the newline and indentation to put between a new line and ``node``.

        Returns b"" if ``node`` is not the first thing on its line.
        """
        indentation = self.source[self._starts[node.lineno - 1] : self._start(node)]
        return b"" if indentation.strip() else self._newline + indentation

    def _replace(self, start: int, end: int, text: str | bytes) -> None:
        self._edits.add((start, end, text.encode() if isinstance(text, str) else text))

    def _note(self, node: ast.expr | ast.stmt | ast.alias, subject: str, reason: _Reason) -> None:
        self.notes.append(_Note(node.lineno, subject, reason))

    # Imports.

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or module.partition(".")[0] != "deployutils":
            return
        moved = []
        for item in node.names:
            name = f"{module}.{item.name}"
            reason = self._why_left(name, item.asname or item.name)
            if reason is None:
                moved.append(item)
            else:
                self._note(item, name, reason)
        if not moved:
            return
        name = f"{module}.{moved[0].name}"
        statement = self._statement(node, moved, _parent(MOVED.get(name) or _MOVED_MODULES[name]))
        left = [item for item in node.names if item not in moved]
        if left:
            # A comment after the statement applies to both parts.
            comment = _COMMENT.match(self.source, self._end(node))
            between = comment[0] + self._gap(node) if comment and self._gap(node) else b"; "
            statement = self._statement(node, left, module) + between + statement
        self._replace(self._start(node), self._end(node), statement)

    def visit_Import(self, node: ast.Import) -> None:
        for item in node.names:
            if item.name.partition(".")[0] != "deployutils":
                continue
            if item.asname is not None:
                reason = self._why_left(item.name, item.asname)
            else:
                reason = self._replace_uses(item.name)
            if reason is None:
                start = self._start(item)
                new = MOVED.get(item.name) or _MOVED_MODULES[item.name]
                self._replace(start, start + len(item.name), new)
            else:
                self._note(item, item.name, reason)

    def _why_left(self, name: str, local: str) -> _Reason | None:
        """Return why an imported name stays with deployutils, or None if it moves to djsession."""
        if name in MOVED:
            return None
        if name in _MOVED_MODULES:
            # The new module must have every name that this file uses from the old one.
            used = [self._attributes.get(use) for use in self._uses[local]]
            is_complete = _last_part(_MOVED_MODULES[name]) == _last_part(name) and all(
                item and MOVED.get(f"{name}.{item.attr}") == f"{_MOVED_MODULES[name]}.{item.attr}"
                for item in used
            )
            return None if used and is_complete else _Reason.PART_OF_MODULE
        return _reason(name)

    def _replace_uses(self, module: str) -> _Reason | None:
        """Replace the names that the code uses from a module after ``import a.b.module``.

        Returns why the module stays with deployutils, or None if all of these names move.
        """
        new = MOVED.get(module) or _MOVED_MODULES.get(module)
        if new is None:
            return _reason(module)
        edits = []
        for use in self._uses["deployutils"]:
            name, moved = "deployutils", None
            attribute = self._attributes.get(use)
            while attribute:
                name = f"{name}.{attribute.attr}"
                if f"{MOVED.get(name)}.".startswith(f"{new}."):
                    moved = self._start(use), self._end(attribute), MOVED[name]
                attribute = self._attributes.get(attribute)
            imports = [item for item in self._whole_imports if f"{name}.".startswith(f"{item}.")]
            if module in imports and moved:
                edits.append(moved)
            elif module in imports or not imports:
                return _Reason.PART_OF_MODULE
        if not edits and module not in MOVED:
            return _Reason.PART_OF_MODULE
        for edit in edits:
            self._replace(*edit)
        return None

    def _statement(self, node: ast.ImportFrom, names: list[ast.alias], module: str) -> bytes:
        """Return an import of only some of the names. Each name keeps its trailing comment."""
        bounds = [*map(self._start, node.names), self._end(node.names[-1])]
        head = self.source[self._start(node) : bounds[0]]
        tail = self.source[bounds[-1] : self._end(node)]
        behind = _AFTER_NAME.match(tail)
        assert behind
        bounds[-1] += behind.end()
        tail = tail[behind.end() :]
        parts = [
            self._alias(node, item) + self.source[self._end(item) : bounds[index + 1]]
            for index, item in enumerate(node.names)
            if item in names
        ]
        if names[-1] is not node.names[-1]:
            # The text after the last of these names used to be between two names.
            if b"#" in parts[-1]:
                parts[-1] = parts[-1].rstrip()
                tail = tail if _NEWLINE.match(tail) else self._newline + tail
            else:
                parts[-1] = parts[-1].rstrip(b" \t\r\n\\,")
                parts[-1] += b"," if behind[0].startswith(b",") else b""
        head = _IMPORT_FROM.sub(lambda match: match[1] + module.encode(), head, count=1)
        return head + b"".join(parts) + tail

    def _alias(self, node: ast.ImportFrom, item: ast.alias) -> bytes:
        new = _last_part(MOVED.get(f"{node.module}.{item.name}", item.name))
        if new == item.name:
            return self._segment(item)
        return f"{new} as {item.asname or item.name}".encode()

    # Settings.

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assigned(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assigned(node.target, node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assigned(node.target, node.value)
        self.generic_visit(node)

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            self._flask_setting(target, target.slice.value, ast.unparse(target.value))
        if not isinstance(target, ast.Name):
            return
        name = target.id
        if name.endswith("APPS"):
            for item in ast.walk(value):
                if isinstance(item, (ast.List, ast.Tuple, ast.Set)):
                    self._add_app(item.elts)
        elif name in _OUTDATED_SETTINGS:
            self._note(target, f"{name}, now {_OUTDATED_SETTINGS[name]}", _Reason.OUTDATED)
        elif name == KEY_NAME:
            # If the value itself reads the environment variable, nothing changes.
            if not any(isinstance(i, ast.Constant) and i.value == name for i in ast.walk(value)):
                self._note(target, name, _Reason.KEY)
        elif name == "ALLOWED_NO_SESSION" and not self._uses["DEPLOYUTILS"]:
            self._note(target, name, _Reason.FLASK_PATHS)

    def visit_Call(self, node: ast.Call) -> None:
        owner = ast.unparse(node.func)
        for item in node.keywords:
            self._flask_setting(item.value, item.arg, owner)
        for argument in node.args:
            for key in argument.keys if isinstance(argument, ast.Dict) else ():
                if isinstance(key, ast.Constant):
                    self._flask_setting(key, key.value, owner)
        self.generic_visit(node)

    def _flask_setting(self, node: ast.expr, name: object, owner: str) -> None:
        """Note a Flask setting, as in ``app.config[name]`` or ``config.update(name=...)``."""
        if "config" not in owner:
            return
        if name == "ALLOWED_NO_SESSION":
            self._note(node, name, _Reason.FLASK_PATHS)
        elif name == "SESSION_COOKIE_NAME":
            self._note(node, name, _Reason.FLASK_COOKIE)

    def _add_app(self, items: list[ast.expr]) -> None:
        """Add djsession's app before deployutils' app, so that its commands take precedence."""
        strings = [item for item in items if isinstance(item, ast.Constant)]
        is_missing = all(item.value != _APP for item in strings)
        for item in strings:
            if item.value in _PACKAGES:
                self._handled.add(item)
                self._note(item, item.value, _Reason.LEFT)
                if is_missing:
                    is_missing = False
                    new = self._segment(item).replace(item.value.encode(), _APP.encode())
                    start = self._start(item)
                    self._replace(start, start, new + b"," + (self._gap(item) or b" "))

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if (
                isinstance(key, ast.Constant)
                and key.value == "loggers"
                and isinstance(value, ast.Dict)
            ):
                self._add_logger(value)
        self.generic_visit(node)

    def _add_logger(self, loggers: ast.Dict) -> None:
        """Configure djsession's logger in the same way as deployutils' logger."""
        entries = {
            key.value: (key, value)
            for key, value in zip(loggers.keys, loggers.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        self._handled.update(key for key, _ in entries.values())
        key, value = entries.get("djsession") or entries.get("deployutils") or (None, None)
        if key is None or value is None:
            for name in entries.keys() & _MOVED_MODULES.keys():
                self._note(entries[name][0], name, _Reason.LOGGER)
            return
        if any(isinstance(i, ast.Constant) and i.value == "DEBUG" for i in ast.walk(value)):
            self._note(key, "djsession", _Reason.DEBUG)
        if "djsession" not in entries:
            end = self._end(value)
            rest = self.source[self._end(key) : end]
            new = self._segment(key).replace(b"deployutils", b"djsession")
            self._replace(end, end, b"," + (self._gap(key) or b" ") + new + rest)

    # Strings.

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._longer_text(node, self._segment(node).decode())

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if not isinstance(value, str) or node in self._handled:
            return
        if value == "deployutils":
            self._note(node, value, _Reason.LOGGER)
        elif value in _PACKAGES:
            self._note(node, value, _Reason.APP)
        elif value in MOVED:
            place = self._segment(node).find(value.encode())
            if place >= 0:
                start = self._start(node) + place
                self._replace(start, start + len(value), MOVED[value])
            else:
                self._note(node, value, _Reason.IN_TEXT)
        elif value in _MOVED_MODULES:
            self._note(node, value, _Reason.PART_OF_MODULE)
        elif _DOTTED.fullmatch(value):
            self._note(node, value, _reason(value))
        else:
            self._longer_text(node, value)

    def _longer_text(self, node: ast.expr, text: str) -> None:
        for name in _DOTTED.findall(text):
            if name in MOVED or name in _MOVED_MODULES:
                self._note(node, name, _Reason.IN_TEXT)


def _reason(name: str) -> _Reason:
    """Return why a name that djsession does not have stays with deployutils."""
    is_mockup = any(name.startswith(f"{package}.mockup.") for package in _PACKAGES)
    return _Reason.BROKEN if is_mockup else _Reason.LEFT
