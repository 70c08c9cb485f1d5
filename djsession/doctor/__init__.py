"""The doctor: why a token, a header or a whole request is refused, in one sentence each.

``inputs`` reads what people have at hand, ``configuration`` the keys and settings, ``diagnosis``
finds what is wrong, ``report`` shows it, ``application`` sends a request through an application.
"""

from __future__ import annotations

from .configuration import Configuration, Keys
from .diagnosis import Case, Finding, diagnose
from .inputs import InputError, RecordedRequest, read_requests
from .report import Report, choose

__all__ = [
    "Case",
    "Configuration",
    "Finding",
    "InputError",
    "Keys",
    "RecordedRequest",
    "Report",
    "choose",
    "diagnose",
    "read_requests",
]
