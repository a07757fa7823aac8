"""Hooks of the OCI spec that the node runs: real scripts, at their points in a container's life."""

import json
import os
import shutil
import subprocess

import harness
from harness import Test, kata_only


@kata_only
class Hooks(Test):
    """`self.log` gets a line of each hook: its name, the state that it read, and what `then` prints."""

    def setUp(self):
        super().setUp()
        self.log = os.path.join(self.folder, "log")
        self.script = os.path.join(self.folder, "hook")
        with open(self.script, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\nstate=$(cat)\necho "$NAME $state" >> "$LOG"\neval "$THEN"\n')
        os.chmod(self.script, 0o755)
        self.rootfs = os.path.join(self.folder, "rootfs")
        for name in ("bin", "dev", "proc", "sys", "etc", "run"):
            os.makedirs(os.path.join(self.rootfs, name))
        shutil.copy(shutil.which("busybox"), os.path.join(self.rootfs, "bin/busybox"))
        for name in ("sh", "ip", "ping", "sleep", "cat"):
            os.symlink("busybox", os.path.join(self.rootfs, "bin", name))

    def hook(self, name, then="", **more):
        environment = [f"NAME={name}", f"LOG={self.log}", f"THEN={then}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return {"path": self.script, "args": ["hook"], "env": environment, **more}

    def spec(self, command, **hooks):
        """The words of `ctr run` for a spec with these hooks."""
        spec = json.loads(harness.LAB.ctr("oci", "spec", check=True).stdout)
        spec["root"] = {"path": self.rootfs}
        spec["process"].update(args=["sh", "-c", command], cwd="/", env=["PATH=/bin"], terminal=False)
        spec["annotations"] = {"mark": "of the test"}
        spec["hooks"] = hooks
        path = os.path.join(self.folder, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(spec, file)
        words = ["run", "--runtime", harness.OPTIONS.runtime, "--config", path]
        if harness.OPTIONS.runtime == harness.KATA:
            words += ["--runtime-config-path", self.config()]
        return words

    def run_spec(self, command, **hooks):
        words = self.spec(command, **hooks)
        return harness.own_words(harness.LAB.ctr(*words, "--rm", self.name, timeout=60))

    def logged(self):
        """[(name, state)] in the order of their running; other lines as (line, None)."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            parts = [line.rstrip("\n").partition(" {") for line in file]
        return [(name, json.loads("{" + state) if state else None) for name, _, state in parts]

    def names(self):
        return [name for name, _ in self.logged()]

    def test_each_at_its_point_with_the_state(self):
        result = self.run_spec("echo out", prestart=[self.hook("prestart")],
                               createRuntime=[self.hook("first", then=f"ls {self.rootfs}/bin/sh >> {self.log}"), self.hook("second")],
                               poststart=[self.hook("poststart", then="exit 1")], poststop=[self.hook("poststop", then="exit 1"), self.hook("last")])
        self.assertEqual((result.returncode, result.stdout), (0, b"out\n"), result.stderr)
        self.assertEqual(self.names(), ["prestart", "first", self.rootfs + "/bin/sh", "second", "poststart", "poststop", "last"])
        states = dict(self.logged())
        for name, status in (("prestart", "creating"), ("second", "creating"), ("poststart", "running"), ("last", "stopped")):
            state = states[name]
            self.assertEqual((state["id"], state["status"]), (self.name, status))
            self.assertTrue(state["bundle"].endswith("/" + self.name), state)
            self.assertEqual(state["annotations"]["mark"], "of the test")
            self.assertEqual(state.get("pid", 0) > 0, status != "stopped")

    def test_failure_of_an_early_one(self):
        bad = self.hook("bad", then="echo not here >&2; exit 3")
        for kind in ("prestart", "createRuntime"):
            with self.subTest(kind):
                result = self.run_spec("echo out", **{kind: [bad], "poststop": [self.hook("poststop")]})
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stdout, b"")
                self.assertRegex(result.stderr.decode(), f"{kind} hook #0 {self.script}: exit code 3: not here")
                self.assertEqual(self.names(), ["bad", "poststop"])
                os.unlink(self.log)
        self.assert_usable()

    def test_hook_fills_the_new_network_namespace(self):
        link = f"h{os.getpid() % 100000}"
        then = (f'pid=$(echo "$state" | grep -o "\\"pid\\":[0-9]*" | cut -d: -f2); ip link add {link} type veth peer name eth0 netns $pid && '
                f"ip addr add 10.79.1.1/24 dev {link} && ip link set {link} up && "
                "nsenter -t $pid -n sh -c 'ip addr add 10.79.1.2/24 dev eth0; ip link set eth0 up'")
        try:
            result = self.run_spec("ip -o -4 addr show eth0; ping -c1 -W5 10.79.1.1", createRuntime=[self.hook("network", then=then)])
            self.assertIn(b"10.79.1.2/24", result.stdout, result.stderr)
            self.assertIn(b" 0% packet loss", result.stdout)
        finally:
            subprocess.run(["ip", "link", "del", link], stderr=subprocess.DEVNULL, check=False)

    def test_poststop_when_the_shim_was_killed(self):
        words = self.spec("sleep 1000", poststop=[self.hook("poststop")])
        result = harness.LAB.ctr(*words, "-d", self.name, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.ctr_leaves_fifos = True
        harness.kill_nine(harness.processes_of(self.name)["containerd-shim-kata-v2"])
        self.wait_until(lambda: self.names() == ["poststop"], "the hook was run by the clean-up")


@kata_only
class SandboxMounts(Test):
    """Folders of the node that every guest shows (sandbox_bind_mounts), seen by a hook of the guest that lies in one of them."""

    IN_GUEST = "/run/kata-containers/shared/containers/passthrough/sandbox-mounts"

    def place(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path)
        return path

    def test_a_guest_hook_in_one_writes_into_the_other(self):
        hooks, seen = self.place("hooks/prestart"), self.place("seen")
        shutil.copy(shutil.which("busybox"), os.path.dirname(hooks))
        script = os.path.join(hooks, "look")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"#!{self.IN_GUEST}/hooks/busybox sh\necho once >> {self.IN_GUEST}/seen/log\n"
                       f"echo x > {self.IN_GUEST}/hooks/new || echo refused >> {self.IN_GUEST}/seen/log\n")
        os.chmod(script, 0o755)
        config = self.config(("runtime", "sandbox_bind_mounts", [os.path.dirname(hooks), seen + ":rw"]),
                             ("hypervisor.qemu", "guest_hook_path", self.IN_GUEST + "/hooks"))
        self.expect_run("true", config=config)
        with open(os.path.join(seen, "log"), encoding="ascii") as file:
            self.assertEqual(file.read(), "once\nrefused\n")
        self.assertEqual(sorted(os.listdir(os.path.dirname(hooks))), ["busybox", "prestart"])

    def test_source_missing(self):
        missing = os.path.join(self.folder, "missing")
        result = self.run_container("true", config=self.config(("runtime", "sandbox_bind_mounts", [missing + ":ro"])))
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), f"sandbox_bind_mounts.*{missing}")
