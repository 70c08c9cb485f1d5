"""The login page, the inspector and the page of a refusal in Chromium, as people use them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("selenium")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from djsession import dumps
from tests.helpers.chromium import Browser
from tests.helpers.sessions import OTHER_KEY, XIA


def test_log_in_by_click_and_log_out(browser: Browser) -> None:
    browser.open("/app/?a=b")
    assert browser.path == "/login/?next=%2Fapp%2F%3Fa%3Db"
    browser.click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/app/?a=b"
    browser.open("/login/")
    assert "You are signed in as xia." in browser.text
    browser.click("form.inline button").wait_for("Sign in with a click")
    assert "You are signed in" not in browser.text
    assert browser.open("/app/").path.startswith("/login/")


def test_log_in_by_form(browser: Browser) -> None:
    browser.open("/app/").type("#username", "alice").type("#password", "anything")
    browser.click("form.panel button").wait_for("Hello, alice")
    assert browser.path == "/app/"


def test_a_wrong_username_shows_an_error_and_another_can_be_tried(browser: Browser) -> None:
    browser.open("/app/").type("#username", "nobody").click("form.panel button")
    browser.wait_for("There is no mockup user")
    assert "There is no mockup user of that name" in browser.find("[role=alert]").text
    browser.type("#username", "xia").type("#password", Keys.ENTER).wait_for("Hello, xia")
    assert browser.path == "/app/"


@pytest.mark.parametrize("target", ["https://example.com/", "//example.com/", "/\\example.com/"])
def test_next_does_not_lead_off_the_site(browser: Browser, target: str) -> None:
    browser.open(f"/login/?next={target}").click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/"


def test_the_form_needs_no_mouse(browser: Browser) -> None:
    keys = ActionChains(browser.driver)
    browser.open("/login/")
    keys.send_keys(Keys.TAB).perform()
    assert browser.driver.switch_to.active_element.accessible_name == "Sign in as alice"
    outline = browser.driver.switch_to.active_element.value_of_css_property("outline-style")
    assert outline == "solid"
    keys.reset_actions()
    keys.send_keys(Keys.TAB, Keys.ENTER).perform()
    browser.wait_for("Hello, xia")


def test_an_edited_file_shows_and_so_do_its_mistakes(browser: Browser, sessions: Path) -> None:
    good = sessions.read_text()
    sessions.write_text(good + "\nbob:\n  roles: {}\n")
    browser.open("/login/").click("button[value=bob]").wait_for("Hello, bob")
    sessions.write_text(good + "\nbob: 7\n")
    browser.open("/login/")
    alert = browser.find("[role=alert]").text
    assert "The file of mockup sessions has mistakes" in alert
    assert "bob is a number, expected a session" in alert
    assert browser.all("button[value=bob]")  # the last good ones
    assert browser.violations() == []


def test_the_inspector(browser: Browser) -> None:
    browser.open("/login/").click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/login/").click("a[href='/djsession/']")
    browser.wait_for("Signed in as xia.")
    assert browser.path == "/djsession/"
    marks = [mark.text for mark in browser.all(".steps .mark")]
    assert set(marks) == {"passed"}
    assert "Diagnosis" not in browser.text
    organization = browser.find("details details details")
    assert organization.find_element("css selector", "summary").text == "xia 5"
    assert "printable_name" in organization.text
    organization.find_element("css selector", "summary").click()
    assert "printable_name" not in organization.text
    browser.click("form.inline button").wait_for("Sign in with a click")
    assert "This request has no session." in browser.open("/djsession/").text


def refused(browser: Browser) -> Browser:
    """A browser with the token of another key."""
    token = dumps({**XIA, "username": "mallory"}, OTHER_KEY)
    browser.driver.add_cookie({"name": "sessionid", "value": token, "path": "/"})
    return browser.open("/app/")


def test_a_refused_request_is_explained_and_leads_to_the_login(browser: Browser) -> None:
    refused(browser)
    assert "Forbidden" in browser.find("h1").text
    assert "from an earlier run of the server" in browser.text
    assert "failed" in [mark.text for mark in browser.all(".steps .mark")]
    assert "mallory" not in browser.text
    browser.click("a.button").wait_for("Sign in with a click")
    browser.click("button[value=xia]").wait_for("Hello, xia")
    assert browser.path == "/app/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 360])
def test_every_page_is_for_everybody(browser: Browser, scheme: str, width: int) -> None:
    """axe-core finds nothing, no page is wider than the screen, and the dark scheme is dark."""
    browser.size(width, 800).colours(scheme)

    def check(name: str) -> None:
        assert browser.violations() == [], name
        wide = browser.driver.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide == 0, name
        is_dark = sum(map(int, browser.background()[4:].strip("a()").split(",")[:3])) < 200
        assert is_dark == (scheme == "dark"), name
        if width == 1000 and (scheme == "light" or name == "login"):
            browser.screenshot(f"{name}-{scheme}")
            browser.size(width, 800)

    browser.open("/login/")
    check("login")
    browser.open("/djsession/")
    assert browser.violations() == []
    refused(browser)
    check("refusal")
    browser.click("a.button").wait_for("Sign in with a click")
    browser.click("button[value=xia]").wait_for("Hello, xia")
    browser.open("/djsession/")
    check("inspector")
    browser.open("/login/")
    assert browser.violations() == []
