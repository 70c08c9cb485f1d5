"""Two servers behind nginx, with local sessions in Redis: one is killed, both get another key."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from djsession import dumps
from tests.helpers.commands import command
from tests.helpers.nginx import running_nginx
from tests.helpers.servers import GUNICORN, children, connect, free_port, http, running_server
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

#: For each framework. ``nox -s load`` sets the variable.
REQUESTS = int(os.environ.get("DJSESSION_TEST_LOAD", "0")) // 10
USERS = 50

APPLICATIONS = {
    "django": "django.core.wsgi:get_wsgi_application()",
    "flask": "tests.load.applications.flask_app:application",
    "pyramid": "tests.load.applications.pyramid_app:application",
}

REDIS = ("--bind", "127.0.0.1", "--port", "{port}", "--save", "")

#: Where nginx connects from: the servers take a session from nobody else.
BALANCER = "127.0.0.2"

# nginx repeats a request at the other server if the first one does not answer, but a POST only if
# the first one cannot have received it.
NGINX = """
include "{folder}/upstream.conf";
server {
    listen 127.0.0.1:{port};
    location / {
        proxy_pass http://application;
        proxy_set_header Host $http_host;
        proxy_connect_timeout 2s;
        proxy_bind {balancer};
    }
}
"""


class Lost(NamedTuple):
    """A request without an answer of the application."""

    method: str
    #: 502, or 0 where the connection broke.
    status: int
    sent: float
    ended: float


class Server:
    """One of the application servers, which can be started again on the same port."""

    def __init__(self, framework: str, folder: Path, redis_port: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._logs = itertools.count()
        self._pid_file = folder / f"{self.port}.pid"
        options = ("--pid", str(self._pid_file), APPLICATIONS[framework])
        self._command = (sys.executable, *GUNICORN, *options)
        self._environment: dict[str, Any] = {
            "DJANGO_SETTINGS_MODULE": "tests.load.applications.django_project",
            "DJSESSION_TRUSTED_PROXIES": BALANCER,
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        }
        self._running = ExitStack()

    def start(self, *keys: str) -> None:
        """Start it with these keys, newest first."""
        log = self._folder / f"{self.port}-{next(self._logs)}.log"
        variables = {**self._environment, "DJAODJIN_SECRET_KEY": ",".join(keys)}
        self._running.enter_context(running_server(self._command, log, port=self.port, **variables))

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, or kill it with whatever it is doing."""
        if kill:
            master = int(self._pid_file.read_text())
            for pid in (master, *children(master)):
                os.kill(pid, signal.SIGKILL)
            with suppress(OSError):
                while True:
                    connect(self.port).close()
        self._running.close()


class Site:
    """The servers with nginx in front, and the users who keep them busy."""

    def __init__(self, port: int, servers: list[Server], folder: Path) -> None:
        self.port, self.servers = port, servers
        #: The key of the proxy.
        self.key = KEY
        self.is_over = threading.Event()
        self.users = [User(number, self) for number in range(USERS)]
        self._folder = folder

    @property
    def answered(self) -> Counter[int]:
        """How many requests were answered, by the port of the server."""
        return sum((user.answered for user in self.users), Counter())

    def check(self) -> None:
        wrong = [item for user in self.users for item in user.wrong]
        assert not wrong, f"{len(wrong)} wrong answers, such as {wrong[:5]}"
        assert self.is_over.is_set() or all(user.is_alive() for user in self.users)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 600
        while not condition():
            self.check()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def wait_for(self, share: float) -> None:
        """Wait until this share of all requests is answered."""
        self.wait_until(lambda: self.answered.total() >= share * REQUESTS)

    def wait_for_everyone(self) -> None:
        """Wait until every request that is under way now has ended."""
        now = time.monotonic()
        self.wait_until(lambda: all(user.sent > now for user in self.users))

    def balance(self, *servers: Server) -> None:
        """Have nginx use these servers only, and wait until it is done with the others."""
        write_upstream(self._folder, servers)
        master = int((self._folder / "nginx.pid").read_text())
        workers = children(master)
        os.kill(master, signal.SIGHUP)
        self.wait_until(lambda: not set(workers) & set(children(master)))

    def restart(self, *keys: str) -> None:
        """Restart one server after the other with these keys."""
        for server in self.servers:
            self.balance(*(other for other in self.servers if other is not server))
            server.stop()
            server.start(*keys)
            self.balance(*self.servers)

    def finish(self) -> None:
        self.is_over.set()
        for user in self.users:
            user.join()


