// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Processes from Vala: each call, its results, errors, signals and properties.

// What the worker writes until it ends.
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

async void test_strings_and_bytes () throws Error {
    var process = new AFork.Process ();
    assert_true (process.require ("echo") == process);
    process.send_arg ("one ").send_arg ("").send_bytes (new Bytes ("two".data));

    var connection = yield process.run_async ("echo", null);
    connection.output_stream.write_all (" three".data, null);
    connection.socket.shutdown (false, true);

    assert_cmpstr (yield read_all (connection), EQ, "one two three");
    assert_true (yield process.wait_async (null));
}

async void test_descriptor () throws Error {
    FileIOStream stream;
    var file = File.new_tmp ("afork-test-XXXXXX", out stream);
    stream.output_stream.write_all ("twelve bytes".data, null);
    var info = file.query_info (FileAttribute.UNIX_INODE, NONE);
    var inode = info.get_attribute_uint64 (FileAttribute.UNIX_INODE);

    var process = new AFork.Process ();
    process.require ("describe").send_fd (((FileDescriptorBased) stream.output_stream).get_fd ());
    stream.close ();
    file.delete ();

    var connection = yield process.run_async ("describe", null);
    assert_cmpstr (yield read_all (connection), EQ, @"fd $inode 12\n");
}

async void test_recreate () throws Error {
    var process = new AFork.Process ();
    process.require ("echo").send_arg ("again");
    assert_cmpstr (yield echo (process.recreate ()), EQ, "again");
    process.send_fd (0);
    try {
        process.recreate ();
        assert_not_reached ();
    } catch (AFork.Error.NOT_SUPPORTED error) {
        assert_true ("descriptor" in error.message);
    }
}

async void test_call () throws Error {
    var process = new AFork.Process ();
    process.require ("describe").call ("remember", { "one", "two" });
    var connection = yield process.run_async ("recall", null);
    assert_cmpstr (yield read_all (connection), EQ, "2 6");
}

const string CODE = """
#include <stdio.h>
#include <afork/worker/afork-worker.h>

static char greeting[100];

void
afork_eval_init (int argc, const char * const *argv)
{
  snprintf (greeting, sizeof greeting, "%s, %s", argv[0], argv[1]);
}

void
greet (int socket, const AForkItem *items, size_t n_items)
{
  dprintf (socket, "%s %s", greeting, items[0].data);
}
""";

async void test_eval () throws Error {
    if (Environment.get_variable ("AFORK_TEST_EVAL") == null) {
        Test.skip ("This build does not evaluate code");
        return;
    }

    var template = new AFork.Process ();
    assert_true (template.eval (CODE, { "Guten Tag", "liebe" }) == template);
    foreach (var name in new string[] { "Ada", "Grace" }) {
        var process = template.fork ();
        process.send_arg (name);
        var connection = yield process.run_async ("greet", null);
        assert_cmpstr (yield read_all (connection), EQ, @"Guten Tag, liebe $name");
    }

    try {
        var process = new AFork.Process ();
        yield process.eval ("int x = 1\nint y;", null).run_async ("greet", null);
        assert_not_reached ();
    } catch (AFork.Error error) {
        assert_true (error is AFork.Error.EVAL);
        assert_true ("<string>:2: error: " in error.message);
    }
}

async void test_fork () throws Error {
    var template = new AFork.Process ();
    template.require ("echo").send_arg ("both ");
    var first = template.fork ();
    var second = template.fork ();
    first.send_arg ("first");
    second.send_arg ("second");

    assert_cmpstr (yield echo (second), EQ, "both second");
    assert_cmpstr (yield echo (first), EQ, "both first");
    assert_true (template.state == AFork.ProcessState.PREPARING);
}

async void test_run_blocking () throws Error {
    var process = new AFork.Process.executed (null);
    process.require ("lifecycle");
    process.run ("done", null);
    assert_true (process.wait (null));
}

async void test_error_module () throws Error {
    int status;
    var process = new AFork.Process ();
    process.require ("no-such-module");

    try {
        yield process.run_async ("anything", null);
        assert_not_reached ();
    } catch (AFork.Error error) {
        assert_true (error is AFork.Error.MODULE);
        assert_true (error.message.contains ("no-such-module"));
    }

    assert_true (yield process.wait_async (null));
    assert_true (process.get_exit_status (out status));
    assert_cmpint (status, GT, 0);
}

