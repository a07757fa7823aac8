"""A stand-in for CRI-O, whose way of calling a shim is its own: no containerd address, no events, no `delete`, a root file system
that is mounted already, a file in the bundle for what was killed for lack of memory."""

import json
import os
import subprocess

import harness
from harness import IMAGE, Test, kata_only, paths
from task_client import Task, any_of, encode, process

RUNNING, STOPPED = 2, 3


@kata_only
class Crio(Test):
    def setUp(self):
        super().setUp()
        self.bundle = os.path.join(self.folder, "bundle")
        self.rootfs = os.path.join(self.bundle, "rootfs")
        os.makedirs(self.rootfs)
        harness.LAB.ctr("image", "mount", "--rw", IMAGE, self.rootfs, check=True)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.bundle], check=False)

    def tearDown(self):
        harness.LAB.ctr("image", "unmount", "--rm", self.rootfs)
        super().tearDown()

    def make_bundle(self, *command, memory=None):
        spec = json.loads(harness.LAB.ctr("oci", "spec", check=True).stdout)
        spec["root"] = {"path": self.rootfs}
        spec["process"].update(args=list(command), terminal=False, env=["PATH=/bin"])
        spec["linux"]["cgroupsPath"] = f"/kata-lab/{self.name}"
        if memory:
            spec["linux"].setdefault("resources", {})["memory"] = {"limit": memory, "swap": memory}
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(spec, file)

    def start_shim(self):
        """Returns the address that the shim prints; its standard error must stay empty."""
        environment = {"PATH": os.environ["PATH"], "TTRPC_ADDRESS": "", "GRPC_ADDRESS": ""}
        command = [os.path.join(paths.binaries(), "containerd-shim-kata-v2"), "-namespace", "default", "-address", "", "-publish-binary",
                   "crio", "-id", self.name, "start"]
        result = subprocess.run(command, cwd=self.bundle, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                                check=False)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        with open(os.path.join(self.bundle, "address"), encoding="utf-8") as file:
            self.assertEqual(file.read(), result.stdout.decode())
        return result.stdout.decode()

    def run_to_start(self, task):
        self.output = os.path.join(self.folder, "output")
        options = any_of("runtimeoptions.v1.Options", encode({2: self.config()}))
        create = {1: self.name, 2: self.bundle, 6: "file://" + self.output, 10: options}
        self.ok(task, "Create", create)
        self.ok(task, "Start", {1: self.name})

    def ok(self, task, method, fields):
        code, message, answer = task.call(method, fields)
        self.assertEqual(code, "OK", f"{method}: {message}")
        return answer

    def end(self, task):
        self.ok(task, "Delete", {1: self.name})
        task.send("Shutdown", {1: self.name})
        with self.assertRaises(ConnectionError):
            while True:
                task.receive()

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
            options = any_of("runtimeoptions.v1.Options", encode({2: self.config()}))
            code, message, _ = task.call("Create", {1: self.name, 2: self.bundle, 10: options})
            if code == "OK":
                code, message, _ = task.call("Start", {1: self.name})
                task.call("Delete", {1: self.name})
            self.assertIn("no-such-command", message)
            task.send("Shutdown", {1: self.name})
            with self.assertRaises(ConnectionError):
                while True:
                    task.receive()
