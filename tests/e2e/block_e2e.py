"""Disks of containers: block devices and image files as mounts and devices."""

import hashlib
import os
import subprocess

import harness
from harness import kata_only


class DiskFiles:
    """Image files and loop devices that a test may use; in front of the test's base class."""

    def setUp(self):
        super().setUp()
        self._loops = []

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            for loop in self._loops:
                subprocess.run(["losetup", "-d", loop], check=False)

    def image(self, name="disk.img", megabytes=16, filesystem="ext4", files=None):
        """A sparse image file with a file system that holds `files` (name: text)."""
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.truncate(megabytes << 20)
        if filesystem == "ext4":
            content = os.path.join(self.folder, name + ".content")
            os.mkdir(content)
            for file_name, text in (files or {}).items():
                with open(os.path.join(content, file_name), "w", encoding="ascii") as file:
                    file.write(text)
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", content, path], check=True)
        return path

    def loop(self, image, *flags):
        """A loop device over an image."""
        device = subprocess.run(["losetup", "--find", "--show", *flags, image], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        self._loops.append(device)
        return device

    def hash(self, path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Disks(DiskFiles, harness.Test):
    pass


@kata_only
class Volumes(Disks):
    def test_block_device_as_mount(self):
        """The guest mounts it with the file system that it has; what is written is on the disk afterwards."""
        image = self.image(files={"from-host": "hello\n"})
        loop = self.loop(image)
        result = self.expect_run("sh", "-c", "cat /data/from-host; echo there > /data/from-guest; grep ' /data ' /proc/mounts",
                                 flags=("--rm", "--mount", f"type=bind,src={loop},dst=/data,options=rbind:rw"))
        self.assertIn(b"hello\n", result.stdout)
        self.assertRegex(result.stdout, rb"/dev/vd[a-z] /data ext4 rw")
        debug = subprocess.run(["debugfs", "-R", "cat /from-guest", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(debug.stdout, b"there\n")

    def test_read_only_reaches_the_guest(self):
        """B5: the disk itself is read-only in the guest; a raw write fails and the node's file keeps its bytes."""
        image = self.image(files={"a": "b\n"})
        loop = self.loop(image)
        before = self.hash(image)
        result = self.expect_run(
            "sh", "-c", "cat /data/a; cat /sys/block/$(grep ' /data ' /proc/mounts | cut -d' ' -f1 | cut -d/ -f3)/ro; touch /data/x; "
            "mount -o remount,rw /data; true", flags=("--rm", "--privileged", "--mount", f"type=bind,src={loop},dst=/data,options=rbind:ro"))
        self.assertIn(b"b\n1\n", result.stdout)
        self.assertEqual(self.hash(image), before)

    def test_read_only_device_of_the_node(self):
        """A device that the node's kernel holds read-only is that in the guest, whatever the mount says."""
        image = self.image(files={"a": "b\n"})
        loop = self.loop(image, "--read-only")
        before = self.hash(image)
        self.expect_run("sh", "-c", "cat /data/a; touch /data/x 2>/dev/null && exit 3; exit 0",
                        flags=("--rm", "--mount", f"type=bind,src={loop},dst=/data,options=rbind:rw"))
        self.assertEqual(self.hash(image), before)

    def test_raw_block_device(self):
        """A device of the spec: the container reads and writes the disk itself."""
        image = self.image(filesystem=None, megabytes=2)
        with open(image, "r+b") as file:
            file.write(b"begin")
        loop = self.loop(image)
        result = self.expect_run("sh", "-c", f"head -c 5 {loop}; printf written | dd of={loop} bs=1 seek=4096 conv=notrunc,fsync 2>/dev/null",
                                 flags=("--rm", "--device", loop))
        self.assertEqual(result.stdout, b"begin")
        with open(image, "rb") as file:
            file.seek(4096)
            self.assertEqual(file.read(7), b"written")

    def test_device_below_dev(self):
        """A bind mount below /dev gives the container the disk, not its files."""
        image = self.image(files={"a": "b\n"})
        loop = self.loop(image)
        before = self.hash(image)
        result = self.expect_run("sh", "-c", "head -c 1082 /dev/data | tail -c 2 | od -An -tx1; echo x > /dev/data && exit 3; exit 0",
                                 flags=("--rm", "--mount", f"type=bind,src={loop},dst=/dev/data,options=rbind:ro"))
        self.assertEqual(result.stdout.split(), [b"53", b"ef"])
        self.assertEqual(self.hash(image), before)

    def test_image_file_as_mount(self):
        """Option loop: the file is the disk, no loop device is made on the node."""
        image = self.image(files={"a": "from a file\n"})
        devices = subprocess.run(["losetup", "-a"], stdout=subprocess.PIPE, check=True).stdout
        self.assertNotIn(image.encode(), devices)
        result = self.expect_run("cat", "/data/a", flags=("--rm", "--mount", f"type=ext4,src={image},dst=/data,options=loop"))
        self.assertEqual(result.stdout, b"from a file\n")

    def test_two_disks(self):
        first, second = self.image("one.img", files={"n": "1\n"}), self.image("two.img", files={"n": "2\n"})
        result = self.expect_run("cat", "/one/n", "/two/n", flags=(
            "--rm", "--mount", f"type=bind,src={self.loop(second)},dst=/two,options=rbind", "--mount",
            f"type=ext4,src={first},dst=/one,options=loop:ro"))
        self.assertEqual(result.stdout, b"1\n2\n")


@kata_only
class Snapshotters(Disks):
    """Root file systems on disks, as containerd 2.3 hands them over."""

    def setUp(self):
        if not harness.LAB.disks:
            self.skipTest("only containerd 2.3 has these snapshotters: --containerd 2.3")
        super().setUp()

    def erofs(self):
        if harness.LAB.disks.erofs:
            self.skipTest(harness.LAB.disks.erofs)
        return ("--rm", "--snapshotter", "erofs")

    def test_blockfile(self):
        result = self.expect_run("sh", "-c", "grep ' / ' /proc/mounts; cat /layers/*; touch /etc/new && ls /etc/new",
                                 flags=("--rm", "--snapshotter", "blockfile"))
        self.assertRegex(result.stdout, rb"/dev/vd[a-z] / ext4 rw")
        self.assertIn(b"second\nthird\n/etc/new\n", result.stdout)

    def test_erofs_layers(self):
        """Three layers are three partitions of one disk; order and whiteouts are right; the writable layer is a second disk."""
        result = self.expect_run("sh", "-c", "grep ' / ' /proc/mounts; cat /layers/*; ls /layers; echo x > /layers/kept && cat /layers/kept; "
                                 "ls /sys/block | grep -c vd; ls /sys/block/vd*/ | grep -c 'vd[ab][0-9]'", flags=self.erofs())
        lines = result.stdout.decode().splitlines()
        self.assertRegex(lines[0], r"overlay / overlay rw")
        self.assertEqual(lines[1:], ["second", "third", "kept", "replaced", "x", "2", "3"])

    def test_layers_arrive_as_they_are(self):
        """The sha256 of each guest partition is that of its layer file."""
        result = self.expect_run(
            "sh", "-c", "for p in /sys/block/vd*/vd*[0-9]; do n=$(basename $p); mknod /tmp/$n b $(tr ':' ' ' < $p/dev); "
            "echo $(sha256sum < /tmp/$n) $(cat $p/size); done", flags=("--privileged", *self.erofs()))
        layers = {}
        root = os.path.join(harness.LAB.folder, "root/io.containerd.snapshotter.v1.erofs/snapshots")
        for number in os.listdir(root):
            path = os.path.join(root, number, "layer.erofs")
            if os.path.exists(path):
                layers[self.hash(path)] = os.path.getsize(path)
        found = [line.split() for line in result.stdout.decode().splitlines()]
        self.assertEqual(len(found), 3)
        for digest, _, sectors in found:
            self.assertEqual(layers.get(digest), int(sectors) * 512)


if __name__ == "__main__":
    harness.unittest.main()