async void test_error_function () throws Error {
    var process = new AFork.Process ();
    process.require ("echo");

    try {
        yield process.run_async ("no_such_function", null);
        assert_not_reached ();
    } catch (AFork.Error.FUNCTION error) {
        assert_true (error.message.contains ("no_such_function"));
    }
}

async void test_cancelled () throws Error {
    var process = new AFork.Process ();
    var cancellable = new Cancellable ();
    process.require ("lifecycle");
    cancellable.cancel ();

    try {
        yield process.run_async ("done", cancellable);
        assert_not_reached ();
    } catch (IOError.CANCELLED error) {
    }
}

async void test_exit_status () throws Error {
    int status;
    uint64 user, system, size;
    var process = new AFork.Process ();
    process.require ("lifecycle").send_arg ("3");

    yield process.run_async ("exit_with", null);
    assert_true (yield process.wait_async (null));
    assert_true (process.get_exit_status (out status));
    assert_cmpint (status, EQ, 3);
    assert_false (process.get_term_signal (null));
    assert_true (process.get_usage (out user, out system, out size));
    assert_true (size > 0);
}

async void test_term_signal () throws Error {
    int number;
    var process = new AFork.Process ();
    process.require ("lifecycle");

    var connection = yield process.run_async ("forever", null);
    process.send_signal (ProcessSignal.TERM);
    assert_true (yield process.wait_async (null));
    assert_true (process.get_term_signal (out number));
    assert_cmpint (number, EQ, ProcessSignal.TERM);
    assert_false (process.get_exit_status (null));
    assert_cmpstr (yield read_all (connection), EQ, "");
}

async void test_force_exit () throws Error {
    int number;
    var process = new AFork.Process ();
    process.require ("lifecycle");

    yield process.run_async ("forever", null);
    process.force_exit ();
    assert_true (yield process.wait_async (null));
    assert_true (process.get_term_signal (out number));
    assert_cmpint (number, EQ, ProcessSignal.KILL);
}

async void test_exited () throws Error {
    int wait_status = -1;
    var process = new AFork.Process ();
    process.require ("lifecycle").send_arg ("7");
    process.exited.connect ((status) => {
        wait_status = status;
        Idle.add (test_exited.callback);
    });

    yield process.run_async ("exit_with", null);
    if (wait_status < 0)
        yield;
    assert_cmpint (wait_status, EQ, 7 << 8);
    assert_true (process.state == AFork.ProcessState.EXITED);
}

async void test_properties () throws Error {
    string line;
    int[] states = {};
    var process = new AFork.Process ();
    process.notify["state"].connect (() => states += process.state);
    assert_true (process.runtime == AFork.Runtime.get_native ());
    assert_cmpint (process.pid, EQ, 0);
    assert_null (process.function);
    process.title = "from Vala";
    assert_cmpstr (process.title, EQ, "from Vala");

    var connection = yield process.require ("lifecycle").run_async ("until_closed", null);
    assert_cmpstr (process.function, EQ, "until_closed");
    assert_true (process.state == AFork.ProcessState.RUNNING);
    assert_cmpint (process.pid, GT, 0);
    FileUtils.get_contents (@"/proc/$((int) process.pid)/cmdline", out line);
    assert_true (line.contains ("from Vala"));

    connection.close ();
    assert_true (yield process.wait_async (null));
    assert_cmpint (states.length, EQ, 3);
    assert_cmpint (states[0], EQ, AFork.ProcessState.PREPARING);
    assert_cmpint (states[1], EQ, AFork.ProcessState.RUNNING);
    assert_cmpint (states[2], EQ, AFork.ProcessState.EXITED);
}

async void test_runtime () throws Error {
    var server = Environment.get_variable ("AFORK_SERVER");
    string[] argv = { "nice", server };
    string[] module_path = { "/nowhere" };
    var runtime = (AFork.Runtime) Object.new (typeof (AFork.Runtime),
        name: "nice", argv: argv, can_fork: true, can_pass_fds: true, module_path: module_path);
    assert_cmpstr (runtime.name, EQ, "nice");
    assert_cmpstr (string.joinv (" ", runtime.dup_argv ()), EQ, @"nice $server");
    assert_cmpstr (runtime.dup_module_path ()[0], EQ, "/nowhere");

    var process = new AFork.Process.for_runtime (runtime);
    process.require ("echo").send_arg ("nicely");
    assert_cmpstr (yield echo (process), EQ, "nicely");
    runtime.set_template (null);
}

