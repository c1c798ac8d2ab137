"""Headless Chromium for tests, by the Chrome DevTools Protocol over two pipes: nothing to install, no port to open."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
from typing import Any, Self

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking"
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
_LIMIT_S = 30  # of silence where an answer is awaited


class Browser:
    """One page of `width` × `height` CSS pixels; the test is skipped where there is no Chromium."""

    def __init__(self, width: int, height: int) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("needs Chromium (chromium, chromium-browser or google-chrome on the PATH)")
        self._size = {"width": width, "height": height}
        self._sent, self._unread = 0, b""
        self._about: dict[str, str] = {}  # what tells the page from the browser in a command
        self._events: list[dict[str, Any]] = []
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        (heard, say), (self._hear, said) = _pipe(), _pipe()
        self._say = os.fdopen(say, "wb", buffering=0)
        pipes = f"3<&{heard} 4>&{said} >/dev/null 2>&1"  # it reads commands from descriptor 3 and answers on 4
        command = f'exec "$0" {FLAGS} --remote-debugging-pipe --user-data-dir="$1" {pipes}'
        arguments = ["bash", "-c", command, program, self._profile.name]
        self._process = subprocess.Popen(arguments, pass_fds=(heard, said))
        os.close(heard)
        os.close(said)

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._about = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.call("Page.enable")
        self.call("Network.enable")
        self.call("Emulation.setDeviceMetricsOverride", **self._size, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._say.close()  # which ends it
        os.close(self._hear)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": params} | self._about
        self._say.write(json.dumps(command).encode() + b"\0")
        while (message := self._read(method)).get("id") != self._sent:
            self._events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _read(self, awaited: str) -> dict[str, Any]:
        """The next message; a zero byte ends each."""
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._hear], [], [], _LIMIT_S)
            if not (part := os.read(self._hear, 1 << 16) if ready else b""):
                raise RuntimeError(f"{awaited}: Chromium {'has ended' if ready else f'says nothing for {_LIMIT_S} s'}")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        """Load a page until all is there that it asks for at once; events before it are forgotten."""
        self._events.clear()
        if failed := self.call("Page.navigate", url=url).get("errorText"):
            raise RuntimeError(f"{url}: {failed}")
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._read(url))

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; of a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["result"].get("description", script))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and let go of a key: one of KEYS, a small letter or a digit."""
        code = key if key in KEYS else f"{'Digit' if key.isdigit() else 'Key'}{key.upper()}"
        about = {"key": key, "code": code, "windowsVirtualKeyCode": KEYS.get(key) or ord(key.upper())}
        text = "\r" if key == "Enter" else "" if key in KEYS else key
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def events(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of that name since the page was opened."""
        self.call("Runtime.evaluate", expression="0")  # reads what has come meanwhile
        return [event["params"] for event in self._events if event.get("method") == method]


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, out of the way of descriptors 3 and 4."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
