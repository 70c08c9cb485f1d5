"""What people have at hand of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from djsession import Settings, dumps
from djsession.commands import examine
from djsession.doctor import InputError, read_requests
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

SETTINGS = Settings(KEY)
TOKEN = dumps(XIA, KEY)
JWT = dumps(XIA, KEY, "jwt")


def har(*requests: dict[str, Any]) -> str:
    return json.dumps({"log": {"entries": [{"request": request} for request in requests]}})


def har_request(url: str = "https://example.com/app/", **headers: str) -> dict[str, Any]:
    return {
        "method": "GET",
        "url": url,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
    }


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        JWT,
        f"  {TOKEN}\n",
        f"sessionid={TOKEN}",
        f'_ga=1; sessionid="{TOKEN}"; theme="dark mode"',
        f"Cookie: a=b; sessionid={TOKEN}",
        f"cookie:sessionid={TOKEN}",
        f"Set-Cookie: sessionid={TOKEN}; Path=/; HttpOnly",
        f"Authorization: Bearer {JWT}",
        f"Bearer {JWT}",
        f"GET /app/ HTTP/1.1\r\nHost: x\r\nCookie: sessionid={TOKEN}\r\n\r\nbody",
        f"GET /app/ HTTP/2\nhost: x\ncookie: a=b\ncookie: sessionid={TOKEN}\n",
        f"POST / HTTP/1.1\nCookie: a=b;\n sessionid={TOKEN}\nHost: x\n",
        f"curl 'https://example.com/app/?a=b' -H 'Cookie: sessionid={TOKEN}' --compressed",
        f"curl -b 'sessionid={TOKEN}' https://example.com/",
        f'curl https://example.com/ \\\n  --header "Authorization: Bearer {JWT}" \\\n  -k',
        f"$ curl --cookie 'sessionid=\"{TOKEN}\"' --url https://example.com/",
        f"curl -H'Cookie: sessionid={TOKEN}' https://example.com/",
        f"curl --oauth2-bearer {JWT} https://example.com/",
        f"curl --cookie=sessionid={TOKEN} https://example.com/",
        f"curl '--header=Cookie: sessionid={TOKEN}' https://example.com/",
        f"curl https://example.com/ -H $'Cookie: a=\\'\\u0021b\\'; sessionid={TOKEN}'",
        f'curl ^"https://example.com/^" ^\n  -b ^"a=^%^22; sessionid={TOKEN}^"',
        har(har_request(Cookie=f"sessionid={TOKEN}")),
        har(har_request(), har_request(authorization=f"Bearer {JWT}"), har_request()),
        "\ufeff" + har(har_request(Cookie=f"sessionid={TOKEN}")),
    ],
    ids=range(26),
)
def test_it_is_found(text: str) -> None:
    report = examine(text, SETTINGS)
    assert report.decodes
    assert report.session is not None
    assert report.session["username"] == "xia"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("GET /a%20b?x=1 HTTP/1.1\n", "/a b"),
        ("GET https://example.com/a HTTP/1.1\n", "/a"),
        ("GET /%E6%97%A5 HTTP/1.1\n", "/日"),
        ("GET /%E6%97 HTTP/1.1\n", "/\ufffd"),
        ("GET /a%252Fb HTTP/1.1\n", "/a%2Fb"),
        ("curl https://example.com", "/"),
        (har(har_request("https://example.com/x/y?z")), "/x/y"),
        ("Cookie: a=b", None),
    ],
)
def test_the_path_is_as_the_gate_sees_it(text: str, path: str | None) -> None:
    assert read_requests(text)[0].path == path


def test_of_many_requests_the_one_that_is_refused_counts() -> None:
    refused = har_request(
        "https://example.com/refused", Cookie=f"sessionid={dumps(XIA, OTHER_KEY)}"
    )
    text = har(har_request(), har_request(Cookie=f"sessionid={TOKEN}"), refused, har_request())
    report = examine(text, SETTINGS)
    assert not report.decodes
    assert report.case.request.path == "/refused"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "{}", '{"log": 1}', '{"log": {"entries": [1]}}', '{"log": {"entries": []}}', "{"]
    + ["curl 'https://", "{" * 5000],
)
def test_what_cannot_be_read_is_said_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_requests(text)
    assert "\n" not in str(caught.value)
