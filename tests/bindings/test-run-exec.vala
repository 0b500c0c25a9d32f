// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What else becomes of processes, from Vala: programs, other callers, spares, templates, and a
// program that is its own server.

// What comes until the other side has closed.
async string read_all (SocketConnection connection) throws Error {
    var text = new StringBuilder ();
    while (true) {
        var bytes = yield connection.input_stream.read_bytes_async (4096);
        if (bytes.get_size () == 0)
            return text.str;
        text.append_len ((string) bytes.get_data (), (ssize_t) bytes.get_size ());
    }
}

// Runs a function that echoes its items, and returns them.
async string echo (AFork.Process process) throws Error {
    var connection = yield process.run_async ("echo", null);
    connection.socket.shutdown (false, true);
    return yield read_all (connection);
}

string[] list_children (AFork.Process process) throws Error {
    string text;
    var pid = (int) process.pid;
    FileUtils.get_contents (@"/proc/$pid/task/$pid/children", out text);
    return text.strip ().length > 0 ? text.strip ().split (" ") : new string[0];
}

async void test_program () throws Error {
    int status;
    string[] argv = { "sh", "-c", "read x; echo $GREETING $x; exit 4" };
    var process = new AFork.Process ();
    process.setenv ("GREETING", "hello");

    var connection = yield process.exec_async (argv, null);
    connection.output_stream.write_all ("world\n".data, null);
    assert_cmpstr (yield read_all (connection), EQ, "hello world\n");
    assert_true (yield process.wait_async (null));
    assert_true (process.get_exit_status (out status));
    assert_cmpint (status, EQ, 4);
}

async void test_program_blocking () throws Error {
    var process = new AFork.Process ();
    var connection = process.exec ({ "echo", "blocking" });
    assert_cmpstr (yield read_all (connection), EQ, "blocking\n");
}

async void test_program_missing () throws Error {
    var process = new AFork.Process ();
    try {
        yield process.exec_async ({ "/nowhere/program" }, null);
        assert_not_reached ();
    } catch (AFork.Error.SPAWN error) {
        assert_true (error.message.contains ("/nowhere/program"));
    }
}

async void test_taken_over () throws Error {
    int status;
    var given = new AFork.Process ();
    given.require ("echo").send_arg ("prepared here ");
    var fd = yield given.detach_async (null);
    assert_cmpint (fd, GT, 2);

    // The descriptor is the new object's from here on.
    var taken = new AFork.Process.from_fd (fd);
    taken.send_arg ("and there");
    assert_cmpstr (yield echo (taken), EQ, "prepared here and there");
    assert_true (yield given.wait_async (null));
    assert_true (given.get_exit_status (out status));
    assert_cmpint (status, EQ, 0);

    try {
        given.detach ();
        assert_not_reached ();
    } catch (AFork.Error.CLOSED error) {
    }
}

async void test_spare () throws Error {
    var template = new AFork.Process ();
    template.require ("echo");
    template.spare = 1;
    assert_cmpuint (template.get_spare (), EQ, 1);
    // Nothing tells of spares.
    while (template.pid == 0 || list_children (template).length != 1) {
        Timeout.add (5, test_spare.callback);
        yield;
    }
    var ready = list_children (template)[0];

    var process = template.fork ();
    process.send_arg ("spared");
    assert_cmpstr (yield echo (process), EQ, "spared");
    assert_cmpstr (((int) process.pid).to_string (), EQ, ready);
    template.spare = 0;
}

async void test_die_with_parent () throws Error {
    var process = new AFork.Process ();
    assert_false (process.die_with_parent);
    process.die_with_parent = true;
    assert_true (process.get_die_with_parent ());
    process.require ("echo").send_arg ("tied");
    assert_cmpstr (yield echo (process), EQ, "tied");
}

// This program was executed as its own server, for it has called AFork.init ().
async void test_self () throws Error {
    var process = new AFork.Process.for_runtime (AFork.Runtime.get_self ());
    process.require ("echo").send_arg ("myself");
    assert_cmpstr (yield echo (process), EQ, "myself");
}

// As long as there is one thread. The blocking calls wait without a second.
void test_template () {
    try {
        var template = new AFork.Process.of_program ();
        assert_cmpint (template.pid, GT, 0);
        assert_cmpstr (template.runtime.name, EQ, "program");

        var process = template.fork ();
        process.require ("take").send_arg ("taken").call ("take", null);
        var connection = process.run ("give");
        var bytes = connection.input_stream.read_bytes (100);
        assert_cmpmem (bytes.get_data (), "taken".data);
        assert_true (process.wait ());
    } catch (Error error) {
        assert_no_error (error);
    }
}

void test_template_refused () {
    var made = false;
    var mutex = Mutex ();
    mutex.lock ();
    var thread = new Thread<bool> ("second", () => {
        mutex.lock ();
        mutex.unlock ();
        return true;
    });

    try {
        new AFork.Process.of_program ();
        made = true;
    } catch (AFork.Error.THREADS error) {
        assert_true (error.message.contains ("second"));
    } catch (Error error) {
        assert_no_error (error);
    }
    try {
        AFork.early ();
        made = true;
    } catch (AFork.Error.THREADS error) {
    } catch (Error error) {
        assert_no_error (error);
    }

    assert_false (made);
    mutex.unlock ();
    thread.join ();
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

    // The first of all, for the others start a second thread, GLib's own.
    Test.add_func ("/vala/template", test_template);
    Test.add_func ("/vala/template-refused", test_template_refused);
    Test.add_func ("/vala/program", () => run_test (
        (callback) => test_program.begin (callback),
        (result) => test_program.end (result)));
    Test.add_func ("/vala/program/blocking", () => run_test (
        (callback) => test_program_blocking.begin (callback),
        (result) => test_program_blocking.end (result)));
    Test.add_func ("/vala/program/missing", () => run_test (
        (callback) => test_program_missing.begin (callback),
        (result) => test_program_missing.end (result)));
    Test.add_func ("/vala/taken-over", () => run_test (
        (callback) => test_taken_over.begin (callback),
        (result) => test_taken_over.end (result)));
    Test.add_func ("/vala/spare", () => run_test (
        (callback) => test_spare.begin (callback),
        (result) => test_spare.end (result)));
    Test.add_func ("/vala/die-with-parent", () => run_test (
        (callback) => test_die_with_parent.begin (callback),
        (result) => test_die_with_parent.end (result)));
    Test.add_func ("/vala/self", () => run_test (
        (callback) => test_self.begin (callback),
        (result) => test_self.end (result)));

    return Test.run ();
}
