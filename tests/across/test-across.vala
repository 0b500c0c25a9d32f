// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A caller in Vala, of workers in each language: test-across-vala WORKER. The calls are those of
// calls.ini.

const size_t PAGE = 4096;
const uint LIMIT = 60;      // seconds for one call, after which something hangs

string worker;
KeyFile calls;
AFork.Process template;
HashTable<string, AFork.Rpc> rpcs;

string? get_text (string group, string key) {
    try {
        return calls.get_value (group, key);
    } catch (KeyFileError error) {
        return null;
    }
}

// What workers in this language have instead, or else what all have.
string? get_of_worker (string group, string key) {
    return get_text (group, @"$key-$worker") ?? get_text (group, key);
}

int get_number (string group, string key) {
    return int.parse (get_text (group, key) ?? "0");
}

Variant make_value (string group, string text) throws Error {
    var value = Variant.parse (null, text);
    var n = get_number (group, "repeat");
    if (n == 0)
        return value;

    var values = new Variant[n];
    for (int i = 0; i < n; i++)
        values[i] = value;
    return new Variant.array (value.get_type (), values);
}

Variant make_result (string group) throws Error {
    return make_value (group, get_of_worker (group, "result") ?? get_text (group, "args"));
}

AFork.Rpc get_rpc (string function) {
    var rpc = rpcs[function];
    if (rpc == null) {
        string name;
        switch (worker) {
        case "native":
            name = @"values_$function";
            break;
        case "gjs":
            name = @"values.js:$function";
            break;
        default:
            name = @"values:$function";
            break;
        }
        rpc = (AFork.Rpc) Object.new (typeof (AFork.Rpc), process: template.fork (), function: name,
                                      forward_stderr: false);
        rpcs[function] = rpc;
    }
    return rpc;
}

Bytes make_blob (size_t size) {
    var data = new uint8[size];
    for (size_t i = 0; i < size; i += PAGE)
        data[i] = (uint8) (i / PAGE % 251);
    return new Bytes.take ((owned) data);
}

UnixFDList make_fds (int n) throws Error {
    var fds = new UnixFDList ();
    for (int i = 0; i < n; i++) {
        string name;
        int fd = FileUtils.open_tmp ("afork-XXXXXX", out name);
        var text = @"descriptor $i";
        assert_true (Posix.write (fd, text, text.length) == text.length);
        fds.append (fd);
        Posix.close (fd);
        FileUtils.remove (name);
    }
    return fds;
}

void check_results (AFork.Job job, size_t[] sizes, int n_fds) throws Error {
    unowned Bytes[]? blobs = job.get_result_blobs ();
    assert_cmpint (blobs == null ? 0 : blobs.length, EQ, sizes.length);
    for (int i = 0; i < sizes.length; i++)
        assert_true (blobs[i].compare (make_blob (sizes[i])) == 0);

    var fds = job.get_result_fds ();
    assert_cmpint (fds == null ? 0 : fds.get_length (), EQ, n_fds);
    for (int i = 0; i < n_fds; i++) {
        string contents;
        FileUtils.get_contents (@"/proc/self/fd/$(fds.peek_fds ()[i])", out contents);
        assert_cmpstr (contents, EQ, @"descriptor $i");
    }
}

