"""A guest of a bare QEMU that runs one helper program and ends: what the same work costs without any runtime."""

import glob
import os
import subprocess
import sys

from . import pod, stats

sys.path.append(os.path.join(pod.REPO, "image"))
from kata_image import cpio, modules  # noqa: E402
from kata_node import paths  # noqa: E402

_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
{lines}
echo RESULT $({command})
/bin/busybox poweroff -f
"""


def parse(text):
    """The two figures of a helper's line, wherever in the text it is."""
    for line in text.splitlines():
        words = line.removeprefix("RESULT ").split()
        try:
            first, second = map(float, words)
        except ValueError:
            continue
        if first > 0 and second > 0:
            return first, second
    raise pod.BenchError(f"no figures in {text[-200:]!r}")


def build_helper(folder, name):
    """Builds bench/guest/<name>.cpp; returns the folder with the program, for a mount of a container."""
    target = os.path.join(folder, f"helper-{name}")
    os.makedirs(target, exist_ok=True)
    source = os.path.join(pod.REPO, f"bench/guest/{name}.cpp")
    subprocess.run(["clang++-19", "-std=c++23", "-O2", "-static", "-s", "-o", os.path.join(target, name), source], check=True)
    return target


def ratio(name, own, raw, unit, goal):
    ratios = [a / b for a, b in zip(own, raw)]
    flags = ["noisy floor"] if stats.variation(raw) > stats.NOISY_FLOOR else []
    return stats.Row(name, stats.median(own) / stats.median(raw), "ratio", len(own), stats.percentile(ratios, 1), None, goal,
                     stats.variation(own), flags, f"{stats.median(own):,.0f} against {stats.median(raw):,.0f} {unit}")


class BareGuest:
    """Takes machine, CPU and kernel words from a pod's QEMU, so that only the way to what is measured differs.

    `lines` are run before the command, whose program lies in the root of the guest.
    """

    def __init__(self, folder, program, qemu, drivers, command, lines=()):
        self._initrd = os.path.join(folder, "bare-initrd-" + os.path.basename(program))
        self._qemu = qemu
        found = glob.glob(os.path.join(paths.cache(), "kernel/linux-image*/lib/modules/*"))
        with open(os.path.join(paths.guest(), "kernel-release"), encoding="ascii") as file:
            release = file.read().strip()
        tree = next((modules.ModuleTree(path) for path in found if os.path.basename(path) == release), None)
        if tree is None:
            raise pod.BenchError(f"no modules of kernel {release} in the cache: run image/build")
        with open(self._initrd, "wb") as file:
            file.write(self._archive(tree, program, drivers, command, lines))

    @staticmethod
    def _archive(tree, program, drivers, command, lines):
        archive = cpio.Archive()
        for name in ("dev", "proc", "sys", "bin", "mnt"):
            archive.directory(name)
        archive.char_device("dev/console", 5, 1)
        for target, source in (("bin/busybox", "/bin/busybox"), (os.path.basename(program), program)):
            with open(source, "rb") as file:
                archive.file(target, file.read(), 0o755)
        loads = []
        for name in tree.load_order(drivers):
            archive.file(f"m/{name}.ko", tree.load(name)[1])
            loads.append(f"/bin/busybox insmod /m/{name}.ko")
        archive.file("init", _INIT.format(lines="\n".join([*loads, *lines]), command=command).encode(), 0o755)
        return archive.write()

    def run(self, *further, wrapper=(), memory=()):
        """QEMU with these further words, to its end; see words()."""
        result = subprocess.run(self.words(*further, wrapper=wrapper, memory=memory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, errors="replace", timeout=120, check=False)
        return parse(result.stdout + result.stderr)

    def words(self, *further, wrapper=(), memory=()):
        """`wrapper` are words before QEMU, `memory` those of another memory than plain 256 MiB. The console is standard input and output."""
        words = [*wrapper, self._qemu[0], "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        for name in ("-accel", "-cpu", "-smp", "-kernel", "-bios"):
            if name in self._qemu:
                words += [name, pod.option(self._qemu, name)]
        append = " ".join(word for word in pod.option(self._qemu, "-append").split() if not word.startswith("agent."))
        return words + ["-machine", "q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off", "-m", "256M", *memory, "-initrd", self._initrd,
                        "-append", append, "-serial", "stdio", *further]
