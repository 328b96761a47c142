"""A browser to test pages in: Debian's chromium, driven by chromedriver over W3C WebDriver.

The protocol is a dozen JSON requests (https://www.w3.org/TR/webdriver2/), so the standard library
is enough: a client library would put eleven more packages into the lock.
"""

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ELEMENT = (
    "element-6066-11e4-a52e-4f735466cecf"  # the key that stands for an element, by the standard
)
KEYS = {
    "tab": "\ue004",
    "enter": "\ue007",
    "escape": "\ue00c",
    "space": " ",
    "home": "\ue011",
    "end": "\ue010",
    "left": "\ue012",
    "up": "\ue013",
    "right": "\ue014",
    "down": "\ue015",
}


def missing() -> str:
    """Return what is not installed and how to install it; empty if all is there."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if not lacking:
        return ""
    return f"no {' and no '.join(lacking)} (Debian: apt install chromium chromium-driver)"


class WebDriverError(Exception):
    """The driver refused a request, or a script in the page failed."""


class Browser:
    """One headless chromium. Use as a context manager, so that it ends."""

    def __init__(self, profile: Path):
        """Start the driver on a free port, and a browser with a profile of its own."""
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._url = f"http://127.0.0.1:{self._port()}/session"
            self._url += "/" + self._new_session(profile)
        except BaseException:
            self._end_driver()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._send("DELETE", "")
        finally:
            self._end_driver()

    def _port(self) -> int:
        for line in self._driver.stdout or ():
            if match := re.search(r"started successfully on port (\d+)", line):
                return int(match[1])
        raise WebDriverError("chromedriver did not start")

    def _end_driver(self) -> None:
        self._driver.terminate()
        self._driver.wait(10)
        if self._driver.stdout:
            self._driver.stdout.close()

    def _new_session(self, profile: Path) -> str:
        arguments = [
            "--headless=new",
            "--no-sandbox",  # root in a container has none
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            f"--user-data-dir={profile}",
        ]
        options = {
            "goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "pageLoadStrategy": "normal",
        }
        answer = self._send("POST", "", {"capabilities": {"alwaysMatch": options}})
        return answer["sessionId"]

    def _send(self, method: str, path: str, content: Any = None) -> Any:
        data = json.dumps(content or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self._url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            with error:
                value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message']}") from None

    def open(self, url: str) -> None:
        """Load a page, from scratch even if only its fragment differs."""
        self.leave()
        self._send("POST", "/url", {"url": url})

    def leave(self) -> None:
        """Go to an empty page."""
        self._send("POST", "/url", {"url": "about:blank"})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns, run in the page with ``arguments``."""
        return self._send("POST", "/execute/sync", {"script": script, "args": arguments})

    def wait(self, milliseconds: int = 50) -> None:
        """Let the page draw, and do what it has to do."""
        script = "return new Promise((done) => setTimeout(done, arguments[0]))"
        self.run(script.replace("arguments[0]", str(milliseconds)))

    def protocol(self, command: str, **parameters: Any) -> Any:
        """Run one command of chromium's DevTools protocol, for what WebDriver lacks."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, wherever the focus is."""
        strokes = []
        for key in keys:
            value = KEYS.get(key, key)
            strokes += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        actions = [{"type": "key", "id": "keyboard", "actions": strokes}]
        self._send("POST", "/actions", {"actions": actions})

    def move_to(self, selector: str, x: int = 0, y: int = 0) -> None:
        """Move the pointer to an element's center, plus an offset in pixels."""
        element = {ELEMENT: self._find(selector)}
        move = {"type": "pointerMove", "origin": element, "x": x, "y": y, "duration": 0}
        self._send(
            "POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "actions": [move]}]}
        )

    def click(self, selector: str) -> None:
        """Click an element; fails if something else covers it."""
        self._send("POST", f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._send("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def _find(self, selector: str) -> str:
        query = {"using": "css selector", "value": selector}
        return self._send("POST", "/element", query)[ELEMENT]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return new entries of the log ``browser`` (console) or ``performance`` (network)."""
        return self._send("POST", "/se/log", {"type": kind})

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
