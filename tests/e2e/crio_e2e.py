"""A stand-in for CRI-O, whose way of calling a shim is its own: no containerd address, no events, no `delete`, a root file system
that is mounted already, a file in the bundle for what was killed for lack of memory."""

import os

import harness
from harness import IMAGE, Test, kata_only
from shim_driver import ShimDriver
from task_client import Task, process

RUNNING, STOPPED = 2, 3


@kata_only
class Crio(ShimDriver, Test):
    def setUp(self):
        super().setUp()
        self.rootfs = os.path.join(self.bundle, "rootfs")
        harness.LAB.ctr("image", "mount", "--rw", IMAGE, self.rootfs, check=True)

    def tearDown(self):
        harness.LAB.ctr("image", "unmount", "--rm", self.rootfs)
        super().tearDown()

    def test_life_of_a_container(self):
        self.make_bundle("sh", "-c", "echo hello; exec sleep 1000")
        with Task(self.start_shim(), timeout=60) as task:
            self.run_to_start(task)
            state = self.ok(task, "State", {1: self.name})
            self.assertEqual((state[4], state[6]), ([RUNNING], [("file://" + self.output).encode()]))
            self.ok(task, "Kill", {1: self.name, 3: 0})
            self.ok(task, "Exec", {1: self.name, 2: "e", 7: process("sh", "-c", "exit 5")})
            self.ok(task, "Start", {1: self.name, 2: "e"})
            self.assertEqual(self.ok(task, "Wait", {1: self.name, 2: "e"})[1], [5])
            self.ok(task, "Delete", {1: self.name, 2: "e"})
            self.ok(task, "Kill", {1: self.name, 3: 15})
            self.ok(task, "Wait", {1: self.name})
            self.assertEqual(self.ok(task, "State", {1: self.name})[4], [STOPPED])
            # Stopping what has stopped succeeds; asking whether it lives does not.
            for signal, wanted in ((9, "OK"), (15, "OK"), (0, "NOT_FOUND"), (1, "NOT_FOUND")):
                self.assertEqual(task.call("Kill", {1: self.name, 3: signal})[0], wanted, signal)
            self.assertFalse(os.path.exists(os.path.join(self.bundle, "oom")))
            self.end(task)
        with open(self.output, "rb") as file:
            self.assertEqual(file.read(), b"hello\n")

    def test_lack_of_memory_leaves_a_file_in_the_bundle(self):
        self.make_bundle("sh", "-c", "exec tail /dev/zero", memory=16 << 20)
        with Task(self.start_shim(), timeout=60) as task:
            self.run_to_start(task)
            self.assertEqual(self.ok(task, "Wait", {1: self.name})[1], [137])
            self.assertTrue(os.path.exists(os.path.join(self.bundle, "oom")))
            self.end(task)

    def test_failed_create_leaves_nothing(self):
        self.make_bundle("no-such-command")
        with Task(self.start_shim(), timeout=60) as task:
            code, message, _ = task.call("Create", self.create_fields())
            if code == "OK":
                code, message, _ = task.call("Start", {1: self.name})
                task.call("Delete", {1: self.name})
            self.assertIn("no-such-command", message)
            self.leave(task)
