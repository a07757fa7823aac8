"""Rows about disks: reads of a volume beside the same disk in a bare QEMU, the attach of one to a running pod, images of many layers."""

import glob
import os
import subprocess
import sys

from . import pod, pods, stats

sys.path.append(os.path.join(pod.REPO, "image"))
from kata_image import cpio, modules  # noqa: E402
from kata_node import paths  # noqa: E402

GOAL_READ = (">=", 0.95)
GOAL_LAYERS = ("<=", 1.10)
GOAL_ATTACH = ("<=", 120)
DISK_MEGABYTES = 64
READ_SECONDS = 2
MANY_LAYERS = 30

_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
{modules}
echo RESULT $(/disk_read /dev/vda {seconds})
/bin/busybox poweroff -f
"""


def parse_reading(text):
    """(operations per second, MB/s) of disk_read's line, wherever in the text it is."""
    for line in text.splitlines():
        words = line.removeprefix("RESULT ").split()
        try:
            operations, rate = map(float, words)
        except ValueError:
            continue
        if operations > 0 and rate > 0:
            return operations, rate
    raise pod.BenchError(f"no figures of the disk in {text[-200:]!r}")


def build_helper(folder):
    target = os.path.join(folder, "disk-helper")
    os.makedirs(target, exist_ok=True)
    source = os.path.join(pod.REPO, "bench/guest/disk_read.cpp")
    subprocess.run(["clang++-19", "-std=c++23", "-O2", "-static", "-s", "-o", os.path.join(target, "disk_read"), source], check=True)
    return target


class BareGuest:
    """QEMU alone with one disk and the best flags for it; the guest reads it and ends."""

    def __init__(self, folder, helper, qemu):
        self._initrd = os.path.join(folder, "bare-initrd")
        self._qemu = qemu
        found = glob.glob(os.path.join(paths.cache(), "kernel/linux-image*/lib/modules/*"))
        with open(os.path.join(paths.guest(), "kernel-release"), encoding="ascii") as file:
            release = file.read().strip()
        tree = next((modules.ModuleTree(path) for path in found if os.path.basename(path) == release), None)
        if tree is None:
            raise pod.BenchError(f"no modules of kernel {release} in the cache: run image/build")
        with open(self._initrd, "wb") as file:
            file.write(self._archive(tree, helper))

    @staticmethod
    def _archive(tree, helper):
        archive = cpio.Archive()
        for name in ("dev", "proc", "bin"):
            archive.directory(name)
        archive.char_device("dev/console", 5, 1)
        for target, source in (("bin/busybox", "/bin/busybox"), ("disk_read", os.path.join(helper, "disk_read"))):
            with open(source, "rb") as file:
                archive.file(target, file.read(), 0o755)
        lines = []
        for name in tree.load_order(["virtio_blk"]):
            archive.file(f"m/{name}.ko", tree.load(name)[1])
            lines.append(f"/bin/busybox insmod /m/{name}.ko")
        archive.file("init", _INIT.format(modules="\n".join(lines), seconds=READ_SECONDS).encode(), 0o755)
        return archive.write()

    def run(self, disk, aio):
        """Takes machine, CPU and kernel words from the pod's QEMU, so that only the disk's path differs."""
        words = [self._qemu[0], "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        for name in ("-accel", "-cpu", "-smp", "-kernel", "-bios"):
            if name in self._qemu:
                words += [name, pod.option(self._qemu, name)]
        append = " ".join(word for word in pod.option(self._qemu, "-append").split() if not word.startswith("agent."))
        words += ["-machine", "q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off", "-m", "256M", "-initrd", self._initrd, "-append", append,
                  "-serial", "stdio", "-object", "iothread,id=io", "-blockdev",
                  f"driver=raw,node-name=d,read-only=on,file.driver=file,file.filename={disk},file.aio={aio}",
                  "-device", "virtio-blk-pci,drive=d,iothread=io,disable-legacy=on"]
        result = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                timeout=120, check=False)
        return parse_reading(result.stdout + result.stderr)


