from __future__ import annotations

import io
import json
import os
import re
import signal
import string
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import SessionCodec, cli, dumps, loads
from djsession.errors import InvalidPadding
from djsession.keys import generate_key
from tests.helpers.commands import ROOT, command, environment
from tests.helpers.servers import free_port, http, post_form, raw_http
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

ALPHABET = set(string.ascii_letters + string.digits)


class Run:
    """Run the command in process, with the key in the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        self.capsys, self.monkeypatch = capsys, monkeypatch
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", KEY)

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)


class TestKeygen:
    def test_a_key_has_more_than_128_bits_and_no_character_that_a_shell_changes(
        self, run: Run
    ) -> None:
        keys = set()
        for _ in range(50):
            code, out, _ = run("keygen")
            assert code == 0
            assert set(out.strip()) <= ALPHABET
            keys.add(out.strip())
        assert len(keys) == 50
        # log2(62) = 5.95 bits a character.
        assert all(len(key) * 5.95 >= 128 for key in keys)

    def test_every_character_of_the_alphabet_is_drawn(self) -> None:
        assert set("".join(generate_key() for _ in range(200))) == ALPHABET

    def test_its_keys_are_taken_as_keys(self, run: Run) -> None:
        for _ in range(50):
            key = generate_key()
            assert loads(dumps(XIA, key), key) == XIA


class TestEncrypt:
    def test_json_from_stdin_becomes_a_token(self, run: Run) -> None:
        code, out, err = run("encrypt", stdin=json.dumps(XIA))
        assert (code, err) == (0, "")
        assert loads(out.strip(), KEY) == XIA

    def test_json_on_the_command_line_becomes_a_token(self, run: Run) -> None:
        code, out, _ = run("encrypt", ' {"username": "xia"}')
        assert code == 0
        assert loads(out.strip(), KEY) == {"username": "xia"}

    def test_json_from_a_file_becomes_a_token(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "session.json"
        path.write_text(json.dumps(XIA), encoding="utf-8")
        _, out, _ = run("encrypt", str(path), "--format", "jwt")
        assert out.count(".") == 2
        assert loads(out.strip(), KEY).username == "xia"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "not JSON: line 1, column 1"),
            ("{", "not JSON: line 1"),
            ("[]", "a session must be a JSON object"),
            ('"xia"', "a session must be a JSON object"),
            ('{"a": NaN}', "not JSON compliant"),
            ('{"last_visited": "a b"}', "last_visited may contain only letters, digits"),
            ("[" * 100_000, "not readable as JSON"),
            ('{"a": ' + "9" * 5000 + "}", "not readable as JSON"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_1(self, text: str, said: str, run: Run) -> None:
        code, out, err = run("encrypt", stdin=text)
        assert (code, out) == (1, "")
        assert said in err
        assert err.count("\n") == 1

    def test_an_unreadable_file_is_a_one_line_error_and_exit_code_1(
        self, run: Run, tmp_path: Path
    ) -> None:
        assert run("encrypt", str(tmp_path / "missing"))[0] == 1
        code, _, err = run("encrypt", str(tmp_path))
        assert code == 1
        assert err.count("\n") == 1


class TestDecrypt:
    @pytest.mark.parametrize("format", ["openssl", "jwt"])
    @pytest.mark.parametrize(
        "shape",
        [
            "{}",
            '"{}"',
            "{}\n",
            "Cookie: sessionid={}",
            'cookie: a=b; sessionid="{}"; c="d e"',
            'sessionid="{}"; a=b',
            'a=b; sessionid="{}"',
            "Authorization: Bearer {}",
            "bearer {}",
        ],
    )
    def test_a_token_or_a_whole_header_becomes_json(
        self, shape: str, format: Any, run: Run
    ) -> None:
        text = shape.format(dumps(XIA, KEY, format))
        for code, out, err in (run("decrypt", text), run("decrypt", stdin=text)):
            assert (code, err) == (0, "")
            session = json.loads(out)
            session.pop("exp", None)
            assert session == XIA
            assert out.startswith('{\n  "')

    def test_cookie_name_selects_the_cookie(self, run: Run) -> None:
        text = f"Cookie: djs={dumps(XIA, KEY)}"
        assert run("decrypt", "--cookie-name", "djs", text)[0] == 0
        assert run("decrypt", text)[0] == 1

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("garbage", "the token is not valid base64"),
            (
                dumps(XIA, OTHER_KEY, "jwt"),
                "most likely DJAODJIN_SECRET_KEY differs from the key at the proxy",
            ),
            ("Cookie: a=b", "no token found: expected a token, a Cookie header with sessionid"),
            ("Authorization: Basic abc", "no token found"),
            ("", "no token found"),
        ],
    )
    def test_a_refused_token_is_one_line_and_exit_code_1(
        self, text: str, said: str, run: Run
    ) -> None:
        code, out, err = run("decrypt", stdin=text)
        assert (code, out) == (1, "")
        assert said in err
        assert err.count("\n") == 1
        assert KEY not in err

    def test_what_one_command_writes_the_other_reads(self, run: Run) -> None:
        for format in ("openssl", "jwt"):
            token = run("encrypt", "--format", format, stdin='{"username": "林"}')[1]
            assert json.loads(run("decrypt", stdin=token)[1])["username"] == "林"


def test_the_option_version_prints_the_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"djsession [\d.]+\n", out)


class TestDoctorCommand:
    def test_a_session_that_decodes_is_exit_code_0(self, run: Run) -> None:
        for text in (dumps(XIA, KEY), f"Cookie: a=b; sessionid={dumps(XIA, KEY)}"):
            code, out, err = run("doctor", text)
            assert (code, err) == (0, "")
            assert "The session decodes.\n" in out
            assert '"username": "xia"' in out
            assert KEY not in out

    def test_a_refused_token_is_explained_with_exit_code_1(self, run: Run) -> None:
        code, out, err = run("doctor", stdin=dumps({"secret_key": "AKIA"}, OTHER_KEY, "jwt"))
        assert (code, err) == (1, "")
        assert "signature    FAILED" in out
        assert "There is no session.\n" in out
        said = " ".join(out.split())
        assert (
            "The jwt was not signed with this key: most likely DJAODJIN_SECRET_KEY differs from the"
            " key at the proxy. What to do: Compare the two with 'djsession doctor --compare'"
        ) in said

    def test_the_key_that_decodes_is_named(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_text(f"{OTHER_KEY}\n{KEY}\n")
        code, out, _ = run("doctor", "--key-file", str(path), dumps({"secret_key": "AKIA"}, KEY))
        assert code == 0
        assert re.search(r"padding \(key 1\) +FAILED", out)
        assert re.search(r"padding \(key 2\) +ok", out)
        assert '"secret_key": "********"' in out
        assert "AKIA" not in out

    def test_input_without_a_token_is_reported(self, run: Run) -> None:
        code, out, err = run("doctor", "Cookie: a=b")
        assert (code, err) == (1, "")
        assert "The request carries no session token" in out
        code, out, err = run("doctor", " ")
        assert (code, out) == (1, "")
        assert err == (
            "djsession: there is nothing to examine: pass a token, a header or a request\n"
        )

    def test_the_input_may_be_a_file(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "request.txt"
        path.write_bytes(
            f'GET / HTTP/1.1\r\nCookie: sessionid="{dumps(XIA, KEY)}"\r\n\r\n'.encode()
        )
        assert run("doctor", str(path))[0] == 0
        path.write_bytes(bytes(range(256)))
        assert run("doctor", str(path))[0] == 1

    @given(
        st.text(st.characters(exclude_categories=[]))
        | st.sampled_from([KEY, "-", ".", "/dev/null"]),
        st.sampled_from(["", "--json"]),
        st.dictionaries(
            st.sampled_from(
                ["DJAODJIN_SECRET_KEY", "DJSESSION_COOKIE_NAME", "DJSESSION_FORMATS"]
                + ["DJSESSION_ALLOWED_NO_SESSION", "DJSESSION_MAX_TOKEN_SIZE", "DJSESSION_NONE"]
            ),
            st.text().filter(lambda value: "\x00" not in value) | st.just(KEY),
        ),
    )
    def test_any_input_and_any_settings_end_with_0_or_1(
        self, text: str, option: str, variables: dict[str, str]
    ) -> None:
        out, err = io.StringIO(), io.StringIO()
        token = dumps(XIA, KEY)
        arguments = ["doctor", *filter(None, [option]), "--", text]
        with (
            mock.patch.dict(os.environ, variables),
            mock.patch("sys.stdin", io.StringIO(f"GET /x HTTP/1.1\nCookie: sessionid={token}")),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            assert cli.main(arguments) in (0, 1)
        assert out.getvalue().isascii()
        assert len(err.getvalue().splitlines()) <= 1
        if variables.get("DJAODJIN_SECRET_KEY") == KEY:
            assert KEY not in out.getvalue() + err.getvalue()

    def test_the_documents_show_what_it_prints(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("k3y!@#\n")  # what a shell left of KEY
        # One of 256 tokens has a padding under the wrong key, too, and fails later.
        tokens = iter(lambda: dumps({"username": "xia"}, KEY), None)
        codec = SessionCodec("k3y!@#")
        token = next(item for item in tokens if isinstance(codec.try_loads(item), InvalidPadding))
        out = run("doctor", "--key-file", f"{tmp_path}/key", f'Cookie: sessionid="{token}"')[1]
        page = (ROOT / "docs/troubleshooting.rst").read_text(encoding="utf-8")
        shown = page.partition("    $ djsession doctor ")[2].partition("\nThe exit code")[0]
        shown = textwrap.dedent("    $ " + shown).partition("\n")[2].strip("\n")
        for pattern in ("U2FsdGVkX1[^']*", "(?<=salt )[0-9a-f]+", "(?<=iv )[0-9a-f]+"):
            out, shown = re.sub(pattern, "...", out), re.sub(pattern, "...", shown)
        # A line of three dots stands for lines that are left out.
        parts = map(re.escape, shown.split("\n  ...\n"))
        assert re.fullmatch("(?:\n.+)+\n".join(parts), out.strip("\n")), out

    @pytest.mark.parametrize(
        ("arguments", "variables"),
        [
            (["TOKEN"], {"DJAODJIN_SECRET_KEY": b"abcdefgh\xff1234567"}),
            (["GET /caf\u00e9 HTTP/1.1\n"], {"DJSESSION_ALLOWED_NO_SESSION": b"/caf\xe9/"}),
            ([b"GET /\xff HTTP/1.1\nCookie: a=b"], {"DJSESSION_ALLOWED_NO_SESSION": b"/a"}),
            ([b"x: \xff"], {}),
            (["--cookie-name", b"s\xff", b"Cookie: s\xff=abc"], {}),
        ],
        ids=range(5),
    )
    def test_arguments_and_settings_that_are_not_utf_8_cause_no_traceback(
        self, arguments: list[Any], variables: dict[str, bytes]
    ) -> None:
        arguments = [dumps(XIA, KEY) if item == "TOKEN" else item for item in arguments]
        done = subprocess.run(
            [sys.executable, "-m", "djsession", "doctor", *arguments],
            env={
                **environment(DJAODJIN_SECRET_KEY=KEY, PYTHONIOENCODING="utf-8:strict"),
                **{name: os.fsdecode(value) for name, value in variables.items()},
            },
            capture_output=True,
        )
        assert done.returncode == 1
        assert done.stderr == b""
        assert done.stdout.isascii()

    def test_closed_stdin_and_a_full_disk_are_one_line_errors(self) -> None:
        command = f"{sys.executable} -m djsession doctor"
        for line, said in (
            (f"{command} <&-", "there is no standard input"),
            (f"{command} x >/dev/full", "No space left on device"),
        ):
            done = subprocess.run(
                ["bash", "-c", line],
                env=environment(DJAODJIN_SECRET_KEY=KEY),
                capture_output=True,
                text=True,
            )
            assert (done.returncode, done.stderr) == (1, f"djsession: {said}\n")

    def test_a_missing_file_is_a_one_line_error(self, run: Run) -> None:
        assert run("doctor", "no-such.txt") == (
            1,
            "",
            "djsession: there is no such file, and it is not a token\n",
        )
        # Somebody has given the key itself.
        err = run("doctor", "--key-file", KEY, "x")[2]
        assert err == "djsession: the key file cannot be read: No such file or directory\n"

    def test_it_shows_the_path_and_the_headers_of_a_request_without_the_query(
        self, run: Run
    ) -> None:
        out = run("doctor", stdin="GET /caf%C3%A9?token=x HTTP/1.1\nHost: x\nX-Key: y\n")[1]
        assert out.startswith("GET /caf\\xe9\n  host       9 bytes  x\n  x-key     10 bytes\n\n")

    def test_the_option_json_prints_the_report_as_json(self, run: Run) -> None:
        code, out, _ = run("doctor", "--json", f"Cookie: sessionid={dumps(XIA, KEY)}")
        report = json.loads(out)
        assert (code, report["decodes"], report["session"]) == (0, True, XIA)
        assert report["tokens"][0]["steps"][0] == {
            "name": "found in",
            "status": "passed",
            "key": None,
            "value": "the cookie sessionid",
        }
        code, out, _ = run("doctor", "--json", dumps(XIA, OTHER_KEY))
        report = json.loads(out)
        assert (code, report["decodes"], report["session"]) == (1, False, None)
        assert [finding["id"] for finding in report["findings"]] == ["wrong-key"]

    def test_a_missing_key_is_reported(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DJAODJIN_SECRET_KEY")
        code, out, err = run("doctor", dumps(XIA, KEY))
        assert (code, err) == (1, "")
        assert "There is no secret key." in out
        assert re.search("^  secret key +FAILED$", out, re.MULTILINE)
        assert re.search("^  padding +-$", out, re.MULTILINE)
        assert "no key" not in out

    def test_the_option_settings_reads_a_module_and_explains_its_mistakes(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("one_settings.py").write_text(
            f"DJAODJIN_SECRET_KEY = {OTHER_KEY!r}\n"
            'DJSESSION = {"COOKIE_NAME": "mine", "ALLOWED_NO_SESSION": ["/static/", object()]}\n'
        )
        text = f"GET /static-x HTTP/1.1\nCookie: mine={dumps(XIA, OTHER_KEY)}\n"
        assert run("doctor", "--settings", "one_settings", stdin=text)[0] == 0
        text = "GET /static-x HTTP/1.1\nCookie: mine=no\n"
        assert (
            "although it looks similar"
            in run("doctor", "--settings", "one_settings", stdin=text)[1]
        )
        Path("two_settings.py").write_text("1 / 0")
        code, out, err = run("doctor", "--settings", "two_settings", "x")
        assert (code, out) == (1, "")
        assert err == (
            "djsession: two_settings cannot be imported: ZeroDivisionError, line 1 of"
            " two_settings.py\n"
        )
        Path("five_settings.py").write_text("import os\n\nos.environ['NO_SUCH_VARIABLE']")
        err = run("doctor", "--settings", "five_settings", "x")[2]
        assert "KeyError: 'NO_SUCH_VARIABLE', line 3 of five_settings.py" in err
        err = run("doctor", "--settings", "no_such_settings", "x")[2]
        assert err.startswith(
            "djsession: no_such_settings cannot be imported: there is no module named"
            " no_such_settings"
        )
        for key in (12345, True, 3.5, "{1: 2}", "[1]", '"ab\\ud800cdefgh"'):
            name = f"odd_{abs(hash(str(key)))}"
            Path(f"{name}.py").write_text(f"DJAODJIN_SECRET_KEY = {key}\n")
            assert run("doctor", "--settings", name, dumps(XIA, KEY))[0] == 1
        Path("three_settings.py").write_text(
            'DEPLOYUTILS = {"SESSION_COOKIE_NAME": "theirs", "ALLOWED_NO_SESSION": None}'
        )
        text = f"Cookie: theirs={dumps(XIA, KEY)}"
        assert run("doctor", "--settings", "three_settings", text)[0] == 0
        # The first as Django has STATIC_URL; the last are not settings at all.
        Path("four_settings.py").write_text(
            'DJSESSION = {"ALLOWED_NO_SESSION": ["static/", "https://cdn.example.com/static/"],'
            ' "MAX_TOKEN_SIZE": "many", "COOKIE_NAME": 1}\n'
            f"DJAODJIN_SECRET_KEY = {KEY!r}\n"
        )
        request = "GET /static/a.css HTTP/1.1\n"
        code, out, err = run("doctor", "--settings", "four_settings", stdin=request)
        assert (code, err) == (1, "")
        assert "An entry in allowed_no_session matches the path" in out
        assert "max_token_size: must be a positive int" in out
        assert "cookie_name: must be the name of a cookie" in out

    def test_an_entry_that_is_not_a_path_is_reported(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "static/")
        code, out, err = run("doctor", "GET /static/a.css HTTP/1.1\n")
        assert (code, err) == (1, "")
        assert "allowed_no_session: 'static/' must start with '/'" in out

    def test_output_is_coloured_only_on_a_capable_terminal(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = [sys.executable, "-m", "djsession", "doctor", dumps(XIA, KEY)]

        def seen(**variables: str) -> bytes:
            leader, follower = os.openpty()
            subprocess.run(
                arguments,
                stdout=follower,
                env={**environment(DJAODJIN_SECRET_KEY=KEY, TERM="xterm"), **variables},
            )
            os.close(follower)
            read = b""
            with suppress(OSError):
                while chunk := os.read(leader, 65536):
                    read += chunk
            os.close(leader)
            return read

        assert b"\x1b[32mok" in seen()
        assert b"\x1b" not in seen(NO_COLOR="1")
        assert b"\x1b" not in seen(TERM="dumb")
        piped = subprocess.run(
            arguments, capture_output=True, env=environment(DJAODJIN_SECRET_KEY=KEY)
        )
        assert b"\x1b" not in piped.stdout


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("encrypt", "a session as JSON"),
        ("decrypt", "a token or a header"),
        ("doctor", "a token, a header or a request"),
    ],
)
def test_a_command_that_reads_a_terminal_says_what_it_waits_for(command: str, wanted: str) -> None:
    leader, follower = os.openpty()
    os.write(leader, b"\x04")  # Ctrl+D
    done = subprocess.run(
        [sys.executable, "-m", "djsession", command],
        stdin=follower,
        env=environment(DJAODJIN_SECRET_KEY=KEY),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(follower)
    os.close(leader)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Paste {wanted}, then press Enter and Ctrl+D:\n")


class TestDoctorCompareOption:
    def in_terminal(self, typed: str, key: str) -> tuple[int, str]:
        """Run the command in a terminal of its own; return its exit code and what it shows."""
        terminal, follower = os.openpty()
        code = (
            "import os, sys; os.login_tty(0);"
            " os.execv(sys.executable, [sys.executable, '-m', 'djsession', 'doctor', '--compare'])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=follower,
            env=environment(DJAODJIN_SECRET_KEY=key),
        )
        os.close(follower)
        shown = ""
        try:
            with suppress(OSError):  # how a terminal ends
                while chunk := os.read(terminal, 65536):
                    shown += chunk.decode()
                    if shown.endswith("(it stays hidden): "):
                        os.write(terminal, f"{typed}\n".encode())
            return process.wait(30), shown
        finally:
            os.close(terminal)

    @pytest.mark.parametrize(
        ("typed", "code", "said"),
        [
            (KEY, 0, "The application has the site's key."),
            (f" '{KEY}' ", 0, "The application has the site's key."),
            (KEY.replace("#", "x"), 1, "The secret key differs at character 6 of 16."),
            (KEY.replace("$", "$$"), 1, "The secret key lacks every second $"),
            ("", 1, "djsession: no key was entered"),
            ("\x04", 1, "there is none"),
        ],
        ids=range(6),
    )
    def test_it_asks_without_echo_and_names_the_difference(
        self, typed: str, code: int, said: str
    ) -> None:
        found, shown = self.in_terminal(typed, KEY)
        assert found == code
        assert said in shown
        assert "k3y" not in shown  # neither key
        assert "Traceback" not in shown

    def test_without_a_terminal_it_does_not_read_a_key(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "djsession", "doctor", "--compare"],
            env=environment(DJAODJIN_SECRET_KEY=KEY),
            input=f"{KEY}\n",
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "djsession: --compare asks for the key on a terminal, but there is none\n"
        )

    def test_without_a_key_of_the_application_it_asks_for_none(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DJAODJIN_SECRET_KEY")
        code, out, err = run("doctor", "--compare")
        assert (code, out) == (1, "")
        assert "the application has no secret key to compare with" in err


class TestKeysOnTheCommandLine:
    def test_a_key_file_has_one_key_a_line_newest_first(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_text(f"{OTHER_KEY}\n{KEY}\n")
        for key in (KEY, OTHER_KEY):
            assert run("decrypt", "--key-file", str(path), dumps(XIA, key))[0] == 0
        token = run("encrypt", "--key-file", str(path), stdin="{}")[1].strip()
        assert loads(token, OTHER_KEY) == {}

    def test_a_missing_key_is_exit_code_2(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DJAODJIN_SECRET_KEY")
        code, out, err = run("decrypt", dumps(XIA, KEY))
        assert (code, out) == (2, "")
        assert "DJAODJIN_SECRET_KEY" in err
        assert err.count("\n") == 1

    def test_a_broken_key_file_is_explained(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "key"
        for text, said in (("", "no secret key"), (f'"{KEY}"\n', "a quote or white space")):
            path.write_text(text)
            code, _, err = run("decrypt", "--key-file", str(path), "x")
            assert code == 2
            assert said in err
            assert KEY not in err

    def test_no_option_takes_a_key(self, run: Run) -> None:
        assert run("decrypt", "--key", KEY, "x")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("encrypt", "--format", "jwe"),
        ("serve",),
        ("serve", "a:b", "--port", "x"),
        ("serve", "a:b", "--port", "65536"),
        ("doctor", "--listen", "token"),
        ("doctor", "--listen", "0", "token"),
        ("doctor", "--compare", "token"),
    ],
)
def test_a_wrong_use_is_exit_code_2(arguments: tuple[str, ...], run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: djsession" in err


def test_help_names_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in ("keygen", "encrypt", "decrypt", "doctor", "serve", "DJAODJIN_SECRET_KEY"):
        assert name in out


def test_djsession_runs_as_a_module_and_in_a_pipe() -> None:
    result = subprocess.run(
        f"echo '{{}}' | {sys.executable} -m djsession encrypt"
        f" | {command('openssl')} enc -d -aes-256-cbc -md md5 -a -A"
        " -pass env:DJAODJIN_SECRET_KEY 2>/dev/null",
        shell=True,
        capture_output=True,
        env=environment(DJAODJIN_SECRET_KEY=KEY),
        check=True,
    )
    assert result.stdout == b"{}"


def test_a_closed_output_pipe_causes_no_traceback() -> None:
    result = subprocess.run(
        f"{sys.executable} -m djsession --help | true; {sys.executable} -m djsession decrypt"
        f" {dumps({'a': 'x' * 30_000}, KEY)} | head -c 1",
        shell=True,
        capture_output=True,
        env=environment(DJAODJIN_SECRET_KEY=KEY),
        check=False,
    )
    assert b"Traceback" not in result.stderr


@pytest.mark.server
class TestServeCommand:
    def start(self, *arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "djsession", "serve", *arguments, "--port", "0"],
            cwd=cwd,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # A test that waits for a line in vain ends when the server does.
        guard = threading.Timer(60, self.signal, (process, signal.SIGKILL))
        guard.daemon = True
        guard.start()
        return process

    def read_until(self, process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            match = re.search(pattern, line)
            if match:
                return match
        pytest.fail(f"{pattern} was not in:\n{seen}")

    def port(self, process: subprocess.Popen[str]) -> int:
        return int(self.read_until(process, r" at http://127\.0\.0\.1:(\d+)/")[1])

    def stop(self, process: subprocess.Popen[str]) -> str:
        # As Ctrl+C in a terminal: to all of its processes.
        self.signal(process, signal.SIGINT)
        out, _ = process.communicate(timeout=10)
        return out

    def signal(self, process: subprocess.Popen[str], number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def test_it_prints_the_address_the_users_and_where_the_key_is(self, tmp_path: Path) -> None:
        arguments = ("examples.hello:application", "--mockup", "examples/sessions.yaml")
        process = self.start(*arguments, XDG_STATE_HOME=str(tmp_path))
        try:
            port = self.port(process)
            address = rf"Sign in at http://127\.0\.0\.1:{port}/login/ as one of: alice, xia, dana$"
            self.read_until(process, address)
            said = "DJAODJIN_SECRET_KEY is not set, so the development key is used: "
            self.read_until(process, said + re.escape(str(tmp_path / "djsession" / "key")))
            self.read_until(process, "Ctrl")
            assert http(port)[0] == 403
            status, headers, _ = http(port, "/a?b", Accept="text/html")
            assert (status, headers["location"]) == (302, "/login/?next=%2Fa%3Fb")
            status, headers, _ = raw_http(
                port,
                f"POST /login/ HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n"
                "Content-Type: application/x-www-form-urlencoded\nContent-Length: 8\n\nuser=xia",
            )
            assert status == 303
            status, _, body = http(port, Cookie=headers["set-cookie"].partition(";")[0])
            assert status == 200
            assert b"<h1>Hello, xia</h1>" in body
        finally:
            out = self.stop(process)
        assert process.returncode == 0
        assert "Traceback" not in out

    def test_in_front_of_a_server_it_prints_the_key_that_the_server_needs(
        self, serve: Callable[..., int], tmp_path: Path
    ) -> None:
        upstream = free_port()
        arguments = (f"http://127.0.0.1:{upstream}", "--mockup", "examples/site.yaml")
        process = self.start(*arguments, XDG_STATE_HOME=str(tmp_path))
        try:
            port = int(self.read_until(process, r"Open http://127\.0\.0\.1:(\d+)/")[1])
            key = self.read_until(process, r"^    export DJAODJIN_SECRET_KEY='(\w+)'$")[1]
            serve(
                *("-m", "djsession", "serve", "examples.hello", "--port", str(upstream)),
                port=upstream,
                DJAODJIN_SECRET_KEY=key,
            )
            status, headers, _ = post_form(port, "/login/", "username=xia")
            assert status == 303
            cookie = headers["set-cookie"].partition(";")[0]
            assert b"<h1>Hello, xia</h1>" in http(port, Cookie=cookie)[2]
        finally:
            self.stop(process)
        assert key == (tmp_path / "djsession" / "key").read_text().strip()

    def test_it_serves_several_requests_at_a_time(self, tmp_path: Path) -> None:
        (tmp_path / "slow.py").write_text(
            "import threading\n"
            "both = threading.Barrier(2, timeout=10)\n"
            "def application(environ, start_response):\n"
            "    both.wait()\n"
            "    start_response('200 OK', [])\n"
            "    return [b'both']\n"
        )
        process = self.start("slow", cwd=tmp_path)
        try:
            port = self.port(process)
            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(lambda _: http(port)[2], range(2)))
            assert answers == [b"both", b"both"]
        finally:
            self.stop(process)

    def test_it_uses_the_key_it_is_given(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text(KEY + "\n")
        runs: list[tuple[list[str], dict[str, Any]]] = [
            (["--key-file", str(path)], {}),
            ([], {"DJAODJIN_SECRET_KEY": KEY}),
        ]
        for arguments, variables in runs:
            process = self.start("examples.hello:application", *arguments, **variables)
            try:
                port = self.port(process)
                assert http(port, Cookie=f"sessionid={dumps(XIA, KEY)}")[0] == 200
            finally:
                out = self.stop(process)
            assert "development key" not in out

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("nowhere:application",), 2, "there is no module named nowhere here"),
            (("examples.nowhere",), 2, "there is no module named examples.nowhere here"),
            (("localhost:8001",), 2, "Did you mean http://localhost:8001?"),
            (
                ("examples.hello:nothing",),
                2,
                "examples.hello does not contain an application called nothing",
            ),
            ((":x",), 2, "':x' is neither MODULE:APP nor the URL of a server"),
            (("examples.hello", "--mockup", "nowhere.yaml"), 1, "nowhere.yaml: cannot be read"),
            (("examples.hello", "--host", "256.0.0.1"), 2, "cannot listen on 256.0.0.1"),
        ],
    )
    def test_what_cannot_be_served_is_said_in_one_line(
        self, arguments: tuple[str, ...], code: int, said: str
    ) -> None:
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == code
        assert said in out
        assert "Traceback" not in out

    def test_a_port_in_use_is_said_in_one_line(self, serve: Callable[..., int]) -> None:
        port = serve("-m", "djsession", "serve", "examples.hello", "--port", "{port}")
        result = subprocess.run(
            [sys.executable, "-m", "djsession", "serve", "examples.hello", "--port", str(port)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 2
        assert result.stderr == (
            f"djsession: cannot listen on 127.0.0.1:{port}: Address already in use; stop the"
            " program that uses this port, or choose another port\n"
        )

    def test_an_error_inside_the_application_is_shown_whole(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
        process = self.start("broken", cwd=tmp_path)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Traceback" in out
        assert "nothing_of_that_name" in out


@pytest.mark.server
def test_an_edited_file_of_mockups_is_picked_up_while_serving(
    tmp_path: Path, serve: Callable[..., int]
) -> None:
    path = tmp_path / "sessions.yaml"
    path.write_text("alice: {}\n")
    arguments = ("-m", "djsession", "serve", "examples.hello", "--mockup", str(path))
    port = serve(*arguments, "--port", "{port}")
    assert b"zoe" not in http(port, "/login/")[2]
    path.write_text("alice: {}\nzoe: {}\n")
    assert b"zoe" in http(port, "/login/")[2]
    os.unlink(path)
    assert b"cannot be read" in http(port, "/login/")[2]
