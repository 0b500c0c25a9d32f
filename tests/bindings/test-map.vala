// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Maps from Vala: arrays, lists of jobs, errors, and the end.

async void test_map () throws Error {
    var process = new AFork.Process ();
    process.require ("pool");
    var pool = new AFork.Pool (process, "pool_do");
    pool.max_workers = 1;

    var items = new VariantBuilder (new VariantType ("a(su)"));
    for (uint i = 0; i < 5; i++)
        items.add ("(su)", "echo", i);
    var map = pool.map (items.end (), AFork.MapFlags.ORDERED);
    map.look_ahead = 2;
    AFork.Job? job;
    uint n = 0;
    while ((job = yield map.next_async ()) != null) {
        assert_cmpuint (job.index, EQ, n);
        assert_cmpuint (job.result.get_uint32 (), EQ, n);
        n++;
    }
    assert_cmpuint (n, EQ, 5);

    var jobs = new ListStore (typeof (AFork.Job));
    jobs.append (new AFork.Job (new Variant ("(su)", "exit", 3)));
    map = pool.map_jobs (jobs, AFork.MapFlags.UNORDERED);
    job = yield map.next_async ();
    assert_true (job == jobs.get_item (0));
    assert_true (job.error is AFork.Error.EXITED);
    assert_null (map.next ());
    map.close ();

    try {
        yield pool.map (new Variant.uint32 (3), AFork.MapFlags.ORDERED).next_async ();
        assert_not_reached ();
    } catch (IOError.INVALID_ARGUMENT error) {
        assert_true ("“u”" in error.message);
    }

    assert_true (yield pool.shutdown_async (AFork.ShutdownMode.DRAIN));
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

    Test.add_func ("/vala/map/all", () => run_test (
        (callback) => test_map.begin (callback),
        (result) => test_map.end (result)));

    return Test.run ();
}
