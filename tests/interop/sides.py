"""The real proxy and the stand-in, in front of the application that records."""

from __future__ import annotations

import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from tests.helpers.proxy import PROXY_PYTHON
from tests.helpers.servers import running_server
from tests.helpers.sessions import KEY
from tests.interop.generator import SITES, USERS, Case
from tests.interop.observed import Observer, Outcome
from tests.interop.recorder import Recorder, Response, exchange

BACKENDS = {"openssl": "1", "jwt": "2"}


class Side(ABC):
    """One of the two that are compared, with a browser for each user."""

    def __init__(self, recorder: Recorder, format: str, folder: Path) -> None:
        self.recorder = recorder
        self.format = format
        self.folder = folder
        self.port = 0
        self._cookies: dict[str, str] = {}
        self._observer = Observer(format)

    @abstractmethod
    def site(self, name: str) -> AbstractContextManager[None]:
        """Serve a site of the generator: its rules, and nobody has visited it."""

    @abstractmethod
    def sign_in(self, user: str) -> Response:
        """Sign in a user; the answer sets the cookie."""

    def cookie(self, user: str) -> str:
        """Return the cookie that a user's browser sends."""
        if user not in self._cookies:
            answer = self.sign_in(user)
            (cookie,) = answer.values("Set-Cookie")
            self._cookies[user] = cookie.partition(";")[0]
        return self._cookies[user]

    def send(self, case: Case) -> Outcome:
        """Send a request and return what came of it."""
        own_cookie = self.cookie(case.user) if case.user else None
        self.recorder.requests.clear()
        self.recorder.answer = case.response
        since = datetime.now(UTC)
        response = exchange(self.port, case.request(own_cookie))
        return self._observer.outcome(case.number, since, self.recorder.requests, response)

    def visit(self, name: str, cases: Iterable[Case]) -> list[Outcome]:
        """Send the requests of a site, one after another."""
        with self.site(name):
            self._cookies.clear()
            self._observer.forget()
            return [self.send(case) for case in cases]


class RealProxy(Side):
    """djaodjin-rules, which runs for as long as the context."""

    @contextmanager
    def running(self) -> Iterator[None]:
        sessions = self.folder / "sessions.json"
        sessions.write_text(json.dumps(USERS))
        command = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "--threads=2", "proxy.wsgi")
        with running_server(
            (PROXY_PYTHON, *command),
            self.folder / "proxy.log",
            DJANGO_SETTINGS_MODULE="proxy.settings",
            PYTHONPATH=str(Path(__file__).parent),
            PROXY_FOLDER=str(self.folder),
            PROXY_KEY=KEY,
            PROXY_BACKEND=f"http://127.0.0.1:{self.recorder.port}",
            PROXY_SESSIONS=str(sessions),
            PROXY_SESSION_BACKEND=BACKENDS[self.format],
            PROXY_LOGIN_URL="/login/",
        ) as self.port:
            yield

    @contextmanager
    def site(self, name: str) -> Iterator[None]:
        rules = SITES[name] or [{"path": "/", "allow": "authenticated"}]
        body = json.dumps([_columns(rule) for rule in rules])
        head = f"POST /proxy/rules HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}"
        assert exchange(self.port, f"{head}\r\n\r\n{body}".encode()).status == 200
        yield

    def sign_in(self, user: str) -> Response:
        request = f"GET /proxy/login/{quote(user)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        return exchange(self.port, request.encode())


class StandIn(Side):
    """``djsession serve``, started anew for each site."""

    @contextmanager
    def site(self, name: str) -> Iterator[None]:
        rules = SITES[name]
        written = USERS if rules is None else {"sessions": USERS, "rules": rules}
        mockup = self.folder / f"{name}.yaml"
        mockup.write_text(yaml.safe_dump(written, allow_unicode=True, sort_keys=False))
        command = ("-m", "djsession", "serve", f"http://127.0.0.1:{self.recorder.port}")
        arguments = ("--mockup", str(mockup), "--format", self.format)
        address = ("--host", "127.0.0.1", "--port", "{port}")
        with running_server(
            (sys.executable, *command, *arguments, *address),
            self.folder / f"{name}.log",
            DJAODJIN_SECRET_KEY=KEY,
        ) as self.port:
            yield

    def sign_in(self, user: str) -> Response:
        body = urlencode({"username": user})
        head = (
            f"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        answer = exchange(self.port, (head + body).encode())
        assert answer.status == 303
        return answer


def _columns(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule of a mockup file as a row of the real proxy's table."""
    if "allow" in rule:
        operator, arguments = ["any", "authenticated"].index(rule["allow"]), ""
    else:
        operator = 2
        arguments = json.dumps({key: rule[key] for key in ("roles", "plans") if key in rule})
    assert re.fullmatch(r"(/[\w{}:-]+)*/?", rule["path"])
    return {
        "path": rule["path"],
        "rule_op": operator,
        "kwargs": arguments,
        "engaged": rule.get("engaged", ""),
        "is_forward": True,
    }
