"""Headless Chromium in a separate network namespace, controlled through its DevTools pipe."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

Json = dict[str, Any]

PHONE, DESKTOP = (390, 844), (1280, 900)
_PATIENCE = 60  # seconds to wait for one answer
_FLAGS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run".split()

# Chromium reads descriptor 3 and writes 4, which both may be in use here
_MOVE = """
import os, sys
given = [os.dup(os.dup(os.dup(int(end)))) for end in sys.argv[1:3]]
for place, end in enumerate(given, 3):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One tab. `requests` and `complaints` collect the page's requests and what was blocked."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers, self._rest = to, answers, b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, size: tuple[int, int]) -> None:
        """Load a file on a screen of `size` CSS pixels; wait until it is loaded."""
        screen = {"width": size[0], "height": size[1], "mobile": size[0] < 500}
        self.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **screen)
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=path.as_uri())
        self._await(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Json:
        self._number += 1
        number = self._number
        message: Json = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._await(lambda found: found.get("id") == number)
        assert "error" not in answer, answer
        result: Json = answer["result"]
        return result

    def _await(self, wanted: Any) -> Json:
        while True:
            message = self._next()
            self._note(message)
            if wanted(message):
                return message

    def _note(self, message: Json) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))

    def _next(self) -> Json:
        while b"\0" not in self._rest:
            assert select([self._answers], [], [], _PATIENCE)[0], "Chromium does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        found: Json = json.loads(line)
        return found


@contextmanager
def page(scratch: Path) -> Iterator[Page]:
    """Run Chromium without any network during the block."""
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    program = shutil.which("chromium") or "chromium"
    directory = f"--user-data-dir={scratch}/chromium"
    chromium = [program, *_FLAGS, "--remote-debugging-pipe", directory, "about:blank"]
    ends = (str(read_commands), str(write_answers))
    running = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", _MOVE, *ends, *chromium],
        pass_fds=(read_commands, write_answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    tab = Page(commands, answers)
    try:
        tab.attach()
        yield tab
    finally:
        os.close(commands)
        os.close(answers)
        running.terminate()
        running.wait(_PATIENCE)
