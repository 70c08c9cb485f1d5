"""What all pages share: the document around them, icons, panels, and text to copy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from importlib.resources import files

__all__ = [
    "PAGE_HEADERS",
    "copyable",
    "document",
    "hero",
    "icon",
    "panel",
    "section",
]

_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_SCRIPT = files(__package__).joinpath("script.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: The headers of every page. The policy allows this style sheet, this script, and forms that are
#: sent to this site. The script is optional: it filters the users and copies to the clipboard.
PAGE_HEADERS = (
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)};"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)

_DEVELOPMENT = "Development"

_ICONS = {
    "arrow": '<path d="M3 8h9.5M8.5 4l4 4-4 4"/>',
    "check": '<path d="M3 8.5l3.2 3.2L13 4.8"/>',
    "copy": '<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 3.5v-1h-8v8h1"/>',
    "cross": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "dash": '<path d="M4 8h8"/>',
    "door": '<path d="M9.5 2.5h4v11h-4M2.500 8h7M6.500 5l3 3-3 3"/>',
    "file": '<path d="M9 2H4v12h8V5zM9 2v3h3"/>',
    "info": '<circle cx="8" cy="8" r="6"/><path d="M8 7.300v3.700M8 5v.1"/>',
    "warning": '<path d="M8 2.300 14.300 13.500H1.700zM8 6.500v3.200M8 11.600v.1"/>',
}

# A keyhole.
_MARK = (
    '<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><rect width="24" height="24" rx="6"/>'
    '<path d="M12 5.500a3.500 3.500 0 0 0-1.600 6.600L9 18.500h6l-1.400-6.400A3.500 3.500 0 0 0 12'
    ' 5.500z"/></svg>'
)


def icon(name: str, label: str = "") -> str:
    """Return an icon as SVG, with a label that only a screen reader reads."""
    hidden = f'<span class="unseen">{escape(label)}</span>' if label else ""
    return (
        f'<svg class="icon {name}" viewBox="0 0 16 16" aria-hidden="true">{_ICONS[name]}</svg>'
        f"{hidden}"
    )


def document(
    title: str,
    main: Iterable[str],
    *,
    badge: str = _DEVELOPMENT,
    links: Iterable[tuple[str, str]] = (),
) -> str:
    """Return a whole page.

    ``main`` are pieces of HTML, everything else is escaped here. ``links`` are pairs of a text and
    a URL, which is ``""`` for the page itself.
    """
    body = "\n".join(main)
    items = "".join(
        f'<li><a href="{escape(url)}">{escape(text)}</a></li>'
        if url
        else f'<li><a aria-current="page">{escape(text)}</a></li>'
        for text, url in links
    )
    navigation = f'<nav aria-label="Mockup logins"><ul>{items}</ul></nav>' if items else ""
    needs_script = "data-copy" in body or "data-filter" in body
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header class="top{" tape" if badge == _DEVELOPMENT else ""}"><div>
<span class="brand">{_MARK}djsession</span><span class="badge">{escape(badge)}</span>{navigation}
</div></header>
<main>
{body}
</main>
{f"<script>{_SCRIPT}</script>" if needs_script else ""}
</body>
</html>
"""
    # A session may contain half of a surrogate pair, which cannot be encoded.
    return html.encode("utf-8", "backslashreplace").decode()


def hero(eyebrow: str, heading: str, *rest: str, kind: str = "") -> str:
    """Return the top of a page: a small line and the heading, both as text, and HTML below them.

    ``kind`` is "bad" for a page that reports what went wrong.
    """
    mark = icon("cross") if kind == "bad" else ""
    return (
        f'<div class="hero {kind}"><p class="eyebrow">{mark}{escape(eyebrow)}</p>'
        f"<h1>{escape(heading)}</h1>{''.join(rest)}</div>"
    )


def panel(kind: str, html: str, *, alert: bool = False) -> str:
    """Return a box of the kind "bad", "warning" or "info", with the matching icon."""
    icons = {"bad": ("cross", "Error: "), "warning": ("warning", "Warning: "), "info": ("info", "")}
    role = ' role="alert"' if alert else ""
    return f'<div class="panel {kind}"{role}>{icon(*icons[kind])}<div>{html}</div></div>'


def section(name: str, title: str, html: str) -> str:
    """Return a section with a heading. ``name`` is its id."""
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{html}</section>'


def copyable(name: str, title: str, text: str, *, note: str = "") -> str:
    """Return a folded text with a button that copies it.

    Without a script the button stays hidden; one click into the unfolded text selects all of it.
    """
    hint = f'<p class="soft">{escape(note)}</p>' if note else ""
    label = escape(title)
    return (
        f'<div class="copy"><details><summary>{label}</summary>{hint}'
        f'<pre id="{name}" tabindex="0" role="region" aria-label="{label}">{escape(text)}</pre>'
        f'</details><button type="button" class="quiet" data-copy="{name}" hidden>{icon("copy")}'
        f'<span role="status">Copy</span><span class="unseen"> {label}</span></button></div>'
    )
