# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""CPython's own tests of ProcessPoolExecutor, run with AFork.Executor.

They come with CPython (in Debian, libpython3.11-testsuite or libpython3.13-testsuite), and are not
changed. Where they name ProcessPoolExecutor, they get AFork.Executor.
"""

import importlib
import os
import sys
import unittest

# The status of a test that was skipped.
SKIPPED = 77

# The mixins whose cases are run, and the cases that must be among them in all versions.
CASES = {
    "InitializerMixin": {"test_initializer"},
    "FailingInitializerMixin": {"test_initializer"},
    "ProcessPoolShutdownTest": {
        "test_cancel_futures", "test_context_manager_shutdown", "test_del_shutdown",
        "test_hang_gh83386", "test_hang_issue12364", "test_interpreter_shutdown",
        "test_processes_terminate", "test_run_after_shutdown", "test_shutdown_no_wait",
        "test_submit_after_interpreter_shutdown",
    },
    "WaitTests": {
        "test_20369", "test_all_completed", "test_first_completed",
        "test_first_completed_some_already_completed", "test_first_exception",
        "test_first_exception_one_already_failed", "test_first_exception_some_already_complete",
        "test_timeout",
    },
    "AsCompletedTests": {
        "test_correct_timeout_exception_msg", "test_duplicate_futures",
        "test_free_reference_yielded_future",
    },
    "ProcessPoolExecutorTest": {
        "test_free_reference", "test_idle_process_reuse_multiple", "test_idle_process_reuse_one",
        "test_killed_child", "test_map", "test_map_chunksize", "test_map_exception",
        "test_map_timeout", "test_max_tasks_early_shutdown", "test_max_tasks_per_child",
        "test_max_workers_negative", "test_no_stale_references",
        "test_ressources_gced_in_workers", "test_saturation",
        "test_shutdown_race_issue12456", "test_submit", "test_submit_keyword", "test_traceback",
    },
    "ExecutorDeadlockTest": {
        "test_crash_at_task_unpickle", "test_crash_during_func_exec_on_worker",
        "test_crash_during_result_pickle_on_worker", "test_error_at_task_pickle",
        "test_error_at_task_unpickle", "test_error_during_func_exec_on_worker",
        "test_error_during_result_pickle_on_worker",
        "test_error_during_result_unpickle_in_result_handler", "test_exit_at_task_unpickle",
        "test_exit_during_func_exec_on_worker", "test_exit_during_result_pickle_on_worker",
        "test_exit_during_result_unpickle_in_result_handler", "test_shutdown_deadlock",
        "test_shutdown_deadlock_pickle",
    },
}

# Cases that do not apply, and why.
NOT_APPLICABLE = {
    "test_max_workers_too_large": "the limit is one of Windows",
    "test_max_tasks_per_child_defaults_to_spawn_context":
        "mp_context is ignored: all workers are forks of a clean template",
    "test_sysconf_permission_error": "no semaphores of the system are used",
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full":
        "it replaces private parts of ProcessPoolExecutor: its thread and its wake-up pipe",
}

# Modules of the package, from Python 3.12 on. Before, there is one module.
MODULES = ["executor", "test_as_completed", "test_deadlock", "test_init", "test_process_pool",
           "test_shutdown", "test_wait", "util"]


def skip(text):
    print(f"skipped: {text}")
    sys.exit(SKIPPED)


def load():
    """Return the modules of CPython's tests."""
    try:
        package = importlib.import_module("test.test_concurrent_futures")
    except (ImportError, unittest.SkipTest) as error:
        skip(f"CPython's tests are not installed: {error}")
    if not hasattr(package, "__path__"):
        return [package]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in MODULES]


MODULES_OF_TESTS = load()

import concurrent.futures
import multiprocessing

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork
from test import support


def find(name):
    for module in MODULES_OF_TESTS:
        if hasattr(module, name):
            return getattr(module, name)
    raise AssertionError(f"CPython's tests have no {name} any more")


class CallQueue:
    """What tests use of the private call queue."""

    def join_thread(self):
        pass


class Executor(AFork.Executor):
    _call_queue = CallQueue()

    @property
    def _processes(self):
        """CPython starts processes in submit(), and its tests count and end them at once. AFork
        starts them later, so they are given by other numbers than their pids here."""
        return dict(enumerate(self._calls.workers))


class ProcessPoolExecutor(Executor):
    """Another class, because CPython skips a case for its own class of this name."""


class Mixin(find("ExecutorMixin")):
    executor_type = Executor

    def get_context(self):
        # Tests take locks and managers from it, and skip themselves if it is “fork”.
        return multiprocessing.get_context("forkserver")

    def create_event(self):
        if self.manager is None:
            self.manager = self.get_context().Manager()
        return self.manager.Event()


def with_afork(assert_python_ok):
    """Programs that import the executor by its name get that of AFork."""
    path = [folder or os.getcwd() for folder in sys.path]
    prelude = (f"import sys; sys.path[:] = {path!r}; import gi, multiprocessing;"
               " gi.require_version('AFork', '1'); from gi.repository import AFork;"
               " Executor = AFork.Executor\n")

    def run(option, code, **options):
        assert "from concurrent.futures import Executor" in code
        code = code.replace("from concurrent.futures import Executor", "pass")
        # Without it, the program and its workers would ignore the environment.
        options.setdefault("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        return assert_python_ok(option, prelude + code, **options)

    return run


def adapt():
    concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
    for module in MODULES_OF_TESTS:
        if hasattr(module, "assert_python_ok"):
            module.assert_python_ok = with_afork(module.assert_python_ok)


def make_class(name):
    """The cases of a mixin of CPython, as CPython makes them for its own executors."""
    mixin = find(name)
    members = {case: unittest.skip(reason)(getattr(mixin, case))
               for case, reason in NOT_APPLICABLE.items() if hasattr(mixin, case)}
    return type(f"AFork{name}", (mixin, Mixin, find("BaseTestCase")),
                {"__module__": __name__, **members})


# Workers find these classes by their names.
for name in CASES:
    made = make_class(name)
    globals()[made.__name__] = made
del made


def check_cases():
    """CPython may rename cases, and they would not be run."""
    for name, expected in CASES.items():
        missing = expected - set(dir(globals()[f"AFork{name}"]))
        assert not missing, f"{name} has no {missing} any more"


def main():
    check_cases()
    adapt()
    result = unittest.main(verbosity=2, exit=False).result
    unexpected = [case for case, reason in result.skipped if reason not in NOT_APPLICABLE.values()]
    if unexpected:
        print("Skipped, but not as cases that do not apply:", *unexpected, file=sys.stderr)
    # A thread or a process was left, which a warning above names.
    if support.environment_altered:
        print("A test has left threads or processes", file=sys.stderr)
    if (not result.wasSuccessful() or result.testsRun == 0 or unexpected
            or support.environment_altered):
        sys.exit(1)


if __name__ == "__main__":
    main()
