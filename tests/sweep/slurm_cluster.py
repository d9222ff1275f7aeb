"""A Slurm of one node on this machine, for a test: controller, node and authentication on loopback, in one folder."""
import os
import pathlib
import shutil
import socket
import subprocess
import time

CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
JobRequeue=1
KillWait=15
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Started by the constructor; stop() ends every process of it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = []
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o600)
        controller_port, node_port = free_ports(2)
        host = socket.gethostname().split(".")[0]
        config = self.folder / "slurm.conf"
        config.write_text(CONFIG.format(folder=self.folder, host=host, controller_port=controller_port,
                                        node_port=node_port, user=os.environ.get("USER") or "root"))
        self.environment = {**os.environ, "SLURM_CONF": str(config)}
        try:
            self.start("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                       f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge.pid",
                       f"--seed-file={self.folder}/munge.seed", f"--log-file={self.folder}/munge.log")
            self.wait_for(lambda: (self.folder / "munge.socket").exists(), "munged")
            self.start("slurmctld", "-D", "-f", config)
            self.start("slurmd", "-D", "-N", host, "-f", config)
            self.wait_for(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%t").stdout, "the node")
        except BaseException:
            self.stop()
            raise

    def start(self, program, *arguments):
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        assert path, f"{program} is not installed"
        with open(self.folder / f"{program}.out", "wb") as output:
            self.processes.append(subprocess.Popen([path, *map(str, arguments)], env=self.environment, stdout=output,
                                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL))

    def run(self, *command):
        return subprocess.run([str(part) for part in command], env=self.environment, capture_output=True, text=True)

    def wait_for(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "".join(f"\n{path.name}:\n{path.read_text(errors='replace')[-2000:]}"
                               for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")))
                raise TimeoutError(f"{what} did not come within {seconds} s{logs}")
            time.sleep(0.1)

    def stop(self):
        self.run("scancel", "--full", f"--user={self.environment.get('USER') or 'root'}")
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
