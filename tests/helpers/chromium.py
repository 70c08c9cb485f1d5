"""A browser at one server, with what the tests do to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.commands import ROOT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


SCREENSHOTS = ROOT / "examples" / "screenshots"


class Browser:
    """A browser at one server, with what the tests do to it."""

    def __init__(self, driver: Chrome, port: int) -> None:
        self.driver, self.base = driver, f"http://localhost:{port}"

    def open(self, path: str) -> Browser:
        self.driver.get(self.base + path)
        return self

    @property
    def path(self) -> str:
        url: str = self.driver.current_url
        return url.removeprefix(self.base)

    @property
    def text(self) -> str:
        found: str = self.find("body").text
        return found

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def all(self, css: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", css)
        return found

    def click(self, css: str) -> Browser:
        self.find(css).click()
        return self

    def type(self, css: str, text: str) -> Browser:
        self.find(css).send_keys(text)
        return self

    def wait_for(self, text: str) -> Browser:
        """Wait until the page that a key or a click leads to is there."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 20, 0.05, [WebDriverException]).until(
            lambda _: text in self.text
        )
        return self

    def colours(self, scheme: str) -> Browser:
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        return self

    def size(self, width: int, height: int) -> Browser:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        return self

    def background(self) -> str:
        found: str = self.find("body").value_of_css_property("background-color")
        return found

    def screenshot(self, name: str, height: int = 0) -> None:
        """Save a picture of the page: all of it, or only the part above ``height``."""
        SCREENSHOTS.mkdir(exist_ok=True)
        height = height or self.driver.execute_script(
            "return document.documentElement.scrollHeight"
        )
        width = self.driver.execute_script("return window.innerWidth")
        self.size(width, height)
        (SCREENSHOTS / f"{name}.png").write_bytes(self.driver.get_screenshot_as_png())

    def unfold(self) -> Browser:
        """Unfold everything that is folded away."""
        self.driver.execute_script(
            "document.querySelectorAll('details').forEach(each => { each.open = true; })"
        )
        return self

    def violations(self) -> list[str]:
        """Return what axe-core has to say against the page."""
        axe_core_python = pytest.importorskip("axe_core_python")
        script = Path(axe_core_python.__file__).with_name("axe.min.js").read_text("utf-8")
        self.driver.execute_script(script)
        result = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run().then(done, done)"
        )
        assert result["passes"], "axe-core has looked at nothing"
        return [
            f"{item['id']}: {node['html']}"
            for item in result["violations"]
            for node in item["nodes"]
        ]
