"""The login page, the inspector and the page of a refusal in Chromium, as people use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("selenium")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from djsession import Session, dumps
from djsession.doctor import Case, Configuration, RecordedRequest, Report
from djsession.mockup import pages
from djsession.mockup.rules import Rule, Rules
from djsession.settings import Settings
from tests.helpers.chromium import Browser
from tests.helpers.commands import ROOT
from tests.helpers.sessions import KEY, OTHER_KEY, XIA


def test_a_click_on_a_user_signs_in_and_the_button_signs_out(browser: Browser) -> None:
    browser.open("/app/?a=b")
    assert browser.path == "/login/?next=%2Fapp%2F%3Fa%3Db"
    browser.click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/app/?a=b"
    browser.open("/login/")
    assert "Signed in as xia" in browser.text
    browser.click("form.status button").wait_for("Continue as")
    assert "Signed in as" not in browser.text
    assert browser.open("/app/").path.startswith("/login/")


def test_the_form_with_a_username_signs_in(browser: Browser) -> None:
    browser.open("/app/").click(".by-name summary")
    browser.type("#username", "alice").type("#password", "anything")
    browser.click(".by-name button").wait_for("Hello, alice")
    assert browser.path == "/app/"


def test_a_wrong_username_shows_an_error_and_another_can_be_tried(browser: Browser) -> None:
    browser.open("/app/").click(".by-name summary")
    browser.type("#username", "nobody").click(".by-name button")
    browser.wait_for("Unknown mockup user")
    assert "Unknown mockup user" in browser.find("[role=alert]").text
    browser.type("#username", "xia").type("#password", Keys.ENTER).wait_for("Hello, xia")
    assert browser.path == "/app/"


@pytest.mark.parametrize("target", ["https://example.com/", "//example.com/", "/\\example.com/"])
def test_signing_in_never_leads_off_the_site(browser: Browser, target: str) -> None:
    browser.open(f"/login/?next={target}").click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/"


def test_the_login_page_works_with_the_keyboard_only(browser: Browser) -> None:
    keys = ActionChains(browser.driver)
    browser.open("/login/")
    keys.send_keys(Keys.TAB, Keys.TAB).perform()
    card = browser.driver.switch_to.active_element
    assert card.accessible_name.startswith("Continue as alice")
    assert card.value_of_css_property("outline-style") == "solid"
    keys.reset_actions()
    keys.send_keys(Keys.TAB, Keys.ENTER).perform()
    browser.wait_for("Hello, xia")


def test_the_login_page_shows_an_edit_of_the_file_and_its_mistakes(
    browser: Browser, sessions: Path
) -> None:
    good = sessions.read_text()
    sessions.write_text(good + "\nbob:\n  roles: {}\n")
    browser.open("/login/").click("button[value=bob]").wait_for("Hello, bob")
    sessions.write_text(good + "\nbob: 7\n")
    browser.open("/login/")
    alert = browser.find("[role=alert]").text
    assert "The file has mistakes" in alert
    assert "bob is a number, expected a session" in alert
    assert browser.all("button[value=bob]")  # the last good ones
    assert browser.violations() == []


def test_the_inspector(mockup_browser: Browser) -> None:
    browser = mockup_browser
    browser.open("/login/").click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/login/").click("a[href='/djsession/']")
    browser.wait_for("Signed in as")
    assert browser.path == "/djsession/"
    assert browser.find("h1").text == "xia"
    # What passed is folded away.
    assert "checks passed" in browser.text
    assert "Salted__" not in browser.text
    browser.click(".checks summary")
    assert "Salted__" in browser.text
    organization = browser.find(".tree details details details")
    assert organization.find_element("css selector", "summary").text.split() == ["xia", "5"]
    assert "printable_name" in organization.text
    organization.find_element("css selector", "summary").click()
    assert "printable_name" not in organization.text
    assert "GET /" in browser.find(".requests").text.replace("\n", " ")
    browser.click(".identity form button").wait_for("Continue as")
    assert browser.open("/djsession/").find("h1").text == "Nobody is signed in"


def test_the_users_on_the_login_page_can_be_filtered(browser: Browser, sessions: Path) -> None:
    users = "".join(f"user{number}: {{roles: {{}}}}\n" for number in range(8))
    sessions.write_text(sessions.read_text() + users)
    browser.open("/login/").type("#filter", "user 3")
    shown = [card for card in browser.all("button.user") if card.is_displayed()]
    assert [card.get_attribute("value") for card in shown] == ["user3"]
    assert browser.find("#shown").text == "1 of 11"
    # A plan that belongs to an organization of xia.
    browser.find("#filter").clear()
    browser.type("#filter", "Basic").type("#filter", Keys.ENTER).wait_for("Hello, xia")


def test_the_inspector_copies_what_is_folded_away(browser: Browser) -> None:
    browser.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    browser.open("/login/").click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/djsession/").click("[data-copy=json]").wait_for("Copied")
    copied = browser.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    )
    assert json.loads(copied)["username"] == "xia"


def test_nothing_essential_needs_a_script(browser: Browser, sessions: Path) -> None:
    users = "".join(f"user{number}: {{roles: {{}}}}\n" for number in range(8))
    sessions.write_text(sessions.read_text() + users)
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open("/login/")
        assert not browser.find("#filter").is_displayed()
        browser.click("button[value=user7]").wait_for("Hello, user7")
        browser.open("/djsession/")
        assert not browser.find("[data-copy=json]").is_displayed()
        browser.click(".copy summary")
        assert '"username": "user7"' in browser.find("#json").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def refused(browser: Browser) -> Browser:
    """A browser with the token of another key."""
    token = dumps({**XIA, "username": "mallory"}, OTHER_KEY)
    browser.driver.add_cookie({"name": "sessionid", "value": token, "path": "/"})
    return browser.open("/app/")


def test_a_refused_request_is_explained_and_leads_to_the_login(mockup_browser: Browser) -> None:
    browser = refused(mockup_browser)
    assert browser.find("h1").text == "The token was not written with this key"
    assert "403 Forbidden: GET /app/" in browser.text
    # Every 256th token ends in what looks like padding.
    assert browser.find(".failed th").text.split()[1] in ("padding", "text")
    assert "mallory" not in browser.text
    browser.click("a.button").wait_for("Continue as")
    browser.click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/app/"


def test_the_inspector_shows_which_rule_refused_a_request(browser: Browser, sessions: Path) -> None:
    sessions.write_text((ROOT / "examples" / "site.yaml").read_text())
    browser.open("/").click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/app/xia/").open("/app/cowork/").wait_for("xia may not open this page")
    browser.open("/djsession/")
    for request in browser.all(".requests details"):
        if "/app/cowork/" in request.text:
            request.find_element("css selector", "summary").click()
    browser.wait_for("the session does not have")
    browser.screenshot("rules-light", height=1290)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 390])
def test_every_mockup_page_is_accessible_fits_the_screen_and_has_a_dark_scheme(
    mockup_browser: Browser, scheme: str, width: int
) -> None:
    """axe-core finds nothing, no page is wider than the screen, and the dark scheme is dark."""
    browser = mockup_browser.size(width, 800).colours(scheme)

    def check(name: str) -> None:
        for is_unfolded in (False, True):
            if is_unfolded:
                browser.unfold()
            assert browser.violations() == [], name
            wide = browser.driver.execute_script(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide == 0, name
            if not is_unfolded and (width == 1000 or scheme == "light"):
                browser.screenshot(f"{name}-{scheme if width == 1000 else 'narrow'}")
                browser.size(width, 800)
        is_dark = sum(map(int, browser.background()[4:].strip("a()").split(",")[:3])) < 200
        assert is_dark == (scheme == "dark"), name

    browser.open("/login/")
    check("login")
    browser.open("/djsession/")
    assert browser.violations() == []
    refused(browser)
    check("refusal")
    browser.open("/djsession/")
    assert browser.violations() == []
    browser.open("/login/").click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/djsession/")
    check("inspector")
    browser.open("/login/")
    assert browser.violations() == []


def test_the_pages_of_the_stand_in_and_the_doctor_are_accessible(
    browser: Browser, tmp_path: Path
) -> None:
    rules = Rules([Rule("/app/{profile}/", roles=("manager",), line=31), Rule("/", allow="any")])
    decision = rules.decide("/app/cowork/", Session(XIA))
    urls = {"login_url": "/login/", "inspector_url": "/djsession/"}
    headers = [("cookie", f"sessionid={dumps(XIA, KEY)}")]
    configuration = Configuration.of_settings(Settings(secret_key=KEY))
    report = Report.of(
        Case(RecordedRequest("request", headers, "/app/", method="GET"), configuration)
    )
    shown = {
        "forbidden": pages.forbidden_page(
            decision, method="GET", path="/app/cowork/", username="xia", **urls
        ),
        "upstream-down": pages.upstream_down_page("http://127.0.0.1:8000"),
        "diagnosis": pages.diagnosis_page(report),
        "no-key": pages.no_key_page(),
    }
    for name, page in shown.items():
        path = tmp_path / f"{name}.html"
        path.write_text(page)
        for width in (1000, 390):
            browser.size(width, 800)
            browser.driver.get(path.as_uri())
            browser.unfold()
            assert browser.violations() == [], name
