"""The doctor: why a token, a header or a whole request is refused, in one sentence each.

``inputs`` reads what people have at hand, ``diagnosis`` says what is wrong with it, ``report``
shows both, ``application`` sends a request through an application.
"""

from __future__ import annotations

from .diagnosis import Case, Finding, Keys, diagnose
from .inputs import InputError, Request, read_requests
from .report import Report, choose

__all__ = [
    "Case",
    "Finding",
    "InputError",
    "Keys",
    "Report",
    "Request",
    "choose",
    "diagnose",
    "read_requests",
]
