"""The pages of the mockup logins: HTML with an inline style sheet. They work without scripts."""

from __future__ import annotations

from .inspector import inspector_page
from .layout import PAGE_HEADERS
from .login import login_page
from .refusal import (
    NO_KEY,
    diagnosis_page,
    forbidden_page,
    no_key_page,
    not_local_page,
    not_local_text,
    refusal_page,
    upstream_down_page,
)

__all__ = [
    "NO_KEY",
    "PAGE_HEADERS",
    "diagnosis_page",
    "forbidden_page",
    "inspector_page",
    "login_page",
    "no_key_page",
    "not_local_page",
    "not_local_text",
    "refusal_page",
    "upstream_down_page",
]
