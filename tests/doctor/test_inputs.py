"""What people have at hand of a request."""

from __future__ import annotations

import pytest

from djsession import Settings, dumps
from djsession.commands import examine
from djsession.doctor import InputError, read_request
from tests.helpers.sessions import KEY, XIA

SETTINGS = Settings(KEY)
TOKEN = dumps(XIA, KEY)
JWT = dumps(XIA, KEY, "jwt")


def folded(line: str) -> str:
    """Return a line as the dashboard of the proxy prints it."""
    return "\\\n".join(line[i : i + 48] for i in range(0, len(line), 48))


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
        folded(f"sessionid: {TOKEN}"),
        folded(f"sessionid: {TOKEN}").replace("\n", " \r\n  "),
        folded(f"Cookie: sessionid={TOKEN}"),
        f"sessionid: {JWT}",
    ],
    ids=range(17),
)
def test_a_token_is_found_in_any_input_that_people_paste(text: str) -> None:
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
        ("Cookie: a=b", None),
    ],
)
def test_the_path_of_a_pasted_request_is_decoded_as_the_gate_decodes_it(
    text: str, path: str | None
) -> None:
    assert read_request(text).path == path


@pytest.mark.parametrize(
    "text",
    ["", " \n", "\\\n", '{"log": {"entries": []}}', "curl 'https://example.com/'", "{" * 5000],
)
def test_an_unreadable_input_raises_a_one_line_error(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_request(text)
    assert "\n" not in str(caught.value)