class User(threading.Thread):
    """Sends one request at a time and checks what comes back."""

    def __init__(self, number: int, site: Site) -> None:
        super().__init__(daemon=True)
        self.number, self.site = number, site
        self.username = f"user-{number}"
        self.chance = random.Random(number)
        # Half of the users come by way of a proxy with the JWT session backend.
        self.is_bearer = number % 2 == 1
        self.tokens = {
            key: dumps(
                {**XIA, "username": self.username}, key, "jwt" if self.is_bearer else "openssl"
            )
            for key in (KEY, OTHER_KEY)
        }
        #: When the last request was sent.
        self.sent = 0.0
        self.connection = HTTPConnection("127.0.0.1", site.port, timeout=120)
        #: The application's cookies.
        self.cookies: dict[str, str] = {}
        #: What the stored count may be: a write without an answer may have been stored or not.
        self.counts = {0}
        self.answered: Counter[int] = Counter()
        self.lost: list[Lost] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.site.is_over.is_set():
            method = self.chance.choice(["GET", "POST"])
            if self.chance.random() < 0.05:
                self.borrow(method)
            else:
                self.visit(method)
        self.visit("GET")
        self.connection.close()

    def visit(self, method: str) -> None:
        """Read the count, or write one more."""
        expected = self.counts if method == "GET" else {count + 1 for count in self.counts}
        answer = self.ask(method, self.cookies)
        if answer is not None:
            self.check(method, answer, expected)
            self.counts = {answer["count"]}
        elif method == "POST":
            self.counts = self.counts | expected
            # What a killed server has sent to Redis may be stored a moment later.
            time.sleep(0.1)

    def borrow(self, method: str) -> None:
        """Send somebody else's cookies, as at a shared computer: that starts another session."""
        somebody = self.site.users[(self.number + self.chance.randrange(1, USERS)) % USERS]
        answer = self.ask(method, dict(somebody.cookies))
        if answer is not None:
            self.check(f"{method} with other cookies", answer, {int(method == "POST")})

    def check(self, request: str, answer: dict[str, Any], counts: set[int]) -> None:
        expected = [
            {
                "username": self.username,
                "count": count,
                "counted_for": self.username if count else None,
            }
            for count in counts
        ]
        if answer not in expected:
            self.wrong.append(f"{request}: {answer}, expected one of {expected}")

    def ask(self, method: str, cookies: dict[str, str]) -> dict[str, Any] | None:
        """Send a request; return what the page says, or None if the request is lost.

        The cookies are replaced by those that the application sets.
        """
        self.sent = time.monotonic()
        token, sent_cookies = self.tokens[self.site.key], dict(cookies)
        # nginx closes connections that are kept alive when it reads its configuration again.
        headers = {"Connection": "close"}
        if self.is_bearer:
            headers["Authorization"] = f"Bearer {token}"
        else:
            sent_cookies["sessionid"] = f'"{token}"'
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in sent_cookies.items())
        try:
            self.connection.request(method, "/", headers=headers)
            response = self.connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException):
            self.connection.close()
            status = 0
        if status in (0, 502):
            self.lost.append(Lost(method, status, self.sent, time.monotonic()))
            return None
        if status != 200:
            self.wrong.append(f"{method}: status {status}")
            return None
        for line in response.headers.get_all("Set-Cookie", ()):
            cookies.update({name: item.coded_value for name, item in SimpleCookie(line).items()})
        answer: dict[str, Any] = json.loads(body)
        self.answered[answer.pop("port")] += 1
        return answer


def write_upstream(folder: Path, servers: Iterable[Server]) -> None:
    lines = [f"server 127.0.0.1:{server.port} max_fails=0;" for server in servers]
    (folder / "upstream.conf").write_text(f"upstream application {{ {' '.join(lines)} }}\n")


@contextmanager
def running_site(framework: str, folder: Path) -> Iterator[Site]:
    redis = (command("redis-server"), *REDIS, "--dir", str(folder))
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_server(redis, folder / "redis.log"))
        servers = [Server(framework, folder, redis_port) for _ in range(2)]
        for server in servers:
            stack.callback(server.stop)
            server.start(KEY)
        write_upstream(folder, servers)
        directives = NGINX.replace("{balancer}", BALANCER)
        site = Site(stack.enter_context(running_nginx(directives, folder)), servers, folder)
        stack.callback(site.finish)
        for user in site.users:
            user.start()
        yield site


@pytest.mark.parametrize("framework", APPLICATIONS)
def test_only_requests_under_way_at_a_killed_server_are_lost(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with running_site(framework, tmp_path) as site:
        site.wait_for(0.1)
        before_kill = time.monotonic()
        site.servers[0].stop(kill=True)
        after_kill = time.monotonic()
        site.wait_for(0.2)
        site.servers[0].start(KEY)
        site.wait_for(0.3)
        site.restart(OTHER_KEY, KEY)
        site.wait_for(0.5)
        site.key = OTHER_KEY
        site.wait_for_everyone()
        site.wait_for(0.7)
        site.restart(OTHER_KEY)
        site.wait_for(1)
        site.finish()
        site.check()

        # Each server has the new key only, and takes a session from nobody but nginx.
        new, old = ({"Cookie": f"sessionid={dumps(XIA, key)}"} for key in (OTHER_KEY, KEY))
        assert [http(site.port, **new)[0] for _ in site.servers] == [200, 200]
        assert [http(site.port, **old)[0] for _ in site.servers] == [403, 403]
        assert [http(server.port, **new)[0] for server in site.servers] == [403, 403]

    lost = [item for user in site.users for item in user.lost]
    with capsys.disabled():
        print(
            f"\n{framework}: answered {dict(site.answered)} in {time.monotonic() - started:.1f} s,"
            f" lost {dict(Counter((item.method, item.status) for item in lost))}"
        )
    for item in lost:
        assert item.sent < after_kill
        assert item.ended > before_kill
        # nginx repeats a GET at the other server.
        assert (item.method, item.status) != ("GET", 502)
    assert min(site.answered[server.port] for server in site.servers) > REQUESTS / 20
