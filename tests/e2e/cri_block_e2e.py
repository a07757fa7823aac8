"""Disks of pods: plugged into the running VM and taken out again, on PCI and beyond its places on SCSI."""

import os
import re
import subprocess

import block_e2e
import cri_harness
import harness
from cri_harness import Pod, tearDownModule  # noqa: F401  (unittest looks for the module's two)


def setUpModule():
    if harness.OPTIONS.runtime != harness.KATA:
        raise cri_harness.unittest.SkipTest("only a VM has disks")
    cri_harness.set_up()


class PodDisks(block_e2e.DiskFiles, cri_harness.Test):
    def disk(self, number, text):
        return self.loop(self.image(f"disk{number}.img", files={"n": text}))

    def mount(self, number, text, readonly=False):
        return {"containerPath": f"/data{number}", "hostPath": self.disk(number, text), "readonly": readonly}

    def disks_of(self, container):
        return re.findall(r"\b(?:vd|sd)[a-z]\b", container.shell("ls /sys/block"))

    def test_disks_come_and_go(self):
        """A first disk has a PCI place of its own, those that follow share a SCSI controller; the VM loses all of them again."""
        pod = Pod(self)
        first = pod.sleeper(name="first")
        self.assertEqual(self.disks_of(first), [])
        mounts = [self.mount(number, f"text {number}") for number in range(3)]
        second = pod.sleeper(name="second", mounts=mounts)
        self.assertEqual(second.shell("cat /data*/n"), "text 0text 1text 2")
        second.shell("echo written > /data0/new && sync")
        self.assertEqual(self.disks_of(first), ["sda", "sdb", "vda"])
        second.stop()
        second.remove()
        self.eventually(lambda: not self.disks_of(first), "no disk left in the guest")
        shown = subprocess.run(["debugfs", "-R", "cat /new", os.path.join(self.folder, "disk0.img")], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(shown.stdout, b"written\n")
        third = pod.sleeper(name="third", mounts=mounts[:1])
        self.assertEqual(third.shell("cat /data0/new"), "written\n")

    def test_one_disk_of_two_containers(self):
        """One disk in the guest, whatever it is called and whoever has it; it goes with the last of them."""
        pod = Pod(self)
        mount = self.mount(0, "shared")
        first, second = pod.sleeper(name="first", mounts=[mount]), pod.sleeper(name="second", mounts=[mount])
        first.shell("echo both > /data0/seen")
        self.assertEqual(second.shell("cat /data0/seen"), "both\n")
        self.assertEqual(self.disks_of(first), ["vda"])
        first.stop()
        first.remove()
        self.assertEqual(second.shell("cat /data0/seen"), "both\n")

    def test_raw_device_read_only(self):
        """volumeDevices: the rules of the device reach the guest's disk (B5)."""
        pod = Pod(self)
        path = self.image("raw.img", filesystem=None, megabytes=1)
        before = self.hash(path)
        devices = [{"containerPath": "/dev/xvda", "hostPath": self.loop(path), "permissions": "r"}]
        container = pod.sleeper(name="raw", devices=devices)
        self.assertEqual(container.shell("head -c 4 /dev/xvda | od -An -tx1").split(), ["00"] * 4)
        self.assertEqual(container.shell("echo x 2>/dev/null > /dev/xvda && echo wrote || echo refused").strip(), "refused")
        self.assertEqual(self.hash(path), before)

    def test_in_use_by_another_pod(self):
        """A second writer is refused by name, before anything is attached."""
        pod, other = Pod(self, "one"), Pod(self, "two")
        mount = self.mount(0, "mine")
        first = pod.sleeper(name="first", mounts=[mount])
        with self.assertRaisesRegex(Exception, "in use by another sandbox"):
            other.sleeper(name="second", mounts=[mount])
        watcher = other.sleeper(name="third")
        self.assertEqual(self.disks_of(watcher), [])
        self.assertEqual(first.shell("cat /data0/n"), "mine")
