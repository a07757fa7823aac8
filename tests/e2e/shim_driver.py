"""A shim driven by the test itself, in place of containerd: what no snapshotter and no client of containerd hands over."""

import json
import os
import subprocess

import harness
from harness import paths
from task_client import any_of, encode


class ShimDriver:
    """In front of the test's base class; `self.bundle` is the bundle."""

    def setUp(self):
        super().setUp()
        self.bundle = os.path.join(self.folder, "bundle")
        self.output = os.path.join(self.folder, "output")
        os.makedirs(os.path.join(self.bundle, "rootfs"))
        self.addCleanup(subprocess.run, ["rm", "-rf", self.bundle], check=False)

    def make_bundle(self, *command, root=None, memory=None):
        spec = json.loads(harness.LAB.ctr("oci", "spec", check=True).stdout)
        spec["root"] = {"path": "rootfs"} if root is None else root
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

    def create_fields(self, *mounts):
        """`mounts`: (type, source, options) of the root file system, as a snapshotter hands them over."""
        options = any_of("runtimeoptions.v1.Options", encode({2: self.config()}))
        return {1: self.name, 2: self.bundle, 3: [encode({1: kind, 2: source, 4: list(words)}) for kind, source, words in mounts],
                6: "file://" + self.output, 10: options}

    def run_to_start(self, task, *mounts):
        self.ok(task, "Create", self.create_fields(*mounts))
        self.ok(task, "Start", {1: self.name})

    def ok(self, task, method, fields):
        code, message, answer = task.call(method, fields)
        self.assertEqual(code, "OK", f"{method}: {message}")
        return answer

    def end(self, task):
        self.ok(task, "Delete", {1: self.name})
        self.leave(task)

    def leave(self, task):
        task.send("Shutdown", {1: self.name})
        with self.assertRaises(ConnectionError):
            while True:
                task.receive()
