// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Pools from Vala: calls, jobs, errors, and the end.

async void test_call () throws Error {
    var process = new AFork.Process ();
    process.require ("pool");
    var pool = new AFork.Pool (process, "pool_do");
    pool.max_workers = 1;
    pool.memory_monitor = null;
    assert_true (pool.power_monitor == null && !pool.adaptive);
    pool.max_memory = 1 << 30;
    assert_cmpuint ((uint) pool.max_memory, EQ, 1 << 30);
    pool.add_template (process.fork (), 1);
    var answer = yield pool.call_async (new Variant ("(su)", "echo", 2));
    assert_cmpuint (answer.get_uint32 (), EQ, 2);

    var job = new AFork.Job (new Variant ("(su)", "exit", 3));
    job.priority = 4;
    try {
        yield pool.run_job_async (job);
        assert_not_reached ();
    } catch (AFork.Error.EXITED error) {
        assert_true ("status 3" in error.message);
    }
    assert_true (job.error is AFork.Error.EXITED);
    assert_true (pool.last_error is AFork.Error.EXITED);

    var workers = pool.get_workers ();
    assert_cmpuint (workers.get_n_items (), EQ, pool.n_workers);
    for (uint i = 0; i < workers.get_n_items (); i++) {
        var worker = (AFork.PoolWorker) workers.get_item (i);
        assert_true (worker.host == null);
        assert_true (worker.state != STARTING || worker.calls == 0);
    }

    var stats = new VariantDict (pool.get_stats ());
    uint64 results;
    assert_true (stats.lookup ("results", "t", out results));
    assert_cmpuint ((uint) results, EQ, 1);
    assert_cmpuint ((uint) stats.lookup_value ("workers", new VariantType ("aa{sv}")).n_children (),
                    LE, 1);
    var equal = new AFork.Job (new Variant ("(su)", "echo", 5));
    equal.coalesce = true;
    answer = yield pool.run_job_async (equal);
    assert_true (equal.coalesce);
    assert_cmpuint (answer.get_uint32 (), EQ, 5);

    pool.quarantine_time = 30000;
    try {
        yield pool.call_async (new Variant ("(su)", "exit", 3));
        assert_not_reached ();
    } catch (AFork.Error.EXITED error) {
        assert_true ("two workers" in error.message);
    }
    try {
        yield pool.call_async (new Variant ("(su)", "exit", 3));
        assert_not_reached ();
    } catch (AFork.Error.QUARANTINED error) {
        assert_true ("status 3" in error.message);
    }

    assert_true (yield pool.shutdown_async (AFork.ShutdownMode.DRAIN));
    assert_cmpuint (pool.n_workers, EQ, 0);
}

// A function of this program, in processes that are the program, executed again.
Variant? add (AFork.Call call, Variant args) throws Error {
    uint a, b;
    args.get ("(uu)", out a, out b);
    if (b == 0) {
        throw new IOError.NOT_FOUND ("nothing to add");
    }
    return new Variant.uint32 (a + b);
}

async void test_func () throws Error {
    var pool = new AFork.Pool.for_func (null, add);
    var answer = yield pool.call_async (new Variant ("(uu)", 2, 3));
    assert_cmpuint (answer.get_uint32 (), EQ, 5);
    try {
        yield pool.call_async (new Variant ("(uu)", 2, 0));
        assert_not_reached ();
    } catch (IOError.NOT_FOUND error) {
        assert_cmpstr (error.message, EQ, "nothing to add");
    }
    assert_true (yield pool.shutdown_async (AFork.ShutdownMode.DRAIN));

    var rpc = new AFork.Rpc.for_func (null, add);
    answer = yield rpc.call_async (new Variant ("(uu)", 3, 4));
    assert_cmpuint (answer.get_uint32 (), EQ, 7);
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
    AFork.init (ref args);
    Test.init (ref args);

    Test.add_func ("/vala/pool/call", () => run_test (
        (callback) => test_call.begin (callback),
        (result) => test_call.end (result)));

    Test.add_func ("/vala/pool/func", () => run_test (
        (callback) => test_func.begin (callback),
        (result) => test_func.end (result)));

    return Test.run ();
}
