#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A server of OpenSSH for tests and benchmarks, with keys and configuration of its own.

As a program it starts a server, executes a command whose environment names the configuration of its
clients, and exits as that does. Without OpenSSH, that variable is empty."""

import argparse
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SSHD = "/usr/sbin/sshd"
CONFIGURATION_VARIABLE = "AFORK_TEST_SSH_CONFIGURATION"
PORT_VARIABLE = "AFORK_TEST_SSH_PORT"

# By these, processes on the host find what is not installed.
PASSED_VARIABLES = "GI_TYPELIB_PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"


class Unavailable(Exception):
    """There can be no server here; the message says why."""


class Sshd:
    """All hosts of its clients are this machine.

    FOLDER is for all files, and is made. The server listens at ADDRESS, which is one of the network
    namespace whose file NETWORK is, or of this process without that. ENVIRONMENT is for processes
    there. It ends with this process."""

    def __init__(self, folder, environment=None, address="127.0.0.1", network=None):
        self.folder = folder
        self.address = address
        self.ssh = shutil.which("ssh")
        if self.ssh is None or not os.access(SSHD, os.X_OK):
            raise Unavailable("ssh or sshd is not installed")
        if os.getuid() == 0:
            # sshd run by root wants a directory for its separated processes.
            try:
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            except OSError as error:
                raise Unavailable(f"/run/sshd cannot be made: {error}") from error
        self.port = self._find_port()
        self.folder.mkdir()
        for key in "host", "user":
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            str(self.folder / key)], check=True)
        self._configure_server(environment or {})
        self._configure_clients()
        enter = ["nsenter", f"--net={network}"] if network else []
        self.process = subprocess.Popen(
            enter + ["setpriv", "--pdeathsig", "TERM", SSHD, "-D", "-e", "-f",
                     str(self.folder / "sshd_config")],
            stderr=subprocess.DEVNULL)
        self._await_port()

    @staticmethod
    def _find_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def _write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def _configure_server(self, environment):
        """The limits of sessions are Debian"s. bash reads no start-up files for commands at this
        level."""
        self._write("authorized_keys", (self.folder / "user.pub").read_text())
        variables = " ".join(f"{name}={value}"
                             for name, value in {"SHLVL": 5, **environment}.items())
        self._write("sshd_config",
                    f"Port {self.port}\nListenAddress {self.address}\nHostKey {self.folder}/host\n"
                    f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\n"
                    "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
                    "KbdInteractiveAuthentication no\nMaxStartups 10:30:100\nMaxSessions 10\n"
                    f"SetEnv {variables}\nLogLevel ERROR\n")

    def _configure_clients(self):
        host_key = (self.folder / "host.pub").read_text()
        self._write("known_hosts", f"[{self.address}]:{self.port} {host_key}")
        self._write("config",
                    f"Hostname {self.address}\nPort {self.port}\nUser {getpass.getuser()}\n"
                    f"IdentityFile {self.folder}/user\nIdentitiesOnly yes\nIdentityAgent none\n"
                    f"UserKnownHostsFile {self.folder}/known_hosts\n"
                    "GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n")
        program = self.folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {self.ssh} -F {self.folder}/config "$@"\n')
        program.chmod(0o755)

    def _await_port(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"sshd exited with status {self.process.returncode}")
            try:
                socket.create_connection((self.address, self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise TimeoutError("sshd does not listen")

    def path(self):
        """PATH for programs that are to use this server without knowing it."""
        return f"{self.folder}/bin:{os.environ['PATH']}"

    def find_agents(self):
        """The pids of the agents that it has started."""
        return [pid for pid in self._descendants() if self._is_agent(pid)]

    def _descendants(self):
        children = {}
        for entry in Path("/proc").iterdir():
            try:
                text = (entry / "stat").read_text() if entry.name.isdigit() else ""
            except OSError:
                continue
            if text:
                children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(
                    int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    @staticmethod
    def _is_agent(pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return (len(words) > 1 and words[0].endswith(b"afork-server") and words[1] == b"--agent")

    def close(self):
        self.process.terminate()
        self.process.wait()


def run(command, variables):
    """Returns how COMMAND has exited, as a shell does. It ends with this process."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], close_fds=False,
                               env={**os.environ, **variables})
    status = process.wait()
    return status if status >= 0 else 128 - status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--network", help="the file of a network namespace, for the server")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()

    # So that the server is stopped and its files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="afork-ssh-") as folder:
        try:
            environment = {name: os.environ[name] for name in PASSED_VARIABLES
                           if name in os.environ}
            sshd = Sshd(Path(folder) / "ssh", environment, args.address, args.network)
        except Unavailable:
            return run(args.command, {CONFIGURATION_VARIABLE: ""})
        try:
            return run(args.command, {CONFIGURATION_VARIABLE: str(sshd.folder / "config"),
                                      PORT_VARIABLE: str(sshd.port)})
        finally:
            sshd.close()


if __name__ == "__main__":
    sys.exit(main())
