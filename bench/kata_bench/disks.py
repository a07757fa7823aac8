"""Rows about disks: reads of a volume beside the same disk in a bare QEMU, the attach of one to a running pod, images of many layers."""

import os
import subprocess

from . import bare, pod, pods, stats

GOAL_READ = (">=", 0.95)
GOAL_LAYERS = ("<=", 1.10)
GOAL_ATTACH = ("<=", 120)
DISK_MEGABYTES = 64
READ_SECONDS = 2
MANY_LAYERS = 30

def reads(subject, n, progress):
    helper = bare.build_helper(subject.folder, "disk_read")
    disk = os.path.join(subject.folder, "bench.img")
    with open(disk, "wb") as file:
        file.write(os.urandom(DISK_MEGABYTES << 20))
    with subject.pod() as sample:
        qemu = pod.command_line(sample.process("^qemu-system"))
    guest = bare.BareGuest(subject.folder, os.path.join(helper, "disk_read"), qemu, ["virtio_blk"], f"/disk_read /dev/vda {READ_SECONDS}")
    flags = ("--rm", "--mount", f"type=bind,src={helper},dst=/bench,options=rbind:ro", "--mount",
             f"type=bind,src={disk},dst=/dev/bench,options=rbind:ro:loop")
    config = subject.config_with({"enable_iothreads": True, "indep_iothreads": 1, "block_device_aio": "threads"})
    own, raw = [], []
    for number in range(n):
        raw.append(guest.run("-object", "iothread,id=io", "-blockdev",
                             f"driver=raw,node-name=d,read-only=on,file.driver=file,file.filename={disk},file.aio=threads",
                             "-device", "virtio-blk-pci,drive=d,iothread=io,disable-legacy=on"))
        own.append(bare.parse(subject.run("/bench/disk_read", "/dev/bench", str(READ_SECONDS), flags=flags,
                                             config=config)[2].decode()))
        progress(f"reads of a disk {number + 1}/{n}")
    return [bare.ratio("block.iops_ratio", [a for a, _ in own], [a for a, _ in raw], "operations a second", GOAL_READ),
            bare.ratio("block.seq_ratio", [b for _, b in own], [b for _, b in raw], "MB/s", GOAL_READ)]


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
