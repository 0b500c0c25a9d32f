# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Signal handlers that raise exceptions, as that of SIGINT does, at places that tests choose."""

import signal
import threading


class Interruption:
    """Has a signal handler raise KeyboardInterrupt when the main thread waits for another thread in
    a function of FILE.

    A thread sends signals until the main thread is there. The block has to raise the exception.
    """

    # The functions of the module threading that wait for a lock.
    WAITS = frozenset(("wait", "_wait_for_tstate_lock"))

    def __init__(self, file):
        self._file = file
        self._raised = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        main = threading.main_thread().ident
        while not self._raised.wait(0.001):
            signal.pthread_kill(main, signal.SIGUSR1)

    def _handle(self, number, frame):
        if self._raised.is_set() or frame.f_code.co_name not in self.WAITS:
            return
        while frame is not None:
            if frame.f_code.co_filename.endswith(self._file):
                self._raised.set()
                raise KeyboardInterrupt
            frame = frame.f_back

    def __enter__(self):
        self._old = signal.signal(signal.SIGUSR1, self._handle)
        self._thread.start()

    def __exit__(self, exc_type, exc_value, traceback):
        was_raised = self._raised.is_set()
        self._raised.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._old)
        if not was_raised or exc_type is not KeyboardInterrupt:
            raise AssertionError("The block was not interrupted")
        return True
