"""The pages as functions from data to HTML; tests/browser looks at them in a browser."""

from __future__ import annotations

import re
import shlex
import time
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from djsession import Session, dumps, loads
from djsession.doctor import Case, Configuration, RecordedRequest, Report
from djsession.mockup import MockupApp, MockupSessions, pages
from djsession.mockup.recent import RecentRequests
from djsession.mockup.rules import Rule, Rules
from djsession.settings import Settings
from tests.helpers.mockup_client import SESSIONS, get
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.wsgi import Recorder

EVIL = "\"'><script>alert(1)</script>&"
URLS = {"login_url": "/login/", "inspector_url": "/djsession/"}
RULES = Rules(
    [
        Rule("/static/", allow="any", line=3),
        Rule("/app/{profile}/", roles=("manager",), line=4),
        Rule("/", allow="authenticated", line=5),
    ]
)


def report(
    session: dict[str, Any] | None, key: str = KEY, path: str = "/app/", **headers: str
) -> Report:
    if session is not None:
        headers["cookie"] = f"csrftoken=1; sessionid={dumps(session, key)}"
    request = RecordedRequest("request", [*headers.items()], path, method="GET")
    return Report.of(Case(request, Configuration.of_settings(Settings(secret_key=KEY))))


def inspector(session: dict[str, Any] | None = XIA, **options: Any) -> str:
    return pages.inspector_page(
        report(session), login_url="/login/", logout_url="/logout/", **options
    )


def login(sessions: dict[str, Session], **options: Any) -> str:
    return pages.login_page(sessions, logout_url="/logout/", next_url="/app/", **URLS, **options)


def forbidden(path: str, **options: Any) -> str:
    decision = RULES.decide(path, Session(XIA))
    return pages.forbidden_page(
        decision, method="GET", path=path, username="xia", **URLS, **options
    )


def text_to_copy(page: str, name: str) -> str:
    """Return what the button of a name copies."""
    found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found, f"there is nothing to copy of the name {name}"
    return unescape(found[1])


EVERY_PAGE = {
    "login": login(
        {EVIL: Session({"username": EVIL, "roles": {EVIL: [{"slug": EVIL}]}})},
        source=EVIL,
        error=EVIL,
        problems=[EVIL],
        warnings=[EVIL],
        signed_in=EVIL,
    ),
    "inspector": inspector(
        {**XIA, "username": EVIL, EVIL: EVIL},
        curl=EVIL,
        rules=[Rule(f"/{EVIL.replace('/', '')}/", allow="any")],
    ),
    "nobody": inspector(None),
    "forbidden": forbidden(f"/app/{EVIL.replace('/', '')}/", source=EVIL),
    "no rule": pages.forbidden_page(
        Rules([Rule("/a", allow="any")]).decide("/b", None),
        method=EVIL,
        path=EVIL,
        username=EVIL,
        **URLS,
    ),
    "refusal": pages.refusal_page(report(XIA, OTHER_KEY, EVIL), **URLS),
    "upstream": pages.upstream_down_page(EVIL),
    "diagnosis": pages.diagnosis_page(report({**XIA, "username": EVIL})),
    "no key": pages.no_key_page(),
}


class Outline(HTMLParser):
    """The headings and ids of a page, and a failure for an element that is not closed properly."""

    VOID = ("meta", "input", "br", "path", "rect", "circle")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag


@pytest.mark.parametrize("page", EVERY_PAGE.values(), ids=EVERY_PAGE)
def test_every_page_is_escaped_and_well_formed(page: str) -> None:
    assert "<script>alert" not in page
    assert "alert(1)</script>" not in page
    assert " style=" not in page
    outline = Outline(page)
    assert outline.headings[0] == "h1"
    assert outline.headings.count("h1") == 1
    assert len(set(outline.ids)) == len(outline.ids)


