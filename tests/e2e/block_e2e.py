"""Disks of containers: block devices and image files as mounts and devices."""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

import harness
from harness import REPO, kata_only
from kata_node import image
from shim_driver import ShimDriver
from task_client import Task

sys.path.insert(0, os.path.join(REPO, "image"))
from kata_image import cpio, erofs, verity  # noqa: E402  (the path is set just above)

DIRECT_VOLUMES = "/run/kata-containers/shared/direct-volumes"


class DiskFiles:
    """Image files and loop devices that a test may use; in front of the test's base class."""

    def setUp(self):
        super().setUp()
        self._loops, self._folders = [], []

    def release(self):
        super().release()
        for loop in self._loops:
            subprocess.run(["losetup", "-d", loop], check=False)
        for folder in self._folders:
            subprocess.run(["rm", "-rf", folder], check=False)
        for parent in (DIRECT_VOLUMES, os.path.dirname(DIRECT_VOLUMES)) if self._folders else ():
            with contextlib.suppress(OSError):
                os.rmdir(parent)

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

    def direct_volume(self, source, text):
        """What a CSI driver leaves for the volume of that name."""
        folder = os.path.join(DIRECT_VOLUMES, base64.urlsafe_b64encode(source.encode()).decode())
        os.makedirs(folder)
        self._folders.append(folder)
        with open(os.path.join(folder, "mountInfo.json"), "w", encoding="ascii") as file:
            file.write(text)
        return folder

    def test_direct_volume(self):
        source = os.path.join(self.folder, "volume?")
        info = {"volume-type": "directvol", "device": self.loop(self.image(files={"a": "direct\n"})), "fstype": "ext4", "options": ["noatime"],
                "metadata": {"fsGroup": "1234"}}
        folder = self.direct_volume(source, json.dumps(info))
        self.start_detached("sleep", "1000", flags=("--mount", f"type=bind,src={source},dst=/data,options=rbind"))
        self.assertEqual(sorted(os.listdir(folder)), sorted([self.name, "mountInfo.json"]), "which sandbox serves it")
        result = self.exec("sh", "-c", "cat /data/a; grep ' /data ' /proc/mounts; stat -c %g /data/a")
        self.assertIn(b"direct\n", result.stdout)
        self.assertRegex(result.stdout, rb"/dev/vd[a-z] /data ext4 rw,noatime")
        self.assertIn(b"\n1234\n", result.stdout)
        harness.LAB.ctr("task", "rm", "-f", self.name, check=True)
        harness.LAB.ctr("container", "rm", self.name, check=True)
        self.assertEqual(os.listdir(folder), ["mountInfo.json"])

    def test_direct_volume_grows(self):
        """Resize by the management socket: the disk grows in the running VM and the file system into it; before the node's disk has grown
        it is refused."""
        image = self.image(megabytes=16)
        loop = self.loop(image)
        source = os.path.join(self.folder, "volume")
        self.direct_volume(source, json.dumps({"volume-type": "directvol", "device": loop, "fstype": "ext4", "options": [], "metadata": {}}))
        self.start_detached("sleep", "1000", flags=("--mount", f"type=bind,src={source},dst=/data,options=rbind"))

        def megabytes():
            """What the container's df says, and what the management socket does."""
            status, text = self.ask_shim("GET", "/direct-volume/stats?path=" + urllib.parse.quote(source, safe=""))
            self.assertEqual(status, 200, text)
            total = json.loads(text)["usage"][0]["total"]
            shown = int(self.exec("sh", "-c", "df -k /data | tail -n1").stdout.split()[1])
            self.assertEqual(shown, total // 1024)
            return total >> 20

        def resize(size):
            return self.ask_shim("POST", "/direct-volume/resize", json.dumps({"volume_guest_path": source, "size": size << 20}))

        self.assertLess(megabytes(), 16)
        status, text = resize(64)
        self.assertEqual(status, 409, text)
        self.assertRegex(text, f"disk {loop} has 16777216 bytes, less than the 67108864 asked for: grow it first")
        os.truncate(image, 64 << 20)
        subprocess.run(["losetup", "-c", loop], check=True)
        status, text = resize(64)
        self.assertEqual(status, 200, text)
        self.assertGreater(megabytes(), 48)
        self.assertEqual(resize(32)[0], 200, "it is that large already")
        self.assertGreater(megabytes(), 48)

    def test_empty_dir_as_disk(self):
        folder = os.path.join(self.folder, "volumes/kubernetes.io~empty-dir/cache")
        os.makedirs(folder)
        result = self.expect_run("sh", "-c", "echo x > /cache/y && grep ' /cache ' /proc/mounts", config=self.config(
            ("runtime", "emptydir_mode", "block-plain")), flags=("--rm", "--mount", f"type=bind,src={folder},dst=/cache,options=rbind"))
        self.assertRegex(result.stdout, rb"/dev/vd[a-z] /cache ext4 rw")
        self.assertEqual(os.listdir(folder), [])

    def refused(self, words, *flags, **options):
        """The container is refused with these words, and nothing is left attached."""
        loops = subprocess.run(["losetup", "-a"], stdout=subprocess.PIPE, check=True).stdout
        result = self.run_container("true", flags=("--rm", *flags), **options)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(words, result.stderr.decode())
        self.assertEqual(subprocess.run(["losetup", "-a"], stdout=subprocess.PIPE, check=True).stdout, loops)

    def test_bad_disks(self):
        small = self.image("small.img", megabytes=8)
        os.truncate(small, 4 << 20)
        blank = self.image("blank.img", filesystem=None)
        torn = os.path.join(self.folder, "torn")
        self.direct_volume(torn, '{"volume-type": "directvol", ')
        served = os.path.join(self.folder, "served")
        self.direct_volume(served, '{"volume-type": "spdkvol", "device": "/tmp/s", "fstype": "ext4"}')
        used = self.image("used.img")
        holder = open(used, "rb")  # as another sandbox's VM
        self.addCleanup(holder.close)
        fcntl.flock(holder, fcntl.LOCK_SH)
        for name, words, mount in (
                ("in use elsewhere", f"disk {used} is in use by another sandbox", f"type=ext4,src={used},dst=/data,options=loop"),
                ("a folder", f"disk {self.folder} is a folder", f"type=ext4,src={self.folder},dst=/data,options=loop"),
                ("missing", "no-such.img", f"type=ext4,src={self.folder}/no-such.img,dst=/data,options=loop"),
                ("smaller than its file system", "its ext4 file system", f"type=bind,src={self.loop(small)},dst=/data,options=rbind"),
                ("no file system", "no known file system", f"type=bind,src={self.loop(blank)},dst=/data,options=rbind"),
                ("another file system", "has no xfs file system but ext4", f"type=xfs,src={self.image('e.img')},dst=/data,options=loop"),
                ("broken description", "no JSON object", f"type=bind,src={torn},dst=/data,options=rbind"),
                ("kind that is not supported", "spdkvol is not supported", f"type=bind,src={served},dst=/data,options=rbind")):
            with self.subTest(name):
                self.refused(words, "--mount", mount)

    def test_switched_off(self):
        loop = self.loop(self.image())
        self.refused("disable_block_device_use", "--mount", f"type=bind,src={loop},dst=/data,options=rbind",
                     config=self.config(("hypervisor.qemu", "disable_block_device_use", True)))

    def test_sector_size_and_limits(self):
        """B7 and the rate limits: what the configuration says of disks is what the guest and QEMU have."""
        loop = self.loop(self.image(megabytes=8))
        config = self.config(("hypervisor.qemu", "block_device_logical_sector_size", 4096),
                             ("hypervisor.qemu", "block_device_physical_sector_size", 4096),
                             ("hypervisor.qemu", "disk_rate_limiter_bw_max_rate", 1 << 20), ("hypervisor.qemu", "num_queues", 2),
                             ("hypervisor.qemu", "enable_iothreads", True), ("hypervisor.qemu", "indep_iothreads", 2))
        script = (f"cd /sys/block/vda/queue && cat logical_block_size physical_block_size && ls ../mq | wc -l && cut -d' ' -f1 /proc/uptime && "
                  f"dd if={loop} of=/dev/null bs=1M count=4 2>/dev/null && cut -d' ' -f1 /proc/uptime")
        result = self.expect_run("sh", "-c", script, flags=("--rm", "--device", loop), config=config)
        lines = result.stdout.split()
        self.assertEqual(lines[:3], [b"4096", b"4096", b"1"])
        seconds = float(lines[4]) - float(lines[3])
        self.assertGreater(seconds, 1.5, "4 MiB at 1 MiB a second")

    def test_virtio_scsi(self):
        loop = self.loop(self.image(files={"a": "scsi\n"}))
        config = self.config(("hypervisor.qemu", "block_device_driver", "virtio-scsi"), ("hypervisor.qemu", "enable_iothreads", True))
        result = self.expect_run("sh", "-c", "cat /data/a; grep ' /data ' /proc/mounts", config=config,
                                 flags=("--rm", "--mount", f"type=bind,src={loop},dst=/data,options=rbind"))
        self.assertRegex(result.stdout, rb"scsi\n/dev/sda /data ext4")

    def test_two_disks(self):
        first, second = self.image("one.img", files={"n": "1\n"}), self.image("two.img", files={"n": "2\n"})
        result = self.expect_run("cat", "/one/n", "/two/n", flags=(
            "--rm", "--mount", f"type=bind,src={self.loop(second)},dst=/two,options=rbind", "--mount",
            f"type=ext4,src={first},dst=/one,options=loop:ro"))
        self.assertEqual(result.stdout, b"1\n2\n")


@kata_only
class Rootfs(ShimDriver, Disks):
    """Root file systems by block that the snapshotters here do not hand over."""

    def busybox_image(self):
        content = os.path.join(self.folder, "root")
        for name in ("bin", "dev", "proc", "sys", "etc", "run"):
            os.makedirs(os.path.join(content, name))
        shutil.copy(shutil.which("busybox"), os.path.join(content, "bin/busybox"))
        os.symlink("busybox", os.path.join(content, "bin/sh"))
        path = os.path.join(self.folder, "root.img")
        with open(path, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", content, path], check=True)
        return path

    def test_read_only_disk(self):
        """Below a writable root there is an overlay in the guest, and the disk stays as it is; a read-only root is the disk itself."""
        image = self.busybox_image()
        before = self.hash(image)
        script = "busybox grep ' / ' /proc/mounts; echo x 2>/dev/null > /new; busybox ls /new; busybox cat /sys/block/vda/ro"
        for readonly, wanted in ((False, r"overlay / overlay rw.*\n/new\n1\n$"), (True, r"/dev/vda / ext4 ro.*\n(.*No such file.*\n)?1\n$")):
            with self.subTest(readonly=readonly):
                self.make_bundle("sh", "-c", script, root={"path": "rootfs", "readonly": readonly})
                with Task(self.start_shim(), timeout=60) as task:
                    self.run_to_start(task, ("ext4", image, ("loop", "ro")))
                    self.ok(task, "Wait", {1: self.name})
                    self.end(task)
                with open(self.output, encoding="ascii") as file:
                    self.assertRegex(file.read(), wanted)
                os.unlink(self.output)
        self.assertEqual(self.hash(image), before)

    def verified_layer(self, name, archive):
        """A layer file with its hash tree behind it, and the mount of it as the snapshotter words it."""
        data = erofs.write(archive.entries, bytes(16))
        root_hash, tree = verity.hash_tree(data, b"salt")
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        with open(os.path.join(folder, "layer.erofs"), "wb") as file:
            file.write(data + tree)
        with open(os.path.join(folder, "layer.dmverity"), "w", encoding="ascii") as file:
            json.dump({"roothash": root_hash, "hashoffset": len(data), "salt": b"salt".hex()}, file)
        return "erofs", file.name.replace("dmverity", "erofs"), ("ro", "loop", f"X-containerd.dmverity={file.name}")

    def test_changed_layer(self):
        """A bit of a verified layer differs: who reads that block gets an I/O error, what is whole stays readable."""
        lower, upper = cpio.Archive(), cpio.Archive()
        for folder in ("dev", "proc", "sys", "etc", "run"):
            lower.directory(folder)
        with open(shutil.which("busybox"), "rb") as file:
            lower.file("bin/busybox", file.read(), 0o755)
        lower.symlink("bin/sh", "busybox")
        upper.file("whole", b"whole\n")
        upper.file("zchanged", b"content " * 1024)
        mounts = [self.verified_layer("upper", upper), self.verified_layer("lower", lower),
                  ("format/mkdir/overlay", "overlay", ("lowerdir={{ overlay 0 1 }}",))]
        path = mounts[0][1]
        with open(path, "r+b") as file:
            at = file.read().index(b"content ")
            file.seek(at)
            file.write(b"C")
        self.make_bundle("sh", "-c", "busybox cat /whole; busybox cat /zchanged 2>&1; echo ended with $?")
        with Task(self.start_shim(), timeout=60) as task:
            self.run_to_start(task, *mounts)
            self.ok(task, "Wait", {1: self.name})
            self.end(task)
        with open(self.output, encoding="ascii") as file:
            self.assertRegex(file.read(), r"^whole\n.*Input/output error\nended with 1\n$")


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

    def test_many_layers_are_one_disk(self):
        """120 layers: one disk in the guest beside the writable one, every layer readable, and again in a second container."""
        flags = self.erofs()
        name = "localhost/kata-layers-120:latest"
        archive = os.path.join(self.folder, "layers.tar")
        with open(archive, "wb") as file:
            file.write(image.build(name, further_layers=117))
        harness.LAB.ctr("image", "import", archive, check=True, timeout=120)
        self.addCleanup(harness.LAB.ctr, "image", "rm", "--sync", name)
        for number in (1, 2):
            with self.subTest(number):
                words = ["run", "--runtime", harness.KATA, "--runtime-config-path", self.config(), *flags, name, f"{self.name}-{number}", "sh", "-c",
                         "ls /many | wc -l; cat /many/0 /many/116; ls /sys/block | grep -c vd; ls -d /sys/block/vd*/vd* | wc -l"]
                result = harness.LAB.ctr(*words, timeout=120)
                self.assertEqual(result.stdout.split(), [b"117", b"0", b"116", b"2", b"120"], result.stderr[-600:])

    def layer_files(self, count):
        """The layer files of the image with that many layers, the topmost first."""
        lines = [line.split() for line in harness.LAB.ctr("snapshots", "--snapshotter", "erofs", "ls", check=True).stdout.decode().splitlines()[1:]]
        parents = {words[0]: words[1] if len(words) == 3 else "" for words in lines if words[-1] == "Committed"}

        def depth(key):
            return 1 + depth(parents[key]) if key else 0

        top = next(key for key in parents if depth(key) == count and key not in parents.values())
        view = self.name + "-view"
        shown = harness.LAB.ctr("snapshots", "--snapshotter", "erofs", "view", "--target", "/x", view, top, check=True).stdout.decode()
        harness.LAB.ctr("snapshots", "--snapshotter", "erofs", "rm", view, check=True)
        return re.findall(r"\S+/layer\.erofs", shown)

    def test_merged_metadata(self):
        """Layers whose metadata lies merged in a file of its own are one file system in the guest, without partitions and lower folders."""
        flags = self.erofs()
        name = "localhost/kata-layers-merged:latest"
        archive = os.path.join(self.folder, "merged.tar")
        with open(archive, "wb") as file:
            file.write(image.build(name, further_layers=2))
        harness.LAB.ctr("image", "import", archive, check=True, timeout=120)
        self.addCleanup(harness.LAB.ctr, "image", "rm", "--sync", name)

        def run(suffix):
            words = ["run", "--runtime", harness.KATA, "--runtime-config-path", self.config(), *flags, name, self.name + suffix, "sh", "-c",
                     "cat /layers/* /many/0 /many/1; ls /layers; echo x > /layers/kept; ls -d /sys/block/vd*/vd* 2>/dev/null | wc -l"]
            result = harness.LAB.ctr(*words, timeout=60)
            self.assertEqual(result.returncode, 0, result.stderr[-800:])
            return result.stdout.split()

        apart = run("-1")
        self.assertEqual(apart[-1], b"5")
        layers = self.layer_files(5)
        self.assertEqual(len(layers), 5)
        merged = os.path.join(os.path.dirname(layers[0]), "fsmeta.erofs")
        subprocess.run(["mkfs.erofs", "--quiet", "--aufs", "--ovlfs-strip=1", merged, *reversed(layers)], check=True, env=harness.LAB.environment)
        together = run("-2")
        self.assertEqual(together, [*apart[:-1], b"0"])

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
