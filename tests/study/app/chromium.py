"""A headless Chromium, driven through its DevTools protocol: just enough WebSocket for that (RFC 6455)."""

import base64
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 20
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
QUIET = ("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync")


def program() -> str | None:
    """Path of an installed Chromium."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Socket:
    """A WebSocket to a server on this machine; text messages only."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade")
        lines += (f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "")
        self._socket.sendall("\r\n".join(lines).encode())
        status = self._file.readline()
        assert b" 101 " in status, status
        while self._file.readline() != b"\r\n":
            pass

    def send(self, text: str) -> None:
        self._frame(1, text.encode())

    def receive(self) -> str:
        message, last = b"", False
        while not last:
            first, second = self._file.read(2)
            length = second & 127
            if length >= 126:
                length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
            payload, kind, last = self._file.read(length), first & 15, bool(first & 128)
            if kind == 9:  # ping
                self._frame(10, payload)
                last = False
            else:
                message += payload
        return message.decode()

    def close(self) -> None:
        self._socket.close()

    def _frame(self, kind: int, payload: bytes) -> None:
        mask, length = os.urandom(4), len(payload)
        size = bytes([128 | length]) if length < 126 else struct.pack("!BH", 128 | 126, length)
        size = size if length < 2**16 else struct.pack("!BQ", 128 | 127, length)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._socket.sendall(bytes([128 | kind]) + size + mask + masked)


class Browser:
    """A Chromium of its own; each page has cookies in common with the others of its context."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        command = [program() or "chromium", *OPTIONS, *QUIET, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        where = Path(self._folder) / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE_S
        while not (where.is_file() and where.read_text().count("\n")):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("Chromium did not start")
            time.sleep(0.02)
        port, path = where.read_text().split("\n")[:2]
        self._socket, self._numbers = Socket(int(port), path), itertools.count(1)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of one DevTools command; events are passed over."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self._socket.send(json.dumps(message))
        while True:
            reply = json.loads(self._socket.receive())
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                result: dict[str, Any] = reply["result"]
                return result

    def context(self) -> str:
        """A new set of cookies."""
        return str(self.call("Target.createBrowserContext")["browserContextId"])

    def page(self, context: str, width: int = 1280, height: int = 800, *, touch: bool = False) -> "Page":
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        page = Page(self, session, str(target), context)
        page.call("Page.enable")
        page.call("Network.enable")
        page.resize(width, height, touch=touch)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str, context: str) -> None:
        self._browser, self._session, self._target, self.context = browser, session, target, context

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def go(self, address: str) -> None:
        self._leave("Page.navigate", url=address)

    def reload(self) -> None:
        self._leave("Page.reload")

    def _leave(self, method: str, **parameters: Any) -> None:
        """Load a page, and wait for it rather than for the one before."""
        self.run("window.outdated = true")
        self.call(method, **parameters)
        self.until("!window.outdated && document.readyState === 'complete'")

    def run(self, code: str) -> Any:
        """The value of an expression in the page, waited for if it is a promise."""
        reply = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(f"{code}: {reply['exceptionDetails']}")
        return reply["result"].get("value")

    def until(self, condition: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until an expression is true; a page that is being left counts as not yet."""
        deadline, value = time.monotonic() + patience_s, None
        while time.monotonic() < deadline:
            try:
                value = self.run(condition)
            except RuntimeError as error:
                value = error
            if value is True:
                return
            time.sleep(0.01)
        text = self.run("location.href + '\\n' + document.body.innerText")
        raise AssertionError(f"not within {patience_s} s: {condition} (is {value!r}) at {text}")

    def key(self, key: str, code: str = "", *, repeat: bool = False) -> None:
        """Press a key: a character, or a name such as Enter, Tab, ArrowLeft."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        number = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38}.get(key)
        known = {"windowsVirtualKeyCode": number or ord(key.upper()[0]), "key": key, "code": code or key}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, autoRepeat=repeat, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def click(self, selector: str, times: int = 1) -> None:
        """Click the middle of an element that must be in view and on top."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'nearest'}}); "
            "const b = e.getBoundingClientRect(); const x = b.x + b.width / 2, y = b.y + b.height / 2; "
            "return [x, y, e.contains(document.elementFromPoint(x, y))]; })()"
        )
        assert box[2], f"{selector} is covered"
        for kind in ("mousePressed", "mouseReleased") * times:
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def touch(self, x: float, y: float) -> None:
        """Put a finger there, and take it away."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def offline(self, lost: bool) -> None:
        """Lose the connection, or have it back."""
        self.call(
            "Network.emulateNetworkConditions", offline=lost, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
