#!/usr/bin/env python3
"""Tests the residue checker: plants one leftover of each kind, and the checker must name it; then cleans up what it planted."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import residue  # noqa: E402

MARK = f"kata-residue-test-{os.getpid()}"


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@contextlib.contextmanager
def process():
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "containerd-shim-kata-v2")
        shutil.copy("/bin/sleep", program)
        child = subprocess.Popen([program, "60"])
        try:
            yield f"pid {child.pid} "
        finally:
            child.kill()
            child.wait()


@contextlib.contextmanager
def zombie():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("kata-agent")
        os.write(write, b".")
        os._exit(0)
    os.read(read, 1)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped
    try:
        yield "(zombie)"
    finally:
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def mount():
    folder = tempfile.mkdtemp(prefix=MARK)
    run("mount", "-t", "tmpfs", MARK, folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        os.rmdir(folder)


@contextlib.contextmanager
def mount_elsewhere():
    """A mount in a mount namespace of another process, which no look at our own mount table shows."""
    child = subprocess.Popen(["unshare", "-m", "sh", "-c", f"mount -t tmpfs {MARK} /mnt && echo ready && exec sleep 60"],
                             stdout=subprocess.PIPE)
    child.stdout.readline()
    try:
        yield f"/mnt (tmpfs {MARK}"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


@contextlib.contextmanager
def netns():
    run("ip", "netns", "add", MARK)
    try:
        yield f"/run/netns/{MARK}"
    finally:
        run("ip", "netns", "del", MARK)


@contextlib.contextmanager
def link():
    run("ip", "link", "add", "kata-t-veth", "type", "veth", "peer", "name", "kata-t-peer")
    try:
        yield "kata-t-veth"
    finally:
        run("ip", "link", "del", "kata-t-veth")


@contextlib.contextmanager
def tap():
    run("ip", "tuntap", "add", "tap0_kata_t", "mode", "tap")
    try:
        yield "tap0_kata_t"
    finally:
        run("ip", "tuntap", "del", "tap0_kata_t", "mode", "tap")


@contextlib.contextmanager
def tap_in_netns():
    with netns():
        run("ip", "-n", MARK, "tuntap", "add", "tap0_kata_t", "mode", "tap")
        yield f"tap0_kata_t in /run/netns/{MARK}"


def cgroup(hierarchy):
    @contextlib.contextmanager
    def plant():
        folder = os.path.join(hierarchy, MARK)
        os.mkdir(folder)
        try:
            yield folder
        finally:
            os.rmdir(folder)
    return plant


@contextlib.contextmanager
def abstract_socket():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + MARK)
        listener.listen()
        yield "@" + MARK


@contextlib.contextmanager
def path_socket():
    with tempfile.TemporaryDirectory(prefix=MARK) as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "shim.sock"))
        listener.listen()
        yield os.path.join(folder, "shim.sock")


@contextlib.contextmanager
def loop_device():
    with tempfile.NamedTemporaryFile(prefix=MARK) as file:
        file.truncate(1 << 20)
        device = subprocess.run(["losetup", "--find", "--show", file.name], check=True, stdout=subprocess.PIPE,
                                text=True).stdout.strip()
        try:
            yield f"{device} on {file.name}"
        finally:
            run("losetup", "-d", device)


@contextlib.contextmanager
def file_of_ours():
    folder = os.path.join("/run/kata", MARK)
    os.makedirs(folder)
    try:
        yield folder
    finally:
        os.rmdir(folder)
        with contextlib.suppress(OSError):
            os.rmdir("/run/kata")


class PlantedLeftovers(unittest.TestCase):
    def check(self, kind, plant, scope="ours", match=None):
        before = residue.Picture(scope, match=match).to_json()
        with plant() as expected:
            after = residue.Picture(scope, match=match).to_json()
        found = [thing for found_kind, thing in residue.difference(before, after) if found_kind == kind and expected in thing]
        self.assertTrue(found, f"planted {kind} '{expected}' was not found")
        left = residue.compare_until_clean(before, lambda: residue.Picture(scope, match=match), 5)
        self.assertEqual([entry for entry in left if expected in entry[1]], [], "found although it is gone")

    def test_each_kind(self):
        if os.geteuid() != 0:
            self.skipTest("planting mounts, links and cgroups needs root")
        rows = [("process", process), ("process", zombie), ("mount", mount), ("mount", mount_elsewhere), ("netns", netns),
                ("link", link), ("tap", tap), ("tap", tap_in_netns), ("unix socket", abstract_socket),
                ("unix socket", path_socket), ("loop device", loop_device), ("file", file_of_ours)]
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            hierarchies = sorted({line.split()[4] for line in mounts if " - cgroup" in line})
        rows += [("cgroup", cgroup(hierarchy)) for hierarchy in hierarchies]
        for kind, plant in rows:
            with self.subTest(kind=kind, plant=plant.__name__):
                self.check(kind, plant)

    def test_scope_all_sees_foreign_process(self):
        @contextlib.contextmanager
        def foreign():
            child = subprocess.Popen(["sleep", "61"])
            try:
                yield f"pid {child.pid} "
            finally:
                child.kill()
                child.wait()
        self.check("process", foreign, scope="all")

    def test_match_narrows_to_the_given_name(self):
        before = residue.Picture(match="other-name").to_json()
        with abstract_socket():
            left = residue.difference(before, residue.Picture(match="other-name").to_json())
        self.assertEqual([entry for entry in left if MARK in entry[1]], [])
        self.check("unix socket", abstract_socket, match=MARK)

    def test_descriptor_growth(self):
        before = residue.Picture(containerd=os.getpid()).to_json()
        with open("/dev/zero", "rb"):
            after = residue.Picture(containerd=os.getpid()).to_json()
        self.assertIn(("descriptor", "/dev/zero number 1"), residue.difference(before, after))

    def test_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            before = residue.Picture(folders=[folder]).to_json()
            os.mkdir(os.path.join(folder, "left"))
            after = residue.Picture(folders=[folder]).to_json()
            self.assertIn(("file", os.path.join(folder, "left")), residue.difference(before, after))


class CommandLine(unittest.TestCase):
    def test_run_reports_and_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, residue.__file__, "run", "--folder", folder, "--match", MARK, "--wait", "0.2", "--"]
            clean = subprocess.run([*command, "true"], stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual((clean.returncode, clean.stderr), (0, ""))
            left = subprocess.run([*command, "touch", f"{folder}/x"], stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual((left.returncode, left.stderr), (1, f"residue: file: {folder}/x\n"))


if __name__ == "__main__":
    unittest.main()
