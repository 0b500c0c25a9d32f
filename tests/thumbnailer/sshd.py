# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A server of OpenSSH on the loopback interface, with keys and configuration of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import tap

SSHD = "/usr/sbin/sshd"


def find_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sshd:
    """The hosts `one` and `two` are this machine. FOLDER is for all files, and gets the home
    directory of processes there. SERVER is the path of afork-server."""

    def __init__(self, folder, server):
        self.ssh = shutil.which("ssh")
        if self.ssh is None or not os.access(SSHD, os.X_OK):
            raise tap.Skip("ssh or sshd is not installed")
        if os.getuid() == 0:
            # sshd run by root wants a directory for its separated processes.
            try:
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            except OSError as error:
                raise tap.Skip(f"/run/sshd cannot be made: {error}")
        self.folder = folder / "ssh"
        self.home = folder / "far"
        self.port = find_port()
        self.folder.mkdir()
        self.home.mkdir()
        for key in "host", "user":
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            str(self.folder / key)], check=True)
        self._configure(Path(server).parent)
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                                        stderr=subprocess.DEVNULL)
        self._await_port()

    def _configure(self, server_folder):
        public = (self.folder / "user.pub").read_text()
        host = (self.folder / "host.pub").read_text()
        (self.folder / "authorized_keys").write_text(public)
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host}")
        # bash reads no start-up files for commands at this level.
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nLogLevel ERROR\n"
            f"SetEnv SHLVL=5 PATH={server_folder}:/usr/bin:/bin XDG_CACHE_HOME={self.home}\n")
        (self.folder / "config").write_text(
            f"Host one two\nHostname 127.0.0.1\nPort {self.port}\nUser {getpass.getuser()}\n"
            f"IdentityFile {self.folder}/user\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
            "StrictHostKeyChecking yes\n")
        program = self.folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {self.ssh} -F {self.folder}/config "$@"\n')
        program.chmod(0o755)

    def _await_port(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert self.process.poll() is None, "sshd has exited"
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise TimeoutError("sshd does not listen")

    def path(self):
        """PATH for programs that are to use this server."""
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
