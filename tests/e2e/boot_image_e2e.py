"""Guests booted from a disk image: each form once, and an image that is not what its root hash says."""

import os
import shutil

import harness
from harness import kata_only
from kata_node import paths

QEMU = "hypervisor.qemu"


@kata_only
class BootImage(harness.Test):
    def image_config(self, filesystem, driver, verified=False, image=None):
        guest = paths.guest()
        changes = [(QEMU, "initrd", None), (QEMU, "image", image or os.path.join(guest, f"kata-{filesystem}.img")),
                   (QEMU, "rootfs_type", filesystem), (QEMU, "vm_rootfs_driver", driver)]
        if verified:
            with open(os.path.join(guest, f"kata-{filesystem}.verity"), encoding="ascii") as file:
                changes.append((QEMU, "kernel_verity_params", file.read().strip()))
        return self.config(*changes)

    def test_forms(self):
        """The guest's root lies where the configuration says: the device was read, and nothing is written to it."""
        for filesystem, driver, verified, device in (("ext4", "virtio-blk-pci", False, "vda1"), ("erofs", "virtio-blk-pci", True, "dm-0"),
                                                     ("ext4", "virtio-pmem", False, "pmem0p1"), ("erofs", "virtio-pmem", True, "dm-0")):
            with self.subTest(filesystem=filesystem, driver=driver, verified=verified):
                result = self.expect_run("sh", "-c", f"cat /proc/cmdline; grep -w {device} /proc/partitions; cat /sys/class/block/{device}/ro; "
                                         "cat /sys/block/dm-0/dm/name 2>/dev/null; echo works",
                                         config=self.image_config(filesystem, driver, verified), name=f"{self.name}-{filesystem}-{driver[7:]}")
                lines = result.stdout.decode().splitlines()
                self.assertIn(f"root=/dev/{device} ", lines[0])
                self.assertIn(f"rootfstype={filesystem}", lines[0])
                self.assertRegex(lines[1], rf"\d+ {device}$")
                self.assertEqual(lines[-1], "works")
                self.assertEqual("dm-verity" in lines, verified, lines)

    def test_changed_image(self):
        """A byte of the agent differs from what the root hash says: the guest does not start, and the console tells why."""
        image = os.path.join(self.folder, "changed.img")
        shutil.copy(os.path.join(paths.guest(), "kata-erofs.img"), image)
        with open(image, "r+b") as file:
            content = file.read()
            # the last file in the order of paths
            at = max(block for block in range(3 << 20, len(content), 4096) if content[block:block + 4] == b"\x7fELF") + 50
            file.seek(at)
            file.write(bytes([content[at] ^ 1]))
        result = self.run_container("true", config=self.image_config("erofs", "virtio-blk-pci", True, image))
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), "verity.*corrupted|Input/output error|panic")
        self.assert_usable()
