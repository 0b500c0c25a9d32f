# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Chromium without a display, over its remote debugging protocol on a pair of pipes."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT = 120                 # seconds until an answer, or until a page has been loaded
EXIT_LIMIT = 10
OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--headless",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
)


class Failure(Exception):
    """Why a page could not be looked at."""


def find():
    """The path of Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _make_pipe():
    """A pipe whose ends have numbers above those that Chromium uses, 3 and 4."""
    ends = []
    for fd in os.pipe():
        ends.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(fd)
    return ends


class Browser:
    """A browser with one page. `with` ends it."""

    def __init__(self, program):
        self._folder = tempfile.TemporaryDirectory(prefix="afork-chromium-")
        self._n_commands = 0
        self._buffer = b""
        self._events = []
        self._session = None
        # Its sandbox cannot be had by root, and often not in a container. The pages are ours.
        options = [*OPTIONS, "--no-sandbox", f"--user-data-dir={self._folder.name}"]
        commands, self._writer = _make_pipe()
        self._reader, replies = _make_pipe()
        try:
            self._process = subprocess.Popen(
                ["bash", "-c", 'exec "$@" 3<&"$0" 4>&' + str(replies), str(commands), program,
                 *options, "about:blank"],
                pass_fds=[commands, replies], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                env={name: value for name, value in os.environ.items()
                     if name not in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
                | {"HOME": self._folder.name})
        finally:
            os.close(commands)
            os.close(replies)
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget",
                                  {"targetId": page, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _receive(self, deadline):
        """The next message."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failure("Chromium does not answer")
            data = os.read(self._reader, 1 << 16)
            if not data:
                raise Failure("Chromium has exited")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, parameters=None):
        """Has a command executed, and returns its result. Events are kept."""
        self._n_commands += 1
        command = {"id": self._n_commands, "method": method, "params": parameters or {}}
        if self._session is not None:
            command["sessionId"] = self._session
        data = json.dumps(command).encode() + b"\0"
        deadline = time.monotonic() + LIMIT
        try:
            while data:
                data = data[os.write(self._writer, data):]
        except BrokenPipeError as error:
            raise Failure("Chromium has exited") from error
        while True:
            message = self._receive(deadline)
            if message.get("id") != self._n_commands:
                self._events.append(message)
            elif "error" in message:
                raise Failure(f"{method}: {message['error']['message']}")
            else:
                return message["result"]

    def set_width(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def load(self, address):
        """Loads a page. Returns what went wrong meanwhile: of its pictures, styles and scripts."""
        self._events.clear()
        result = self.call("Page.navigate", {"url": address})
        if "errorText" in result:
            raise Failure(f"{address}: {result['errorText']}")
        deadline = time.monotonic() + LIMIT
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._receive(deadline))
        return list(filter(None, map(self._describe_event, self._events)))

    @staticmethod
    def _describe_event(event):
        parameters = event.get("params", {})
        if event.get("method") == "Network.loadingFailed" and not parameters.get("canceled"):
            return f"something cannot be loaded: {parameters['errorText']}"
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            return details.get("exception", {}).get("description", details["text"])
        if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            return parameters["entry"]["text"] + " " + parameters["entry"].get("url", "")
        return None

    def evaluate(self, script):
        """The value of a script in the page. A promise is awaited."""
        result = self.call("Runtime.evaluate", {"expression": script, "awaitPromise": True,
                                                "returnByValue": True})
        if "exceptionDetails" in result:
            raise Failure(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def save_picture(self, path):
        """Writes a PNG file of what is visible."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self):
        os.close(self._writer)
        try:
            self._process.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._reader)
        # Processes of it may still write there.
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