class TestLoginPageTemplate:
    def test_it_shows_the_file_the_next_page_and_who_is_signed_in(self) -> None:
        page = login({"xia": Session(XIA)}, source="a/sessions.yaml", signed_in="xia")
        assert "Users from <code>a/sessions.yaml</code>" in page
        assert "Opens <code>/app/</code>" in page
        assert "Signed in as <strong>xia</strong>" in page
        assert '<span class="badge">Development</span>' in page
        assert "Users from" not in login({"xia": Session(XIA)})

    def test_mistakes_are_errors_and_warnings_are_not(self) -> None:
        page = login({"xia": Session(XIA)}, problems=["f:1: wrong"], warnings=["f:2: roels"])
        assert page.index("f:1: wrong") < page.index("f:2: roels")
        assert page.count('class="panel bad" role="alert"') == 1
        assert page.count('class="panel warning"') == 1

    def test_warnings_of_the_file_are_shown(self, tmp_path: Any) -> None:
        path = tmp_path / "sessions.yaml"
        path.write_text("xia:\n  role: {}\n")
        page = get(MockupApp(None, path, secret_key=KEY), "/login/").body.decode()
        assert f"{path}:2: " in page
        assert "roles" in page

    @pytest.mark.parametrize(("number", "has_filter"), [(7, False), (8, True)])
    def test_the_filter_appears_from_eight_users_on(self, number: int, has_filter: bool) -> None:
        page = login({f"user{index}": Session(XIA) for index in range(number)})
        assert ('<div class="filter" hidden>' in page) == has_filter
        # Without the script, everybody is listed.
        assert page.count('<button class="user"') == number

    def test_the_filter_looks_at_what_the_page_abridges(self) -> None:
        organizations = [
            {"slug": f"org-{number}", "subscriptions": [{"plan": f"plan-{number}"}]}
            for number in range(5)
        ]
        page = login({"Xia": Session({"username": "x", "roles": {"manager": organizations}})})
        assert 'manager of 5<span class="unseen"> organizations' in page
        assert "+3<" in page
        words = page.partition('data-words="')[2].partition('"')[0].split()
        assert {"xia", "x", "manager", "org-4", "plan-4"} <= {*words}


class TestInspectorPageTemplate:
    def test_long_lists_are_folded(self) -> None:
        organizations = [{"slug": f"org-{number}"} for number in range(40)]
        page = inspector({"username": "xia", "roles": {"manager": organizations}})
        assert "<summary>32 more</summary>" in page
        assert "<details><summary>manager <small>40" in page

    def test_the_roles_of_one_organization_are_unfolded(self) -> None:
        assert "more</summary>" not in inspector()
        assert "<details open><summary>manager <small>1" in inspector()

    def test_the_copied_yaml_is_an_entry_for_a_mockup_file(self) -> None:
        session = {**XIA, "note": "no", "exp": int(time.time()) + 100}
        entry = yaml.safe_load(text_to_copy(inspector(session), "yaml"))
        assert MockupSessions(entry).by_name == {"xia": {**XIA, "note": "no"}}

    def test_what_is_copied_is_masked(self) -> None:
        page = inspector({**XIA, "secret_key": "AKIA"})
        for name in ("json", "yaml"):
            assert "AKIA" not in text_to_copy(page, name)

    def test_the_size_of_each_header_is_shown_without_its_value(self) -> None:
        page = inspector()
        assert f"{len('Cookie: ') + len(report(XIA).case.request.headers[0][1]) + 2} bytes" in page
        assert "8190" in page
        assert "csrftoken=1" not in page
        large = pages.inspector_page(
            report(None, cookie="a=" + "b" * 9000), login_url="/", logout_url="/"
        )
        assert 'class="bar full"' in large

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(90, "in 90 seconds"), (3_600, "in 60 minutes"), (7_200, "in 2 hours")],
    )
    def test_the_time_until_the_token_expires_is_shown(self, seconds: int, said: str) -> None:
        assert f"<dt>Expires</dt><dd>{said}" in inspector({**XIA, "exp": time.time() + seconds})

    def test_the_rules_and_their_decision_are_shown(self) -> None:
        assert "<small>line 4</small>" in inspector(rules=RULES)
        decision = RULES.decide("/app/cowork/", Session(XIA))
        page = inspector(rules=RULES, decision=decision)
        assert "does not match the path" in page
        assert decision.reason in unescape(page)
        recent = RecentRequests()
        recent.add("GET", "/app/cowork/", 403, "refused", user="xia", decision=decision)
        assert '<li class="decided">' in inspector(recent=recent.latest())

    @pytest.mark.parametrize(
        ("status", "mark", "said"),
        [
            (200, "icon check", ""),
            (403, "icon dash", "The application itself answered with 403."),
            (0, "icon dash", "The application itself answered with an exception."),
        ],
    )
    def test_a_request_that_the_application_refuses_has_no_green_mark(
        self, status: int, mark: str, said: str
    ) -> None:
        recent = RecentRequests()
        recent.add("GET", "/app/", status, "passed", user="xia")
        listed = inspector(recent=recent.latest()).partition("Last requests")[2]
        assert mark in listed.partition("</li>")[0]
        assert said in listed

    def test_curl_has_a_token_of_the_mockup_session_only_when_signed_in(self) -> None:
        app = MockupApp(Recorder(), SESSIONS, secret_key=KEY)
        cookie = dumps({**XIA, "exp": int(time.time()) + 60}, KEY)
        page = get(app, "/djsession/", HTTP_COOKIE=f"sessionid={cookie}").body.decode()
        curl, option, header, url = shlex.split(text_to_copy(page, "curl"))
        assert (curl, option, url) == ("curl", "--header", "http://localhost:8000/")
        token = header.removeprefix("Authorization: Bearer ")
        assert loads(token, KEY).username == "xia"
        assert get(app, "/app/", HTTP_AUTHORIZATION=f"Bearer {token}").body == b"inside"
        # Not the request's own: the proxy may have sent that one.
        assert cookie not in page
        assert 'id="curl"' not in get(app, "/djsession/").body.decode()

    def test_no_curl_for_a_user_who_is_not_in_the_file(self) -> None:
        app = MockupApp(Recorder(), SESSIONS, secret_key=KEY)
        cookie = dumps({"username": "mallory"}, KEY)
        page = get(app, "/djsession/", HTTP_COOKIE=f"sessionid={cookie}").body.decode()
        assert "<h1>mallory</h1>" in page
        assert 'id="curl"' not in page
        assert 'id="json"' in page

    def test_no_curl_where_a_jwt_would_be_refused(self) -> None:
        app = MockupApp(Recorder(), SESSIONS, secret_key=KEY, formats=["openssl"])
        page = get(app, "/djsession/", HTTP_COOKIE=f"sessionid={dumps(XIA, KEY)}").body.decode()
        assert "<h1>xia</h1>" in page
        assert 'id="curl"' not in page


