"""The laboratory of the fault matrix: a private containerd whose shims have failpoints and a small /run/kata of their own."""

import ctypes
import os
import shutil
import subprocess
import time

import harness
from kata_node import containerd, newer_containerd, paths

RUN_SIZE = 1 << 20
_CLONE_NEWNS = 0x20000


class FaultContainerd(containerd.Containerd):
    """Runs in a mount namespace held by a process of ours, where /run/kata is a file system that a test can fill."""

    def __init__(self, folder, version):
        super().__init__(folder, version, paths.cache(), [shims(), paths.binaries()])
        self.points = os.path.join(folder, "points")
        self.environment["KATA_FAILPOINTS_DIR"] = self.points
        self.holder = None

    def start(self):
        os.makedirs(self.points, exist_ok=True)
        if not self.holder:
            self.holder = _hold_namespace()
        return super().start()

    def program(self):
        return ["nsenter", "--target", str(self.holder.pid), "--mount", *super().program()]

    def kill_and_start(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        super().stop()
        if self.holder:
            self.holder.kill()
            self.holder.wait()

    @property
    def run_folder(self):
        """/run/kata as the shims see it."""
        return f"/proc/{self.holder.pid}/root/run/kata"

    # --- failpoints --------------------------------------------------------------------------------------------------------

    def arm(self, point, action="hold"):
        with open(os.path.join(self.points, point), "w", encoding="ascii") as file:
            file.write(action)

    def wait_reached(self, point, child, timeout=40):
        """Waits until the shim has come to the point. A child that ends meanwhile will not bring it there any more."""
        path, deadline = os.path.join(self.points, point + ".reached"), time.monotonic() + timeout
        while not os.path.exists(path):
            if child.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # a file's appearing
        return True

    def release(self):
        shutil.rmtree(self.points, ignore_errors=True)
        os.makedirs(self.points)


def _hold_namespace():
    def private_run_kata():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        os.makedirs("/run/kata", exist_ok=True)
        for words in (["mount", "--make-rslave", "/"], ["mount", "-t", "tmpfs", "-o", f"size={RUN_SIZE},mode=0700", "kata-fault", "/run/kata"]):
            subprocess.run(words, check=True)

    return subprocess.Popen(["sleep", "infinity"], preexec_fn=private_run_kata, stdin=subprocess.DEVNULL)


def shims():
    return os.environ.get("KATA_FAULT_BIN") or os.path.join(harness.REPO, "build/faults/bin")


def unavailable(version):
    """Why the matrix cannot run with this containerd, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    program = os.path.join(shims(), "containerd-shim-kata-v2")
    if not os.path.exists(program):
        return f"no {os.path.relpath(program, harness.REPO)}: cmake --preset faults && ninja -C build/faults containerd-shim-kata-v2"
    if version.startswith("2"):
        try:
            newer_containerd.folder(paths.cache())
        except newer_containerd.Unavailable as reason:
            return str(reason)
    return ""
