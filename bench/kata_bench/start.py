"""Rows about the start: one at a time against the boot floor and runc, and many at once."""

import os
import threading

from kata_node import paths

from . import pod, stats

GOAL_OVER_RUNC = ("<=", 1.5)
GOAL_KVM = ("<=", 1.3)
GOAL_PARALLEL = ("<=", 1.25)
GOAL_FIRST_FLOOR = ("<=", 0.75)


def _first_output(subject, runtime=pod.KATA, **options):
    """One `ctr run` that prints a word; returns (seconds to that word, seconds in all)."""
    first, took, out = subject.run("echo", "ready", runtime=runtime, **options)
    if out.strip() != b"ready":
        raise pod.BenchError(f"the container printed {out[:100]!r} instead of its word")
    return first, took


def single(subjects, floors, n, progress):
    """Interleaved rounds of floor, ours (and each peer), runc. Returns rows per subject."""
    seconds = [{"floor": [], "first": [], "runc": []} for _ in subjects]
    for number in range(n):
        for subject, floor, taken in zip(subjects, floors, seconds):
            taken["floor"].append(floor.run())
            taken["first"].append(_first_output(subject)[0])
            taken["runc"].append(_first_output(subject, pod.RUNC)[1])
        progress(f"start {number + 1}/{n}")
    return [_single_rows(taken, floor.emulated) for taken, floor in zip(seconds, floors)]


def _single_rows(taken, emulated):
    first, floor, runc = taken["first"], taken["floor"], taken["runc"]
    if emulated:
        over = [stats.over_peer("start.over_runc", first, floor, runc, GOAL_OVER_RUNC),
                stats.skipped("start.kvm_over_runc", "emulated here: tools/lab run -- bench/run --only start.kvm_over_runc", "ratio")]
    else:
        over = [stats.over_peer("start.kvm_over_runc", first, floor, runc, GOAL_KVM),
                stats.skipped("start.over_runc", "for an emulated guest; here is KVM", "ratio")]
    return [
        *over,
        stats.time_ratio("start.ratio", first, floor),
        stats.plain("start.seconds", first, "s", floor=floor, note=f"whole run of runc {stats.median(runc):.3f} s"),
    ]


def first_floor(floor, n, progress):
    """Today's boot floor against the one with the first version's arguments, interleaved."""
    now, old, before = [], [], floor.first_version()
    for number in range(n):
        now.append(floor.run())
        old.append(before.run())
        progress(f"boot floor, today's and the first arguments {number + 1}/{n}")
    row = stats.Row("boot.first_ratio", stats.median(now) / stats.median(old), "ratio", n,
                    stats.percentile([a / b for a, b in zip(now, old)], 99), stats.median(old), GOAL_FIRST_FLOOR, stats.variation(now))
    row.note = f"floor column: with the first version's arguments; today {stats.median(now):.3f} s"
    if stats.variation(old) > stats.NOISY_FLOOR:
        row.flags.append(f"noisy floor {stats.variation(old) * 100:.0f} %")
    return row


# What the guest's root is on, by the row's name: file system, vm_rootfs_driver, whether dm-verity checks it.
BOOT_FORMS = (("ext4_disk", "ext4", "virtio-blk-pci", False), ("erofs_disk", "erofs", "virtio-blk-pci", False),
              ("erofs_disk_verity", "erofs", "virtio-blk-pci", True), ("ext4_pmem", "ext4", "virtio-pmem", False),
              ("erofs_pmem", "erofs", "virtio-pmem", False), ("erofs_pmem_verity", "erofs", "virtio-pmem", True))


def _form_keys(filesystem, driver, verified):
    guest = paths.guest()
    keys = {"initrd": "", "image": os.path.join(guest, f"kata-{filesystem}.img"), "rootfs_type": filesystem, "vm_rootfs_driver": driver}
    if verified:
        with open(os.path.join(guest, f"kata-{filesystem}.verity"), encoding="ascii") as file:
            keys["kernel_verity_params"] = file.read().strip()
    return keys


def forms(subject, n, progress):
    """`ctr run` to the first output with the guest booted from an image of each form ÷ the same with the initrd."""
    configs = {name: subject.config_with(_form_keys(*form), name=f"form-{name}") for name, *form in BOOT_FORMS}
    initrd, images = [], {name: [] for name in configs}
    for number in range(n):
        initrd.append(_first_output(subject)[0])
        for name, config in configs.items():
            images[name].append(_first_output(subject, config=config)[0])
        progress(f"forms of boot {number + 1}/{n}")
    return [stats.ratio(f"boot.form.{name}", seconds, initrd, note=f"{stats.median(seconds):.3f} s") for name, seconds in images.items()]


def all_at_once(action, count):
    """Runs action() in `count` threads that begin together; returns the longest time, raises the first error."""
    barrier, results, errors = threading.Barrier(count), [None] * count, []

    def body(index):
        try:
            barrier.wait(60)
            results[index] = action()
        except Exception as error:  # handed to the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return max(results)


def parallel(subject, floor, counts, rounds, progress):
    """Last first-output of `count` starts at once ÷ the last OK of as many bare boots at once."""
    rows, worst = [], None
    for count in counts:
        own, bare = [], []
        for number in range(rounds):
            bare.append(all_at_once(floor.run, count))
            own.append(all_at_once(lambda: _first_output(subject)[0], count))
            progress(f"{count} at once {number + 1}/{rounds}")
        note = f"last of {count} after {stats.median(own):.2f} s"
        row = stats.time_ratio(f"start.parallel_ratio.{count}", own, bare, GOAL_PARALLEL, note)
        rows.append(row)
        worst = row if worst is None or row.value > worst.value else worst
    overall = {**worst.to_json(), "name": "start.parallel_ratio", "note": "the worst of " + " and ".join(map(str, counts))}
    return [stats.Row.from_json(overall), *rows]