class TestRefusalPageTemplate:
    def test_the_cause_and_the_remedy_are_shown_once(self) -> None:
        page = pages.refusal_page(report(XIA, OTHER_KEY), **URLS)
        shown = page.partition("<pre")[0]
        for said in ("not written with this key", "DJAODJIN_SECRET_KEY differs", "ompare the"):
            assert shown.count(said) == 1
        assert re.search("not reached</th><td>(text, )?JSON, object, depth, ", shown)

    def test_the_report_can_be_copied(self) -> None:
        found = report(XIA, OTHER_KEY)
        page = pages.refusal_page(found, **URLS)
        assert text_to_copy(page, "report") == found.as_text()

    def test_a_rule_that_refuses_is_named_with_its_line(self) -> None:
        page = unescape(forbidden("/app/cowork/", source="sessions.yaml"))
        assert "<h1>xia may not open this page</h1>" in page
        assert "needs the role manager for cowork" in page
        assert "<small>line 4</small>" in page
        assert "<code>sessions.yaml</code>" in page
        assert "2 rules compared with the path" in page

    def test_where_no_rule_matches_the_fix_is_to_add_one(self) -> None:
        assert "add a rule that matches the path" in EVERY_PAGE["no rule"]

    def test_a_server_that_is_down_is_named(self) -> None:
        page = pages.upstream_down_page("http://127.0.0.1:8123")
        assert "<code>http://127.0.0.1:8123</code>" in page
        assert "python manage.py runserver 8123" in page

    @pytest.mark.parametrize("key", [KEY, OTHER_KEY])
    def test_the_doctors_page_has_no_link_and_no_form(self, key: str) -> None:
        page = pages.diagnosis_page(report(XIA, key))
        assert "Diagnosis of GET /app/" in page
        assert "<a " not in page
        assert "<form" not in page
        assert "Development" not in page
        assert ("<h1>xia</h1>" in page) == (key == KEY)
