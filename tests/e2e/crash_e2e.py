"""Processes of a pod that die, and a guest that dies: containerd sees the exit within two seconds, and nothing stays."""

import os
import socket
import stat
import subprocess
import time

import harness
from harness import Test, command_lines, kata_only, kill_nine, processes_of

EXIT_SECONDS = 2.0


@kata_only
class Crash(Test):
    def start(self, flags=()):
        child = self.start_foreground("sh", "-c", "echo ready; exec sleep 1000", flags=flags)
        return child, processes_of(self.name)

    def assert_exit_seen(self, child, limit=EXIT_SECONDS):
        """`ctr run` ends with an error status, the task and the container can be removed, the id can be used again."""
        status, _, _, seconds = self.finish(child, 20)
        self.assertNotEqual(status, 0)
        # ctr itself needs some time, and the machine is shared
        self.assertLess(seconds, limit + 0.5, "containerd saw the exit late")
        harness.LAB.ctr("task", "rm", "-f", self.name)
        listed = harness.LAB.ctr("task", "ls", "-q").stdout.decode().split()
        self.assertNotIn(self.name, listed, "ctr task rm did not work")
        result = harness.LAB.ctr("container", "rm", self.name)
        self.assertEqual(result.returncode, 0, result.stderr)
        # ctr ends as soon as its connection breaks; containerd's own clean-up ("shim delete") may still be at it
        deadline = time.monotonic() + 5
        while (left := processes_of(self.name)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(left, {}, command_lines(left))
        self.assertEqual(self.expect_run("echo", "again").stdout, b"again\n")

    def kill_and_check(self, *programs):
        child, processes = self.start()
        pids = [pid for program, found in processes.items() if program.startswith(programs) for pid in found]
        self.ctr_leaves_fifos = "containerd-shim-kata-v2" in programs
        self.assertTrue(pids, f"no process {programs} among {processes}")
        kill_nine(pids)
        self.assert_exit_seen(child)

    def test_qemu_killed(self):
        self.kill_and_check("qemu-system")

    def test_virtiofsd_killed(self):
        self.kill_and_check("virtiofsd")

    def test_vsock_device_killed(self):
        if os.path.exists("/dev/vhost-vsock"):
            self.skipTest("this machine has vhost-vsock, no vsock device process is used")
        self.kill_and_check("kata-vsock-device")

    def test_shim_killed(self):
        self.kill_and_check("containerd-shim-kata-v2")

    def test_shim_and_qemu_killed(self):
        self.kill_and_check("containerd-shim-kata-v2", "qemu-system")

    def test_everything_killed(self):
        self.kill_and_check("containerd-shim-kata-v2", "qemu-system", "virtiofsd", "kata-vsock-device")

    def test_guest_panic(self):
        # The client of the exec is ended by the harness and then cannot remove the fifos it made.
        self.ctr_leaves_fifos = True
        child, _ = self.start(flags=("--privileged",))
        self.popen("task", "exec", "--exec-id", "crash", self.name, "sh", "-c", "echo c > /proc/sysrq-trigger", stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assert_exit_seen(child, EXIT_SECONDS + 1)

    def test_agent_cannot_be_killed_from_inside(self):
        child, _ = self.start(flags=("--privileged",))
        self.exec("sh", "-c", "kill -9 1; kill -9 -1; true")
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name)
        self.finish(child, 20)

    def test_containerd_restart_is_survived(self):
        self.start_detached("sleep", "1000")
        harness.LAB.restart()
        self.wait_status("RUNNING")
        self.assertEqual(self.exec("echo", "here").stdout, b"here\n")


@kata_only
class ShimSocket(Test):
    def shim_socket(self):
        """The listening socket of this test's shim, found by its inode."""
        pids = [pid for program, found in processes_of(self.name).items() if program.startswith("containerd-shim") for pid in found]
        inodes = set()
        for pid in pids:
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{name}")
                except OSError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        with open("/proc/net/unix", encoding="utf-8") as file:
            for line in file:
                fields = line.split()
                if len(fields) == 8 and fields[6] in inodes and fields[3] == "00010000" and "containerd/s" in fields[7]:
                    return fields[7]
        self.fail(f"no listening socket of shim {pids}")

    def test_garbage_on_the_socket(self):
        self.start_detached("sleep", "1000")
        path = self.shim_socket()
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, "others may connect to the shim")
        rows = [
            ("nothing", b""), ("text", b"GET / HTTP/1.1\r\n\r\n"), ("half a header", b"\0\0\0"), ("random", os.urandom(5000)),
            ("oversize length", b"\xff\xff\xff\xff\0\0\0\x01\x01\0" + b"x" * 100),
            ("length without body", b"\0\0\x10\0\0\0\0\x01\x01\0abc"), ("stream 0", b"\0\0\0\0\0\0\0\0\x01\0"),
            ("unknown type", b"\0\0\0\x02\0\0\0\x01\x77\0ab"), ("not protobuf", b"\0\0\0\x04\0\0\0\x01\x01\0\xff\xff\xff\xff"),
            ("many empty frames", b"\0\0\0\0\0\0\0\x01\x01\0" * 5000),
        ]
        for name, data in rows:
            with self.subTest(name), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(path)
                try:
                    client.sendall(data)
                except (BrokenPipeError, ConnectionResetError, socket.timeout):
                    pass  # closed on us: an answer too
        silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for client in silent:
            client.connect(path)
        self.assertEqual(self.exec("echo", "healthy").stdout, b"healthy\n")
        for client in silent:
            client.close()
        started = time.monotonic()
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status("STOPPED")
        self.assertLess(time.monotonic() - started, 5)
