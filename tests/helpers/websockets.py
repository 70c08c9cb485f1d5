"""A client for WebSockets."""

from __future__ import annotations

from typing import Any

import pytest

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


def open_websocket(port: int, path: str, headers: dict[str, str], origin: str | None = None) -> Any:
    """Return a connection, which closes itself at the end of a ``with`` statement."""
    url = f"ws://127.0.0.1:{port}{path}"
    # A proxy in the environment is for other hosts.
    return client.connect(url, additional_headers=headers, origin=origin, proxy=None)


def refusal(port: int, path: str, headers: dict[str, str], origin: str | None = None) -> int:
    """Return the status with which a server refuses a handshake."""
    with pytest.raises(exceptions.InvalidStatus) as caught:
        open_websocket(port, path, headers, origin)
    return int(caught.value.response.status_code)
