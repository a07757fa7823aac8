"""The runtime called as containerd calls it, with bundles that containerd would not make."""

import json
import os
import subprocess

import harness
from harness import Test, kata_only, paths
from task_client import Task

SHIM = "containerd-shim-kata-v2"


@kata_only
class Bundle(Test):
    SPEC = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["true"], "cwd": "/"}, "linux": {}}

    def setUp(self):
        super().setUp()
        self.bundle = os.path.join(self.folder, self.name)
        os.makedirs(os.path.join(self.bundle, "rootfs"))
        self.spec = os.path.join(self.bundle, "config.json")
        self.write(json.dumps(self.SPEC))

    def write(self, text):
        with open(self.spec, "w", encoding="utf-8") as file:
            file.write(text)

    def shim(self, *words):
        command = [os.path.join(paths.binaries(), SHIM), "-namespace", harness.containerd.NAMESPACE, "-address", harness.LAB.address,
                   "-publish-binary", "/bin/true", "-id", self.name, *words]
        return subprocess.run(command, cwd=self.bundle, env=harness.LAB.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)

    def start(self):
        """Returns the client of the shim that serves now."""
        result = self.shim("start")
        self.assertEqual(result.returncode, 0, result.stderr)
        return Task(result.stdout.decode().strip())

    def create_refused(self, pattern):
        with self.start() as shim:
            try:
                self.break_it()
                code, message, _ = shim.call("Create", {1: self.name, 2: self.bundle})
                self.assertNotEqual(code, "OK")
                self.assertRegex(message, pattern)
                # Refused, and as usable as before.
                self.assertEqual(shim.call("State", {1: self.name})[0], "NOT_FOUND")
            finally:
                self.assertEqual(shim.call("Shutdown", {1: self.name, 2: 1})[0], "OK")
        self.shim("delete")

    def test_spec_missing_at_create(self):
        self.break_it = lambda: os.unlink(self.spec)
        self.create_refused(r"config\.json")

    def test_spec_broken_at_create(self):
        for text in ("", "{", '{"process": 7}', "[" * 100000, '{"root":{"path":"rootfs"},"process":{"args":"true"}}'):
            with self.subTest(text[:30]):
                self.write(json.dumps(self.SPEC))
                self.break_it = lambda text=text: self.write(text)
                self.create_refused(r"config\.json")

    def test_spec_broken_at_start(self):
        # A missing one is none of the start's business: a sandbox of the sandbox API has none.
        for text in ("", "{", "[" * 100000):
            with self.subTest(text[:30]):
                self.write(text)
                result = self.shim("start")
                self.assertNotEqual(result.returncode, 0, result.stdout)
                self.assertIn(b"config.json", result.stderr)
