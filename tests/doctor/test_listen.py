"""A server in place of the application, which answers with the diagnosis of each request."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from djsession import dumps
from djsession.doctor import Configuration, Report
from djsession.doctor.listen import MAX_REFUSED, Listener
from tests.helpers.commands import ROOT, environment
from tests.helpers.servers import http, raw_http
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

TOKEN = dumps({**XIA, "access_key": "AKIA-of-the-site"}, KEY)
WRONG = dumps(XIA, OTHER_KEY)
CREDENTIAL = "credential-of-somebody"


class Client:
    """Requests to a Listener in this process."""

    def __init__(self, *keys: str, **settings: Any) -> None:
        self.written: list[str] = []
        self.status = ""
        self.headers: dict[str, str] = {}
        self.app = Listener(Configuration.of(keys or (KEY,), settings), self.written.append)

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> str:
        environ: dict[str, Any] = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "REMOTE_ADDR": "10.0.0.7",
            **{f"HTTP_{name}": value for name, value in headers.items()},
        }
        setup_testing_defaults(environ)

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            self.status, self.headers = status, dict(headers)

        return b"".join(self.app(environ, start_response)).decode()


def test_the_listener_sends_a_client_the_report_that_the_terminal_shows() -> None:
    client = Client()
    text = client.get("/app/", COOKIE=f'sessionid="{TOKEN}"')
    assert (client.status, client.headers["Cache-Control"]) == ("200 OK", "no-store")
    assert client.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.startswith("GET /app/\n")
    assert "The session decodes." in text
    assert client.written == [text]


def test_the_listener_sends_a_browser_a_page() -> None:
    client = Client()
    page = client.get("/app/", COOKIE=f"sessionid={WRONG}", ACCEPT="text/html,*/*;q=0.1")
    assert client.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in client.headers["Content-Security-Policy"]
    assert client.headers["X-Content-Type-Options"] == "nosniff"
    assert "<h1>The token was not written with this key</h1>" in page
    assert "DJAODJIN_SECRET_KEY differs from the key at the proxy" in page
    assert "Diagnosis of GET /app/" in page
    assert client.written[0].startswith("GET /app/\n")


def test_the_listeners_page_escapes_every_part_of_the_request() -> None:
    evil = "<script>alert(1)</script>"
    token = dumps({"username": evil}, KEY)
    page = Client().get(
        f"/{evil}", evil, COOKIE=f"sessionid={token}", ACCEPT="text/html", HOST=evil, **{evil: evil}
    )
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
@pytest.mark.parametrize("token", [TOKEN, WRONG], ids=["ours", "wrong"])
def test_the_listener_shows_no_credential_token_or_key(accept: str, token: str) -> None:
    client = Client()
    shown = client.get(
        f"/{KEY}",
        ACCEPT=accept,
        COOKIE=f"a={CREDENTIAL}; sessionid={token}; {CREDENTIAL}",
        AUTHORIZATION=f"Basic {CREDENTIAL}",
        X_SOMETHING_NEW=CREDENTIAL,
        X_FORWARDED_FOR=f"10.0.0.1 <{CREDENTIAL}>",
        X_FORWARDED_HOST="www.example.com",
        USER_AGENT=CREDENTIAL,
        REFERER=f"http://x/?key={CREDENTIAL}",
    )
    for text in (shown, *client.written):
        assert "x-something-new" in text
        assert "www.example.com" in text
        for secret in (CREDENTIAL, KEY, token, "AKIA-of-the-site"):
            assert secret not in text


def test_the_listener_reports_a_missing_or_quoted_key() -> None:
    for keys in (("",), (f'"{KEY}"',)):
        client = Client(*keys)
        text = client.get(COOKIE=f"sessionid={TOKEN}")
        assert "There is no secret key." in text or "has quotes around it" in text
        assert client.status == "200 OK"


def test_the_listener_checks_the_peer_against_trusted_proxies() -> None:
    text = Client(trusted_proxies=["10.0.0.8"]).get(COOKIE=f"sessionid={TOKEN}")
    assert "The request came from 10.0.0.7, which trusted_proxies does not list" in text
    assert "There is no session." in text
    assert "The session decodes." in Client(trusted_proxies=["10.0.0.7"]).get(
        COOKIE=f"sessionid={TOKEN}"
    )


def test_the_listener_answers_head_without_a_body_and_reports_it() -> None:
    client = Client()
    assert client.get(method="HEAD") == ""
    assert client.written[0].startswith("HEAD /\n")


class TestListenerAsPaddingOracle:
    """Whoever reaches the server may send any token and see how far it came."""

    def test_it_stops_examining_after_a_number_of_refused_tokens(self) -> None:
        client = Client()
        for _ in range(MAX_REFUSED):
            assert "padding" in client.get(COOKIE=f"sessionid={WRONG}")
        for cookie in (WRONG, TOKEN):
            for accept in ("text/html", "*/*"):
                text = client.get(COOKIE=f"sessionid={cookie}", ACCEPT=accept)
                assert client.status.startswith("503")
                assert "padding" not in text
        assert len(client.written) == MAX_REFUSED + 1
        assert "Start it again to continue" in client.written[-1]

    def test_refused_tokens_beside_one_that_decodes_are_counted(self) -> None:
        cookies = "; ".join(f"sessionid={token}" for token in (TOKEN, WRONG, WRONG, WRONG))
        client = Client()
        for _ in range(-(-MAX_REFUSED // 3)):
            assert "The session decodes." in client.get(COOKIE=cookies)
        client.get(COOKIE=cookies)
        assert client.status.startswith("503")

    def test_text_that_no_key_was_tried_on_is_not_counted(self) -> None:
        client = Client()
        for _ in range(MAX_REFUSED + 1):
            client.get(COOKIE="sessionid=hello")
        assert client.status == "200 OK"


@contextmanager
def listening(tmp_path: Path, *options: str, **variables: str) -> Iterator[tuple[int, Path]]:
    """Run the command, and yield its port and the file with its output."""
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "djsession", "doctor", "--listen", "0", *options],
            cwd=ROOT,
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not (found := re.search(r"Listening at http://\S+:(\d+)/", log.read_text())):
            assert process.poll() is None, log.read_text()
        yield int(found[1]), log
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.server
class TestDoctorListenCommand:
    def test_it_answers_and_prints_what_it_finds(self, tmp_path: Path) -> None:
        with listening(tmp_path, DJAODJIN_SECRET_KEY=KEY) as (port, log):
            status, _, body = http(port, f"/app/?token={CREDENTIAL}", Cookie=f"sessionid={TOKEN}")
            assert status == 200
            assert b"The session decodes." in body
            status, headers, body = http(port, Accept="text/html")
            assert headers["content-type"] == "text/html; charset=utf-8"
            status, _, body = raw_http(
                port,
                "POST /form HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 3\n\na=b",
            )
            assert body.startswith(b"POST /form\n")
        said = log.read_text()
        assert f"Listening at http://127.0.0.1:{port}/ in place of the application." in said
        assert re.findall(r"^(?:GET|POST) .*", said, re.MULTILINE) == [
            "GET /app/",
            "GET /",
            "POST /form",
        ]
        assert CREDENTIAL not in said
        assert "Traceback" not in said

    def test_it_takes_the_options_of_the_doctor(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(KEY)
        options = ("--key-file", f"{tmp_path}/key", "--cookie-name", "mine", "--json")
        with listening(tmp_path, *options, "--host", "0.0.0.0") as (port, log):
            assert b"The session decodes." in http(port, Cookie=f"mine={TOKEN}")[2]
        said = log.read_text()
        assert f"Listening at http://127.0.0.1:{port}/" in said
        document = json.loads(said[said.index("{") : said.rindex("}") + 1])
        assert (document["decodes"], document["method"], document["path"]) == (True, "GET", "/")

    def test_it_runs_without_a_usable_key(self, tmp_path: Path) -> None:
        with listening(tmp_path) as (port, log):
            assert b"There is no secret key." in http(port, Cookie=f"sessionid={TOKEN}")[2]
        assert "There is no usable secret key" in log.read_text()

    def test_a_port_in_use_is_a_one_line_error(self, tmp_path: Path) -> None:
        with listening(tmp_path) as (port, _):
            done = subprocess.run(
                [sys.executable, "-m", "djsession", "doctor", "--listen", str(port)],
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (
            2,
            f"djsession: cannot listen on 127.0.0.1:{port}: Address already in use; stop the"
            " program that uses this port, or choose another port\n",
        )


def test_the_listener_writes_json_to_the_terminal_when_asked_to() -> None:
    client = Client()
    client.app = Listener(Configuration.of([KEY], {}), client.written.append, Report.as_json)
    assert client.get(COOKIE=f"sessionid={TOKEN}").startswith("GET /\n")
    assert json.loads(client.written[0])["decodes"]
