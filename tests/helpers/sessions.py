"""Keys, a session, and the requests that were captured behind the real proxy."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

CAPTURES = sorted((Path(__file__).parents[1] / "captures").glob("*.json"))
KEY = "k3y!@#$%^*-_=+ab"
OTHER_KEY = "x2w$k9=q7@h_5t#0"
XIA: dict[str, Any] = {
    "username": "xia",
    "roles": {
        "manager": [
            {
                "slug": "xia",
                "printable_name": "Xia Lee",
                "created_at": "2017-09-14T23:16:55Z",
                "email": "xia@example.com",
                "subscriptions": [{"plan": "basic", "ends_at": "2030-01-01T09:00:00Z"}],
            }
        ]
    },
    "site": {"printable_name": "Chamoix Coworking", "email": "support@cowork.net"},
    "last_visited": None,
}


class Capture(NamedTuple):
    """A request as the backend received it from the real proxy."""

    name: str
    environ: dict[str, str]
    secret_key: str
    session: dict[str, Any] | None
    captured_at: float


def load_capture(path: Path) -> Capture:
    data = json.loads(path.read_text(encoding="utf-8"))
    captured_at = datetime.strptime(data["captured_at"], "%Y-%m-%dT%H:%M:%S%z")
    return Capture(
        path.stem, data["environ"], data["secret_key"], data["session"], captured_at.timestamp()
    )