async void test_call (string group) throws Error {
    var rpc = get_rpc (get_text (group, "function") ?? "echo");
    var job = new AFork.Job (make_value (group, get_text (group, "args")));
    var n_fds = get_number (group, "fds");
    var cancel = get_text (group, "cancel");
    var cancellable = new Cancellable ();
    size_t[] sizes = {};
    foreach (var size in (get_text (group, "blobs") ?? "").split (";")) {
        if (size != "") {
            sizes += (size_t) uint64.parse (size);
            job.add_blob (make_blob (sizes[sizes.length - 1]));
        }
    }
    if (n_fds > 0)
        job.set_fds (make_fds (n_fds));

    int64 n_reports = 0;
    int64 n_events = 0;
    job.progress.connect ((value) => {
        if (cancel != null) {
            assert_cmpstr (value.get_string (), EQ, cancel);
            cancellable.cancel ();
        } else {
            assert_true (value.get_int64 () == n_reports);
        }
        n_reports++;
    });
    var handler = rpc.event.connect ((value) => {
        assert_true (value.get_int64 () == n_events);
        n_events++;
    });

    string? found = null;
    try {
        var result = yield rpc.run_job_async (job, cancellable);
        var expected = make_result (group);
        if (!result.equal (expected))
            assert_cmpstr (result.print (true), EQ, expected.print (true));
        check_results (job, sizes, n_fds);
    } catch (Error error) {
        var message = get_of_worker (group, "message");
        found = @"$(error.domain) $(error.code)";
        Test.message ("%s", error.message);
        if (message != null)
            assert_true (error.message.has_prefix (message));
    }
    rpc.disconnect (handler);
    assert_cmpstr (found, EQ, get_text (group, "error"));
    assert_true (n_reports == (cancel != null ? 1 : get_number (group, "reports")));
    assert_true (n_events == get_number (group, "reports"));
}

// All values at once, and each result belongs to its call.
async void test_at_once () throws Error {
    var rpc = get_rpc ("echo");
    int n_pending = 0;
    bool is_waiting = false;

    foreach (var name in calls.get_groups ()) {
        string group = name;
        var args = make_value (group, get_text (group, "args"));
        n_pending++;
        rpc.call_async.begin (args, null, (object, result) => {
            try {
                var found = rpc.call_async.end (result);
                var expected = make_result (group);
                if (!found.equal (expected))
                    assert_cmpstr (found.print (true), EQ, expected.print (true));
            } catch (Error error) {
                assert_no_error (error);
            }
            if (--n_pending == 0 && is_waiting)
                test_at_once.callback ();
        });
    }
    is_waiting = true;
    if (n_pending > 0)
        yield;
}

// Each worker that is left exits when it is closed.
async void test_close () throws Error {
    foreach (var function in rpcs.get_keys_as_array ()) {
        if (function != "exit" && function != "there_is_none" && function != "wait")
            assert_true (yield rpcs[function].close_async ());
    }
}

AFork.Runtime get_runtime (string folder) {
    if (worker == "native")
        return AFork.Runtime.get_native ();

    AFork.Runtime runtime;
    if (worker == "python") {
        runtime = AFork.Runtime.get_python ();
        runtime.set_executable (Environment.get_variable ("AFORK_TEST_PYTHON"));
    } else {
        runtime = AFork.Runtime.get_gjs ();
        // GJS warns about code that fails.
        runtime.set_environ (Environ.unset_variable (Environ.get (), "G_DEBUG"));
    }
    runtime.set_module_path ({ Path.build_filename (folder, "modules") });
    return runtime;
}

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
    worker = args.length > 1 ? args[1] : "native";
    var folder = Test.build_filename (DIST, "across");
    calls = new KeyFile ();
    try {
        calls.load_from_file (Path.build_filename (folder, "calls.ini"), NONE);
    } catch (Error error) {
        assert_no_error (error);
    }
    rpcs = new HashTable<string, AFork.Rpc> (str_hash, str_equal);
    template = new AFork.Process.for_runtime (get_runtime (folder));
    template.require (worker == "gjs" ? "values.js" : "values");

    foreach (var name in calls.get_groups ()) {
        string group = name;
        var workers = get_text (group, "workers");
        if (workers == null || worker in workers.split (";")) {
            Test.add_data_func (@"/across/$worker/$group", () => run_test (
                (callback) => test_call.begin (group, callback),
                (result) => test_call.end (result)));
        }
    }
    Test.add_func (@"/across/$worker/at-once", () => run_test (
        (callback) => test_at_once.begin (callback),
        (result) => test_at_once.end (result)));
    Test.add_func (@"/across/$worker/close", () => run_test (
        (callback) => test_close.begin (callback),
        (result) => test_close.end (result)));
    return Test.run ();
}
