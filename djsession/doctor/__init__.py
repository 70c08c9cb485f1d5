"""The doctor: explains why a token, a header or a whole request is refused.

``inputs`` reads what people have at hand, ``configuration`` reads the settings, and ``secret_keys``
examines the keys. ``diagnosis`` finds what is wrong, and ``report`` shows it. ``listen`` takes the
requests directly from the proxy.
"""

from __future__ import annotations

from .configuration import Configuration
from .diagnosis import Case, Finding, diagnose
from .inputs import InputError, RecordedRequest, read_request
from .report import Report
from .secret_keys import Keys, differences, trim

__all__ = [
    "Case",
    "Configuration",
    "Finding",
    "InputError",
    "Keys",
    "RecordedRequest",
    "Report",
    "diagnose",
    "differences",
    "read_request",
    "trim",
]
