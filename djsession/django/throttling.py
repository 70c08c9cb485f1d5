"""Makes Django REST framework's throttles work for users without a row in the database.

A throttle counts requests by the user's primary key. With ``USER_SOURCE = "session"`` users do not
have a primary key, and all of them would share one count.
"""

from __future__ import annotations

from functools import cache, wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from rest_framework.throttling import ScopedRateThrottle, UserRateThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["install"]


@cache
def install() -> None:
    """Make the throttles count requests of users without a row by their usernames."""
    for throttle in (UserRateThrottle, ScopedRateThrottle):
        throttle.get_cache_key = _by_name(throttle.get_cache_key)


def _by_name(get_cache_key: Callable[..., str | None]) -> Callable[..., str | None]:
    @wraps(get_cache_key)
    def with_name(self: Any, request: Any, view: Any) -> str | None:
        key = get_cache_key(self, request, view)
        user = request.user
        if key is None or not user or not user.is_authenticated or user.pk is not None:
            return key
        # Hashed, since caches restrict the characters and the length of a key.
        name = user.get_username().encode(errors="surrogatepass")
        return f"{key}:{sha256(name).hexdigest()}"

    return with_name
