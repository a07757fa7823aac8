"""containerd's devmapper snapshotter, where the kernel has device-mapper: `tools/lab run --with dm -- tests/e2e/run devmapper_e2e`."""

import os
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
from harness import IMAGE, kata_only, paths
from kata_node import containerd

POOL = f"kata-e2e-{os.getpid()}"
_TABLE = """
[plugins."io.containerd.snapshotter.v1.devmapper"]
  root_path = "{folder}/devmapper"
  pool_name = "{pool}"
  base_image_size = "128MB"
"""


class ThinPool:
    """A thin pool on two sparse files, and the words of containerd's configuration for it."""

    programs = ""

    def __init__(self, folder):
        self.folder, self._loops = folder, []
        os.environ["DM_DISABLE_UDEV"] = "1"
        self.sectors = (1 << 30) // 512
        try:
            for name, size in (("meta", 64 << 20), ("data", 1 << 30)):
                path = os.path.join(folder, name)
                with open(path, "wb") as file:
                    file.truncate(size)
                self._loops.append(self._run("losetup", "--find", "--show", path))
            self._run("dmsetup", "create", POOL, "--table", f"0 {self.sectors} thin-pool {' '.join(self._loops)} 128 32768 1 skip_block_zeroing")
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def _run(*words):
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def devices(self):
        lines = self._run("dmsetup", "ls").splitlines()
        return {line.split()[0] for line in lines if line.startswith(POOL)}

    def extend(self, text):
        return text.replace('"io.containerd.snapshotter.v1.devmapper", ', "") + _TABLE.format(folder=self.folder, pool=POOL)

    def remove(self):
        for name in sorted(self.devices(), key=len, reverse=True):  # the pool's name is the shortest
            subprocess.run(["dmsetup", "remove", name], check=False)
        for loop in self._loops:
            subprocess.run(["losetup", "-d", loop], check=False)


def missing():
    """Why it cannot be tried here, "" = it can."""
    if not shutil.which("dmsetup"):
        return "no dmsetup: package dmsetup"
    targets = subprocess.run(["dmsetup", "targets"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return "" if "thin-pool" in targets else "this kernel has no dm thin-pool: tools/lab run --with dm"


@kata_only
class Devmapper(harness.Test):
    @classmethod
    def setUpClass(cls):
        if why := missing():
            raise unittest.SkipTest(why)
        cls.place = tempfile.mkdtemp(prefix="kata-dm.")
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.pool = ThinPool(cls.place)
        cls.addClassCleanup(cls.pool.remove)
        cls.lab = containerd.Containerd(os.path.join(cls.place, "lab"), harness.OPTIONS.containerd, paths.cache(), [paths.binaries()])
        cls.lab.disks = cls.pool
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.start()
        archive = os.path.join(cls.place, "image.tar")
        with open(archive, "wb") as file:
            file.write(harness.image.build())
        cls.lab.ctr("image", "import", "--snapshotter", "devmapper", archive, check=True)

    def ctr_run(self, name, *command):
        words = ["run", "--runtime", harness.KATA, "--runtime-config-path", self.config(), "--snapshotter", "devmapper", "--rm", IMAGE, name]
        result = self.lab.ctr(*words, *command, timeout=120)
        self.assertEqual(result.returncode, 0, f"{result.stderr[-1500:]!r}\n{self.lab.log_tail(8)}")
        return result.stdout.decode()

    def test_root_file_system(self):
        """The snapshot's device is the container's disk: written by one container, as it was for the next, and given back."""
        before = self.pool.devices()
        for number in (1, 2):
            with self.subTest(number):
                out = self.ctr_run(f"{self.name}-{number}", "sh", "-c", "grep ' / ' /proc/mounts; ls /new 2>/dev/null; echo x > /new && cat /new /layers/*")
                self.assertRegex(out, r"^/dev/vd[a-z] / ext4 rw")
                self.assertTrue(out.endswith("\nx\nsecond\nthird\n"), out)
                self.assertNotIn("/new\n", out)
        # containerd leaves a device that the kernel still writes back to a deferred removal, which nobody announces.
        deadline = time.monotonic() + 20
        while self.pool.devices() != before and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.pool.devices(), before, "the containers' snapshots are gone")
