// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Calls from Vala: results, errors by their domain, jobs with progress.

AFork.Rpc new_rpc (string function) {
    var process = new AFork.Process ();
    process.require ("calls");
    return new AFork.Rpc (process, function);
}

async void test_call () throws Error {
    var rpc = new_rpc ("calls_echo");
    var answer = yield rpc.call_async (new Variant ("(si)", "one", 2));
    assert_cmpstr (answer.print (false), EQ, "('one', 2)");
    assert_true (yield rpc.close_async ());
}

async void test_error () throws Error {
    var rpc = new_rpc ("calls_do");
    try {
        yield rpc.call_async (new Variant ("(su)", "error", IOError.NOT_FOUND), null);
        assert_not_reached ();
    } catch (IOError.NOT_FOUND error) {
        assert_cmpstr (error.message, EQ, "the worker says no");
    }
    try {
        yield rpc.call_async (new Variant ("(su)", "exit", 3), null);
        assert_not_reached ();
    } catch (AFork.Error.EXITED error) {
        assert_true ("about to exit" in error.message);
    }
}

async void test_job () throws Error {
    uint sum = 0;
    var rpc = new_rpc ("calls_do");
    var job = new AFork.Job (new Variant ("(su)", "report", 4));
    job.progress.connect ((value) => sum += value.get_uint32 ());
    var answer = yield rpc.run_job_async (job);
    assert_cmpuint (answer.get_uint32 (), EQ, 4);
    assert_cmpuint (sum, EQ, 6);
    assert_true (job.state == AFork.JobState.SUCCEEDED);
    assert_true (yield rpc.close_async ());
}

const uint LIMIT = 50;      // seconds for one test, after which something hangs

delegate void BeginFunc (AsyncReadyCallback callback);
delegate void EndFunc (AsyncResult result) throws Error;

void run_test (BeginFunc begin, EndFunc end) {
    var loop = new MainLoop ();
    var limit = Timeout.add_seconds (LIMIT, () => {
        error ("not done after %u s", LIMIT);
    });
    begin ((object, result) => {
        try {
            end (result);
        } catch (Error error) {
            assert_no_error (error);
        }
        loop.quit ();
    });
    loop.run ();
    Source.remove (limit);
}

int main (string[] args) {
    Test.init (ref args);

    Test.add_func ("/vala/calls/call", () => run_test (
        (callback) => test_call.begin (callback),
        (result) => test_call.end (result)));
    Test.add_func ("/vala/calls/error", () => run_test (
        (callback) => test_error.begin (callback),
        (result) => test_error.end (result)));
    Test.add_func ("/vala/calls/job", () => run_test (
        (callback) => test_job.begin (callback),
        (result) => test_job.end (result)));

    return Test.run ();
}
