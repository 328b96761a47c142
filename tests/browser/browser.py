"""A browser to test pages in: Debian's chromium, driven through selenium."""

import base64
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

KEYS = {
    "tab": Keys.TAB,
    "enter": Keys.ENTER,
    "escape": Keys.ESCAPE,
    "space": Keys.SPACE,
    "home": Keys.HOME,
    "end": Keys.END,
    "left": Keys.ARROW_LEFT,
    "up": Keys.ARROW_UP,
    "right": Keys.ARROW_RIGHT,
    "down": Keys.ARROW_DOWN,
}


def missing() -> str:
    """Return what is not installed and how to install it; empty if all is there."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if not lacking:
        return ""
    return f"no {' and no '.join(lacking)} (Debian: apt install chromium chromium-driver)"


class Browser:
    """One headless chromium. Use as a context manager, so that it ends."""

    def __init__(self, profile: Path):
        """Start the driver on a free port, and a browser with a profile of its own."""
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in (
            "--headless=new",
            "--no-sandbox",  # root in a container has none
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # a driver that is named is not looked for, nor downloaded
        service = webdriver.ChromeService(str(shutil.which("chromedriver")))
        self._driver = webdriver.Chrome(options, service)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.quit()

    def open(self, url: str) -> None:
        """Load a page, from scratch even if only its fragment differs."""
        self.leave()
        self._driver.get(url)

    def leave(self) -> None:
        """Go to an empty page."""
        self._driver.get("about:blank")

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns, run in the page with ``arguments``."""
        return self._driver.execute_script(script, *arguments)

    def wait(self, milliseconds: int = 50) -> None:
        """Let the page draw, and do what it has to do."""
        self.run(f"return new Promise((done) => setTimeout(done, {milliseconds}))")

    def protocol(self, command: str, **parameters: Any) -> Any:
        """Run one command of chromium's DevTools protocol, for what WebDriver lacks."""
        return self._driver.execute_cdp_cmd(command, parameters)

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, wherever the focus is."""
        self._actions().send_keys(*(KEYS.get(key, key) for key in keys)).perform()

    def move_to(self, selector: str, x: int = 0, y: int = 0) -> None:
        """Move the pointer to an element's center, plus an offset in pixels."""
        self._actions().move_to_element_with_offset(self._find(selector), x, y).perform()

    def click(self, selector: str) -> None:
        """Click an element; fails if something else covers it."""
        self._find(selector).click()

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._find(selector).send_keys(text)

    def _actions(self) -> ActionChains:
        return ActionChains(self._driver, duration=0)

    def _find(self, selector: str) -> WebElement:
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return new entries of the log ``browser`` (console) or ``performance`` (network)."""
        return self._driver.get_log(kind)

    def emulate(self, *, width: int = 1280, height: int = 900, **media: str) -> None:
        """Set the window's size, and media features such as ``prefers_color_scheme="dark"``."""
        self.protocol(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self.protocol("Emulation.setEmulatedMedia", media="", features=features)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        shot = self.protocol("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """Return the page as it prints on A4."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": False}
        return base64.b64decode(self.protocol("Page.printToPDF", **size)["data"])
