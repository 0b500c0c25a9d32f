#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Executes a command beside a cluster of Slurm that is its own: a controller, three nodes that are
this machine, and munge, with keys and configuration in a temporary folder.

The command has SLURM_CONF, and AFORK_TEST_SLURM_NODES, the names of the nodes."""

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

NODES = ("n1", "n2", "n3")
SKIPPED = 77


def find_ports(count):
    """Ports in a row that are free at the moment."""
    for first in range(20000, 30000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for i, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + i))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("there are no free ports")


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.daemons = []
        self.configuration = folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.configuration),
                    "AFORK_TEST_SLURM_NODES": " ".join(NODES)}
        self._configure()
        self._start("munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
                    f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
                    f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munge.log")
        self._await("munge", lambda: (folder / "munge.socket").exists())
        self._start("slurmctld", "-D", "-f", self.configuration)
        for node in NODES:
            self._start("slurmd", "-D", "-N", node, "-f", self.configuration)
        self._await("the nodes", self._are_idle)

    def _configure(self):
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for name in "state", *NODES:
            (self.folder / name).mkdir()
        port = find_ports(1 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        user = getpass.getuser()
        self.configuration.write_text(f"""
ClusterName=afork
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/%n.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/builtin
ReturnToService=2
KillWait=2
NodeName={NODES[0][0]}[{NODES[0][1:]}-{NODES[-1][1:]}] NodeHostname={host} NodeAddr=127.0.0.1 \
Port=[{port + 1}-{port + len(NODES)}] CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")

    def _start(self, program, *args):
        self.daemons.append(subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", find_daemon(program), *map(str, args)],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{program}.err").open("a")))

    def _are_idle(self):
        output = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return output.split() == ["idle"] * len(NODES)

    def _await(self, what, is_there):
        end = time.monotonic() + 120
        while not is_there():
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise RuntimeError(f"{daemon.args[3]} exited with {daemon.returncode}:\n"
                                       + self._read_logs())
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come:\n{self._read_logs()}")
            time.sleep(0.1)

    def _read_logs(self):
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
                         for pattern in ("*.log", "*.err")
                         for path in sorted(self.folder.glob(pattern)))

    def close(self):
        subprocess.run(["scancel", "--user", getpass.getuser()], env=self.env,
                       stderr=subprocess.DEVNULL)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            daemon.wait()


def find_daemon(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def main():
    missing = [name for name in ("munged", "slurmctld", "slurmd", "srun") if not find_daemon(name)]
    if missing:
        print(f"1..0 # SKIP {', '.join(missing)} not installed")
        return SKIPPED

    # So that the cluster is stopped and its files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="afork-slurm-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            return subprocess.run(["setpriv", "--pdeathsig", "KILL", *sys.argv[1:]],
                                  env=cluster.env).returncode
        finally:
            cluster.close()


if __name__ == "__main__":
    sys.exit(main())
