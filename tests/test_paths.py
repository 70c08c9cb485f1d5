from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession.paths import OpenPaths


@pytest.mark.parametrize("path", ["/login", "/login/", "/login/x", "/login/x/y"])
@pytest.mark.parametrize("entry", ["/login", "/login/"])
def test_an_entry_opens_its_own_path_and_what_is_below(path: str, entry: str) -> None:
    assert path in OpenPaths([entry])


@pytest.mark.parametrize(
    "path",
    ["/login-admin", "/loginx", "/login;x", "/Login", "/log", "/", "", "/x/login", "login", "*"],
)
@pytest.mark.parametrize("entry", ["/login", "/login/"])
def test_an_entry_opens_no_other_path(path: str, entry: str) -> None:
    assert path not in OpenPaths([entry])


@pytest.mark.parametrize("path", ["/", "", "/x", "//", "*"])
def test_without_entries_no_path_is_open(path: str) -> None:
    assert path not in OpenPaths([])


def test_only_slashes_are_removed_from_the_end_of_an_entry() -> None:
    paths = OpenPaths(["/INDEX/", "/UNIX"])
    assert "/INDEX" in paths
    assert "/INDE" not in paths
    assert "/UNI" not in paths


def test_the_home_page_entry_opens_the_home_page_only() -> None:
    home = OpenPaths(["/"])
    assert "/" in home
    for path in ("", "/app", "/app/", "//", "/.", "/?", "/index.html"):
        assert path not in home


def test_the_home_page_needs_its_own_entry() -> None:
    assert "/" not in OpenPaths(["/static/", "/login"])


def test_several_entries_open_their_paths() -> None:
    paths = OpenPaths(["/login", "/a/b", "/static"])
    assert "/static/a.css" in paths
    assert "/a/b/c" in paths
    assert "/a" not in paths
    assert "/app" not in paths


AMBIGUOUS = [
    # Segments that something resolves, in several spellings.
    "/static/../app",
    "/static/..",
    "/static/./x",
    "/static/.",
    "/static/..;/app",
    "/static/..;x=1/app",
    "/static/.;/app",
    "/static//app",
    "//static/x",
    "/static/\\..\\app",
    "/static\\..\\app",
    "/static/..\\app",
    # What was encoded twice. A careless application decodes it again.
    "/static/%2e%2e/app",
    "/static/%2E%2E%2Fapp",
    "/static/..%2fapp",
    "/static/%5c..",
    "/static/%252e%252e/app",
    "/static/%00",
    "/static/%3f",
    # Control characters.
    "/static/\x00",
    "/static/a\r\nb",
    "/static/\x1f",
    "/static/\x7f",
    # What was not UTF-8, and what cannot be written in UTF-8.
    "/static/\ufffd",
    "/static/a\ufffdb/x",
    "/static/\ud800",
    "/static/\udcff",
    # Without a leading slash.
    "static/x",
    " /static/x",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_that_can_be_read_in_two_ways_matches_nothing(path: str) -> None:
    assert path not in OpenPaths(["/static", "/"])


@pytest.mark.parametrize(
    "path",
    [
        "/static/...",
        "/static/.well-known",
        "/static/a..b",
        "/static/a;b",
        "/static/100%",
        "/static/%zz",
        "/static/a b",
        "/static/日本",
        "/static/😀",
    ],
)
def test_a_path_with_one_reading_matches_an_entry(path: str) -> None:
    assert path in OpenPaths(["/static"])


def test_an_entry_may_be_outside_ascii() -> None:
    paths = OpenPaths(["/café"])
    assert "/café" in paths
    assert "/café/林" in paths
    assert "/cafe" not in paths
    assert "/cafe\u0301" not in paths


@pytest.mark.parametrize("path", [None, b"/static/x", 1, ["/static"]])
def test_only_text_matches_an_entry(path: object) -> None:
    assert path not in OpenPaths(["/static"])


@pytest.mark.parametrize(
    "entry",
    ["", "static/", " /static/", "https://cdn.example.com/static/", "*", "/\ud800"],
)
def test_an_entry_that_is_not_a_path_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="must start with '/'"):
        OpenPaths([entry])


@pytest.mark.parametrize(
    "entry",
    ["//", "/a//b", "/a/../b", "/./a", "/a\\b", "/a%2fb", "/a%20b", "/\n", "/a\x7f", "/\ufffd"],
)
def test_an_entry_that_no_path_matches_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="no path ever matches") as caught:
        OpenPaths([entry])
    assert str(caught.value).endswith("without '//', backslashes and '.' or '..' segments")


@given(st.text("/.;%25eEfF\\ax\x00\ufffd", max_size=14) | st.text(max_size=14))
def test_an_open_path_has_no_second_reading(path: str) -> None:
    for candidate in (path, "/open" + path, "/open/" + path):
        if candidate in OpenPaths(["/open"]):
            segments = candidate.split("/")
            assert segments[:2] == ["", "open"]
            assert not {"..", "."} & {segment.partition(";")[0] for segment in segments}
            assert "" not in segments[1:-1]
            assert "\\" not in candidate
            candidate.encode()