def reads(subject, n, progress):
    helper = build_helper(subject.folder)
    disk = os.path.join(subject.folder, "bench.img")
    with open(disk, "wb") as file:
        file.write(os.urandom(DISK_MEGABYTES << 20))
    with subject.pod() as sample:
        qemu = pod.command_line(sample.process("^qemu-system"))
    bare = BareGuest(subject.folder, helper, qemu)
    flags = ("--rm", "--mount", f"type=bind,src={helper},dst=/bench,options=rbind:ro", "--mount",
             f"type=bind,src={disk},dst=/dev/bench,options=rbind:ro:loop")
    config = subject.config_with({"enable_iothreads": True, "indep_iothreads": 1, "block_device_aio": "threads"})
    own, raw = [], []
    for number in range(n):
        raw.append(bare.run(disk, "threads"))
        own.append(parse_reading(subject.run("/bench/disk_read", "/dev/bench", str(READ_SECONDS), flags=flags,
                                             config=config)[2].decode()))
        progress(f"reads of a disk {number + 1}/{n}")
    return [_ratio("block.iops_ratio", [a for a, _ in own], [a for a, _ in raw], "operations a second"),
            _ratio("block.seq_ratio", [b for _, b in own], [b for _, b in raw], "MB/s")]


def _ratio(name, own, raw, unit):
    ratios = [a / b for a, b in zip(own, raw)]
    flags = ["noisy floor"] if stats.variation(raw) > stats.NOISY_FLOOR else []
    return stats.Row(name, stats.median(own) / stats.median(raw), "ratio", len(own), stats.percentile(ratios, 1), None, GOAL_READ,
                     stats.variation(own), flags, f"{stats.median(own):,.0f} against {stats.median(raw):,.0f} {unit}")


def attach(subject, n, progress):
    """A container of a running pod with a disk, less one without: both to their first output."""
    images, loops, plain, disk = [], [], [], []
    try:
        with pods.Node(subject) as node:
            for number in range(n):
                images.append(os.path.join(subject.folder, f"attach{number}.img"))
                with open(images[-1], "wb") as file:
                    file.truncate(8 << 20)
                subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", images[-1]], check=True)
                loops.append(subprocess.run(["losetup", "--find", "--show", images[-1]], stdout=subprocess.PIPE, text=True,
                                            check=True).stdout.strip())
                mounts = [{"containerPath": "/data", "hostPath": loops[-1]}]
                with node.running("kata") as (config, identity, _):
                    node.container(config, identity, "first")
                    plain.append(node.container(config, identity, "plain") * 1000)
                    disk.append(node.container(config, identity, "disk", mounts=mounts) * 1000)
                progress(f"attach of a disk {number + 1}/{n}")
    finally:
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], check=False)
        for path in images:
            os.unlink(path)
    return [stats.Row("attach.ms", stats.median(disk) - stats.median(plain), "ms", n, goal=GOAL_ATTACH, noise=stats.variation(disk),
                      note=f"a container with a first disk {stats.median(disk):.0f} ms, without {stats.median(plain):.0f} ms")]


def layers(subject, n, progress):
    """Start with an EROFS image of many layers ÷ one of few, interleaved; needs containerd 2.3."""
    with pod.Subject(os.path.join(subject.folder, "erofs"), f"{subject.prefix}-l", subject.against, "2.3", disks=True) as layered:
        if layered.lab.disks.erofs:
            return [stats.skipped("erofs.layers_ratio", layered.lab.disks.erofs, "ratio")]
        names = {}
        for count in (pod.image.LAYERS, MANY_LAYERS):
            names[count] = f"localhost/kata-erofs-{count}:latest"
            archive = os.path.join(layered.folder, "layers.tar")
            with open(archive, "wb") as file:
                file.write(pod.image.build(names[count], further_layers=count - pod.image.LAYERS))
            layered.lab.ctr("image", "import", archive, check=True, timeout=120)
        times = {count: [] for count in names}
        flags = ("--rm", "--snapshotter", "erofs")
        for name in names.values():
            layered.run("true", flags=flags, image_name=name)  # unpacks it
        for number in range(n):
            for count, name in names.items():
                times[count].append(layered.run("echo", "ready", flags=flags, image_name=name)[0])
            progress(f"EROFS images {number + 1}/{n}")
    few, many = times[pod.image.LAYERS], times[MANY_LAYERS]
    return [stats.ratio("erofs.layers_ratio", many, few, GOAL_LAYERS,
                        f"{MANY_LAYERS} layers {stats.median(many):.2f} s, {pod.image.LAYERS} layers {stats.median(few):.2f} s")]
