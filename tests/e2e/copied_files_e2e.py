"""shared_fs = "none": root file systems are disks, and what else a container has of the node is copied into the guest and followed."""

import os
import socket
import subprocess
import time

import harness
from harness import kata_only

NO_SHARE = ("hypervisor.qemu", "shared_fs", "none")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@kata_only
class Refused(harness.Test):
    def test_folders_as_root_file_systems(self):
        """A snapshot that is a folder cannot reach such a guest; the message says what can."""
        result = self.run_container("true", config=self.config(NO_SHARE))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('overlay mount of the node, and the guest has no shared file system (shared_fs = "none"): use a snapshotter whose '
                      "snapshots are disks", result.stderr.decode())

    def test_other_ways_of_sharing(self):
        """What is not supported is refused by its name, not taken for something else."""
        for kind in ("virtio-fs-nydus", "inline-virtio-fs"):
            with self.subTest(kind):
                result = self.run_container("true", config=self.config(("hypervisor.qemu", "shared_fs", kind)))
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(f'shared_fs = "{kind}" is not supported', result.stderr.decode())


@kata_only
class Copies(harness.Test):
    def setUp(self):
        if not harness.LAB.disks:
            self.skipTest("only containerd 2.3 has root file systems on disks: --containerd 2.3")
        super().setUp()
        self.volume = os.path.join(self.folder, "volume")
        os.mkdir(self.volume)

    def start(self, *mounts, **options):
        flags = ["--snapshotter", "blockfile"]
        for source, place, how in mounts:
            flags += ["--mount", f"type=bind,src={source},dst={place},options=rbind:{how}"]
        self.start_detached("sleep", "1000", flags=flags, config=self.config(NO_SHARE), **options)

    def shell(self, script):
        result = self.exec("sh", "-c", script)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def seen(self, script, wanted, seconds=3):
        """Polls inside the guest, so that a round trip of ctr costs the measured time nothing; returns how long it took there."""
        begin = time.monotonic()
        loop = f'i=0; until [ "$({script})" = "{wanted}" ]; do i=$((i+1)); [ $i -gt {seconds * 20} ] && exit 9; sleep 0.05; done; echo $i'
        result = self.exec("sh", "-c", loop)
        self.assertEqual(result.returncode, 0, f"{script} is {self.shell(script)!r} after {time.monotonic() - begin:.1f} s, not {wanted!r}")
        return int(result.stdout)

    def test_volume_is_copied_and_followed(self):
        file = os.path.join(self.folder, "hosts")
        write(file, "one\n")
        write(self.volume + "/plain", "a")
        os.chmod(self.volume + "/plain", 0o640)
        os.chown(self.volume + "/plain", 1000, 2000)
        os.makedirs(self.volume + "/deep/er")
        write(self.volume + "/deep/er/file", "b")
        os.symlink("deep/er/file", self.volume + "/link")
        os.mkfifo(self.volume + "/pipe")
        with open(self.volume + "/large", "wb") as large:
            large.write(os.urandom(5 << 20))
        self.start((self.volume, "/v", "ro"), (file, "/etc/one", "rw"))
        self.assertEqual(self.shell("cat /v/plain /v/link /etc/one; stat -c '%a %u %g' /v/plain; stat -c '%u %g' /v; ls /v; grep -c virtiofs /proc/mounts; "
                                    "wc -c < /v/large"),
                         "abone\n640 1000 2000\n0 0\ndeep\nlarge\nlink\nplain\n0\n5242880\n")
        programs = harness.command_lines(harness.processes_of(self.name))
        self.assertFalse([line for line in programs if "virtiofsd" in line or "vhost-user-fs" in line], programs)
        # In a folder: a change, a new file, a rename, a removal; the mount of one file shows a change of it.
        write(self.volume + "/plain", "changed")
        write(self.volume + "/deep/new", "new")
        self.seen("cat /v/plain /v/deep/new 2>&1", "changednew", 1)
        os.rename(self.volume + "/deep", self.volume + "/moved")
        os.remove(self.volume + "/large")
        self.seen("ls /v | tr '\\n' ' '; cat /v/moved/er/file", "link moved plain b", 1)
        write(file, "two\n")
        self.seen("cat /etc/one", "two", 1)
        write(self.volume + "/moved/er/file", "after the move")
        self.seen("cat /v/moved/er/file", "after the move", 1)

    def test_config_map_flips_at_once(self):
        """A kubelet's update by links: a reader sees the old pair of files or the new one, never a mixture or none."""
        volume = os.path.join(self.folder, "kubernetes.io~configmap/map")
        os.makedirs(volume)

        def publish(number):
            stamp = f"..stamp{number}"
            os.mkdir(f"{volume}/{stamp}")
            for name in ("a", "b"):
                write(f"{volume}/{stamp}/{name}", str(number))
            os.symlink(stamp, volume + "/..data_tmp")
            old = os.path.exists(volume + "/..data") and os.readlink(volume + "/..data")
            os.rename(volume + "/..data_tmp", volume + "/..data")
            if old:
                for name in ("a", "b"):
                    os.remove(f"{volume}/{old}/{name}")
                os.rmdir(f"{volume}/{old}")

        publish(0)
        for name in ("a", "b"):
            os.symlink(f"..data/{name}", f"{volume}/{name}")
        self.start((volume, "/map", "ro"))
        reader = self.popen("task", "exec", "--exec-id", "reader", self.name, "sh", "-c",
                            "while :; do cd /map/..data || exit 3; x=$(cat a b 2>/dev/null); cd /; case $x in 00|11|22|33) ;; 44) exit 0;; *) "
                            "[ -e /map/a ] || exit 4;; esac; done", stderr=subprocess.DEVNULL)
        for number in range(1, 5):
            publish(number)
            self.seen("cat /map/a /map/b", f"{number}{number}", 1)
        self.assertEqual(reader.wait(20), 0)
        self.seen("ls -A /map | tr '\\n' ' '", "..data ..stamp4 a b ", 1)

    def test_what_the_guest_writes_stays_there(self):
        """A writable copy is the container's own; what the node does not change is left alone."""
        write(self.volume + "/mine", "node")
        write(self.volume + "/other", "node")
        self.start((self.volume, "/v", "rw"))
        self.shell("echo -n guest > /v/mine; echo x > /v/made")
        write(self.volume + "/other", "node again")
        self.seen("cat /v/other /v/mine; ls /v | wc -l", "node againguest3", 1)
        self.assertEqual(sorted(os.listdir(self.volume)), ["mine", "other"])
        with open(self.volume + "/mine", encoding="ascii") as file:
            self.assertEqual(file.read(), "node")
        self.assertIn("what is written into this mount stays in the guest", harness.LAB.log_tail(4000))

    def test_limits_and_special_files(self):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.join(self.folder, "socket"))  # its file stays
        for number in range(10000):
            write(f"{self.volume}/key{number}", f"value{number}")
        memory = os.path.join(self.folder, "kubernetes.io~empty-dir/cache")
        os.makedirs(memory)
        self.start((self.volume, "/v", "ro"), (self.folder + "/socket", "/s", "rw"), (memory, "/cache", "rw"))
        self.assertEqual(self.shell("ls /v | wc -l; cat /v/key9999; ls -d /s 2>&1 | grep -c 'No such'; echo x > /cache/y; grep -c ' /cache ' /proc/mounts"),
                         "10000\nvalue99991\n1\n")
        self.assertEqual(os.listdir(memory), [])
        large = os.path.join(self.folder, "large")
        with open(large, "wb") as file:
            file.truncate((128 << 20) + 1)
        result = self.run_container("true", name=self.name + "b", config=self.config(NO_SHARE), flags=(
            "--rm", "--snapshotter", "blockfile", "--mount", f"type=bind,src={large},dst=/l,options=rbind"))
        self.assertIn("has files of more than 128 MiB: without a shared file system", result.stderr.decode())
