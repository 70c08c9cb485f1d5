"""What the proxy says of its users: a file of JSON, by username."""

import json
import os
from typing import Any


class Serializer:
    """Called as the proxy calls its own serializers."""

    def __init__(self, request: Any, context: Any = None) -> None:
        with open(os.environ["PROXY_SESSIONS"], encoding="utf-8") as file:
            self.data = json.load(file)[request.user.username]
