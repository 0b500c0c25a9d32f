# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the functions of a test program whose names begin with `test_`, and reports in TAP."""

import signal
import traceback

TIMEOUT = 120   # seconds for one test, after which something hangs


class Skip(Exception):
    """Raised by a test that cannot be done here; says why."""


def _time_out(signum, frame):
    raise TimeoutError(f"not done after {TIMEOUT} s")


def _run(function, arguments):
    """Returns whether it passed, and what to add to the line about it."""
    signal.alarm(TIMEOUT)
    try:
        function(*arguments())
    except Skip as skip:
        return True, f" # SKIP {skip}"
    except Exception:
        for line in traceback.format_exc().splitlines():
            print("#", line)
        return False, ""
    finally:
        signal.alarm(0)
    return True, ""


def main(functions, arguments=tuple):
    """@functions is a program's globals(); each test is given what a call of @arguments returns."""
    tests = [(name, function) for name, function in functions.items() if name.startswith("test_")]
    failed = 0
    signal.signal(signal.SIGALRM, _time_out)
    # nohup has it ignored, and the programs that are tested would go on ignoring it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    print(f"1..{len(tests)}", flush=True)
    for number, (name, function) in enumerate(tests, 1):
        passed, remark = _run(function, arguments)
        failed += not passed
        title = name.removeprefix("test_").replace("_", " ")
        print(f"{'ok' if passed else 'not ok'} {number} - {title}{remark}", flush=True)
    raise SystemExit(failed > 0)
