"""What can break. A fault has a name, breaks something (inject) and, where that is possible, mends it again (mend)."""

import os
import resource
import signal
import subprocess

import harness
from harness import kill_nine, processes_of


def pids_of(cell, program):
    return [pid for name, pids in processes_of(cell.name).items() if name.startswith(program) for pid in pids]


class Fault:
    name = ""
    # The pod goes on: its container still runs afterwards, if it ran.
    harmless = False

    def inject(self, cell):
        raise NotImplementedError

    def mend(self, cell):
        """Called when the callers of before the fault have been answered, and before the clean-up."""

    def inapplicable(self, phase):
        """Why there is no such cell; empty if there is."""
        return ""


class Kill(Fault):
    def __init__(self, name, program, absent=()):
        self.name, self.program, self.absent = name, program, absent

    def inject(self, cell):
        pids = pids_of(cell, self.program)
        if not pids:
            cell.fail(f"no process {self.program} to kill among {processes_of(cell.name)}")
        kill_nine(pids)
        cell.ctr_leaves_fifos = cell.ctr_leaves_fifos or self.name == "shim"

    def inapplicable(self, phase):
        return "does not run then" if phase in self.absent else ""


class KillContainerd(Fault):
    name, harmless = "containerd", True

    def inject(self, cell):
        cell.ctr_leaves_fifos = True
        harness.LAB.kill_and_start()
        cell.containerd_changed()


class KillCtr(Fault):
    name, harmless = "ctr", True

    def inject(self, cell):
        cell.ctr_leaves_fifos = True
        kill_nine([cell.clients[-1].pid])


class AgentCrash(Fault):
    """The guest's kernel ends by the wish of a privileged exec; before there is a container nobody in the guest can be asked."""

    name = "agent"

    def inject(self, cell):
        cell.ctr_leaves_fifos = True  # the harness ends the client of this exec
        cell.popen("task", "exec", "--exec-id", "crash", cell.name, "sh", "-c", "echo c > /proc/sysrq-trigger", stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def inapplicable(self, phase):
        return "" if phase in ("running", "exec") else "nobody in the guest to ask"


class StopQemu(Fault):
    name = "SIGSTOP"

    def inject(self, cell):
        pids = pids_of(cell, "qemu-system")
        if not pids:
            cell.fail("no VMM to stop")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def inapplicable(self, phase):
        return "does not run then" if phase in ("vm-starting", "deleting") else ""


class FullDisk(Fault):
    """No byte and no inode is left in the file system of the run folder."""

    name, harmless = "full-disk", True

    def _ballast(self):
        return os.path.join(harness.LAB.run_folder, "ballast")

    def inject(self, cell):
        with open(self._ballast(), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # it is full

    def mend(self, cell):
        if os.path.exists(self._ballast()):
            os.unlink(self._ballast())


class DescriptorLimit(Fault):
    """The shim gets no further descriptor."""

    name = "fd-limit"

    def inject(self, cell):
        for pid in pids_of(cell, "containerd-shim-kata-v2"):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))


ALL = (
    Kill("shim", "containerd-shim-kata-v2"),
    Kill("QEMU", "qemu-system", absent=("vm-starting", "deleting")),
    Kill("virtiofsd", "virtiofsd", absent=("vm-starting", "deleting")),
    Kill("vsock-device", "kata-vsock-device", absent=("deleting",)),
    KillContainerd(), KillCtr(), AgentCrash(), StopQemu(), FullDisk(), DescriptorLimit(),
)
