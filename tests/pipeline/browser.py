"""A browser without a window, and the explorer opened in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Page:
    """The explorer in a browser, opened at one view."""

    def __init__(self, chrome: webdriver.Chrome, file: Path) -> None:
        self.chrome, self.file = chrome, file

    def open(self, view: str, width: int = 1200, look: str = "light") -> None:
        """Open a view at a width (pixels) and in a look."""
        media = {"features": [{"name": "prefers-color-scheme", "value": look}]}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chrome.get("about:blank")
        self.chrome.get(f"{self.file.as_uri()}#view-{view}")
        self.wait(f"return document.getElementById('{view}').hidden === false")

    def run(self, script: str, *given: Any) -> Any:
        """Return what a script returns."""
        return self.chrome.execute_script(script, *given)

    def wait(self, condition: str) -> None:
        """Wait until a script returns true."""
        WebDriverWait(self.chrome, 20).until(lambda _: self.run(condition))

    def element(self, name: str) -> WebElement:
        """Return the element with this id."""
        return self.chrome.find_element(By.ID, name)

    def drawn(self, plot: str) -> list[str]:
        """Return the lines of a plot as the browser draws them."""
        return self.run(
            "return [...document.querySelectorAll(`#${arguments[0]} .scatterlayer path.js-line`)]"
            ".map((one) => one.getAttribute('d'))",
            plot,
        )

    def changed(self, plot: str, before: list[str]) -> None:
        """Wait until a plot is drawn in another way than ``before``."""
        WebDriverWait(self.chrome, 20).until(lambda _: self.drawn(plot) != before)

    def complaints(self) -> list[str]:
        """Return what the browser has complained about since the last call."""
        return [line["message"] for line in self.chrome.get_log("browser") if line["level"] in ("WARNING", "SEVERE")]
