"""A page in headless Chromium, over its debugging pipe: no package is needed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
PHONE = {"mobile": True, "deviceScaleFactor": 2}
DESK = {"mobile": False, "deviceScaleFactor": 1}
# Counted by scripts of the browser's, not the page's.
BROKEN_IMAGES = (
    "[...document.images].filter(x => !(x.complete && x.naturalWidth)).length"
)


class Page:
    """One tab; ``errors`` gathers what its console complains of."""

    def __init__(self, write, read):
        self._write, self._read, self._number = write, read, 0
        self._session, self.errors, self._events = None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path, width, device=PHONE, dark=False):
        """Shows a file in a window of ``width`` CSS pixels, and waits for all of it."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, **device
        )
        self._events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()

    def evaluate(self, script):
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path, **clip):
        """A PNG of the whole page, or of a clip (x, y, width, height, scale)."""
        clip = {"clip": clip} if clip else {}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, **clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _next(self):
        answer = json.loads(self._read())
        method, params = answer.get("method", ""), answer.get("params", {})
        self._events.append(method)
        level = params.get("entry", {}).get("level") or params.get("type")
        if method == "Runtime.exceptionThrown" or (
            method in ("Log.entryAdded", "Runtime.consoleAPICalled")
            and level in ("error", "warning")
        ):
            self.errors.append(params)
        return answer


def find_chromium():
    """The program's path; the test fails without."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium on the PATH: apt-get install chromium (Debian, Ubuntu)"
    return found


@contextlib.contextmanager
def chromium_page(profile):
    """Yields a :class:`Page` of a fresh Chromium, whose profile is in a folder."""
    commands, answers = os.pipe(), os.pipe()
    here = [answers[0], commands[1]]
    # Chromium reads from descriptor 3 and writes to 4.
    script = f'exec "$0" "$@" 3<&{commands[0]} 4>&{answers[1]}'
    bash = ("bash", "-c", script, find_chromium())
    browser = subprocess.Popen(
        [*bash, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(commands[0], answers[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    with open(here[1], "wb") as write, open(here[0], "rb") as stream:

        def read():
            message = bytearray()
            while (byte := stream.read(1)) != b"\0":
                assert byte, "Chromium has ended"
                message += byte
            return bytes(message)

        try:
            yield Page(write, read)
        finally:
            browser.terminate()
            browser.wait(timeout=30)