async void test_default_template () throws Error {
    var runtime = AFork.Runtime.get_default ();
    runtime.get_template ().require ("echo");
    var process = new AFork.Process ();
    process.send_arg ("already there");
    assert_cmpstr (yield echo (process), EQ, "already there");
    runtime.set_template (null);
}

async void test_default () throws Error {
    string[] argv = { Environment.get_variable ("AFORK_SERVER") };
    var runtime = (AFork.Runtime) Object.new (typeof (AFork.Runtime),
        name: "other", argv: argv, can_fork: true, can_pass_fds: true);
    AFork.Runtime.set_default (runtime);
    assert_true (AFork.Runtime.get_default () == runtime);

    var process = new AFork.Process ();
    assert_true (process.runtime == runtime);
    process.require ("echo").send_arg ("by default");
    assert_cmpstr (yield echo (process), EQ, "by default");

    AFork.Runtime.set_default (null);
    assert_true (AFork.Runtime.get_default () == AFork.Runtime.get_native ());
    runtime.set_template (null);
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

    Test.add_func ("/vala/strings-and-bytes", () => run_test (
        (callback) => test_strings_and_bytes.begin (callback),
        (result) => test_strings_and_bytes.end (result)));
    Test.add_func ("/vala/descriptor", () => run_test (
        (callback) => test_descriptor.begin (callback),
        (result) => test_descriptor.end (result)));
    Test.add_func ("/vala/call", () => run_test (
        (callback) => test_call.begin (callback),
        (result) => test_call.end (result)));
    Test.add_func ("/vala/eval", () => run_test (
        (callback) => test_eval.begin (callback),
        (result) => test_eval.end (result)));
    Test.add_func ("/vala/fork", () => run_test (
        (callback) => test_fork.begin (callback),
        (result) => test_fork.end (result)));
    Test.add_func ("/vala/run-blocking", () => run_test (
        (callback) => test_run_blocking.begin (callback),
        (result) => test_run_blocking.end (result)));
    Test.add_func ("/vala/error/module", () => run_test (
        (callback) => test_error_module.begin (callback),
        (result) => test_error_module.end (result)));
    Test.add_func ("/vala/error/function", () => run_test (
        (callback) => test_error_function.begin (callback),
        (result) => test_error_function.end (result)));
    Test.add_func ("/vala/cancelled", () => run_test (
        (callback) => test_cancelled.begin (callback),
        (result) => test_cancelled.end (result)));
    Test.add_func ("/vala/end/exit-status", () => run_test (
        (callback) => test_exit_status.begin (callback),
        (result) => test_exit_status.end (result)));
    Test.add_func ("/vala/end/term-signal", () => run_test (
        (callback) => test_term_signal.begin (callback),
        (result) => test_term_signal.end (result)));
    Test.add_func ("/vala/end/force-exit", () => run_test (
        (callback) => test_force_exit.begin (callback),
        (result) => test_force_exit.end (result)));
    Test.add_func ("/vala/end/exited", () => run_test (
        (callback) => test_exited.begin (callback),
        (result) => test_exited.end (result)));
    Test.add_func ("/vala/properties", () => run_test (
        (callback) => test_properties.begin (callback),
        (result) => test_properties.end (result)));
    Test.add_func ("/vala/runtime", () => run_test (
        (callback) => test_runtime.begin (callback),
        (result) => test_runtime.end (result)));
    Test.add_func ("/vala/default", () => run_test (
        (callback) => test_default.begin (callback),
        (result) => test_default.end (result)));
    Test.add_func ("/vala/default-template", () => run_test (
        (callback) => test_default_template.begin (callback),
        (result) => test_default_template.end (result)));
    Test.add_func ("/vala/recreate", () => run_test (
        (callback) => test_recreate.begin (callback),
        (result) => test_recreate.end (result)));

    return Test.run ();
}
