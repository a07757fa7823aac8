"""Rows about CPU, memory and limits: starts with limits, growth, memory given back, what an idle pod costs."""

import json
import os
import re
import socket
import subprocess
import threading
import time

from . import bare, pod, pods, stats
from .floor import BootFloor

GOALS = {"sizing.ratio": ("<=", 1.05), "hotplug.ratio": ("<=", 1.3), "pod.pss_ratio": ("<=", 1.0), "reclaim.ratio": (">=", 0.9), "idle.cpu": ("<=", 0.1)}
KIB_PER_GIB = 1 << 20
_IDLE_SECONDS = 2  # the start's memory has been given back
_CPUS = "/sys/devices/system/cpu"
_HELPERS = r"containerd-shim-kata-v2|virtiofsd|kata-vsock-device"


def with_limits(subject, n, progress):
    """Starts with limits that give the VM the size that it has without, interleaved."""
    limited, plain = [], []
    flags = ("--rm", "--cpus", "0.5", "--memory-limit", str(256 << 20))
    for number in range(n):
        plain.append(subject.run("true", flags=("--rm",))[1])
        limited.append(subject.run("true", flags=flags)[1])
        progress(f"start with limits {number + 1}/{n}")
    return [stats.ratio("sizing.ratio", limited, plain, GOALS["sizing.ratio"], f"without limits {stats.median(plain):.2f} s")]


def parts_of(processes, memory=pod.memory):
    """{part: KiB} of a pod's processes, given as {program: [pids]}."""
    found = {}
    for program, pids in processes.items():
        part = "VMM" if program.startswith("qemu") else program
        found[part] = found.get(part, 0) + sum(memory(pid) for pid in pids)
    return found


def allowed(parts, bare_parts):
    """KiB that a pod of these parts may cost beside such a bare VMM. Its virtiofsd counts as it is: one that serves nobody is no floor."""
    daemon = sum(kib for part, kib in parts.items() if part.startswith("virtiofsd"))
    vmm = sum(kib for part, kib in bare_parts.items() if part.startswith("qemu"))
    return 1.05 * vmm + daemon + 5e6 / 1024


def in_words(parts):
    return ", ".join(f"{part} {kib}" for part, kib in sorted(parts.items()))


def pod_memory(subject, floor, n, progress):
    """Memory of whole idle pods on the node by part beside the bare VMM with the same guest, and how many such pods a GiB holds."""
    samples, ratios = [], []
    for number in range(n):
        with subject.pod() as sample:
            time.sleep(_IDLE_SECONDS)
            parts = parts_of(sample.processes())
        raw = floor.memory(_IDLE_SECONDS)
        samples.append(sum(parts.values()))
        ratios.append(samples[-1] / allowed(parts, raw))
        progress(f"idle pod {number + 1}/{n}: {in_words(parts)}; bare: {in_words(raw)}")
    ours, raw_small = pods_per_gib(subject)
    return [stats.plain("pod.pss_kib", samples, "KiB", note=f"by part in KiB: {in_words(parts)}"),
            stats.plain("pod.pss_ratio", ratios, "ratio", GOALS["pod.pss_ratio"],
                        f"÷ (1.05 × bare VMM + virtiofsd + 5 MB); bare, in KiB: {in_words(raw)}"),
            stats.Row("pod.per_gib", ours, "count", note=f"idle pods of 128 MiB guests that a GiB of the node holds, by PSS; bare VMMs {raw_small:.2f}")]


def pods_per_gib(subject):
    """(pods, bare VMMs with their virtiofsd and vsock device) of 128 MiB guests."""
    with subject.pod(config=subject.config_with({"default_memory": 128})) as sample:
        time.sleep(_IDLE_SECONDS)
        floor = BootFloor(sample)
        ours = sum(parts_of(sample.processes()).values())
    return KIB_PER_GIB / ours, KIB_PER_GIB / sum(floor.memory(_IDLE_SECONDS).values())


def cpu_seconds(pids, proc="/proc"):
    """CPU time of processes, all their threads, from schedstat (nanoseconds on a CPU are its first number)."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"{proc}/{pid}/task"):
            with open(f"{proc}/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def idle_cpu(subject, seconds, progress):
    """What an idle pod's helpers use of a core, in percent; QEMU's part is printed."""
    with subject.pod() as sample:
        time.sleep(3)  # the start has calmed down
        helpers, vmm = [], []
        for program, pids in sample.processes().items():
            (helpers if re.search(_HELPERS, program) else vmm).extend(pids)
        before = cpu_seconds(helpers), cpu_seconds(vmm)
        progress(f"idle for {seconds} s")
        time.sleep(seconds)
        ours, qemu = cpu_seconds(helpers) - before[0], cpu_seconds(vmm) - before[1]
    return [stats.Row("idle.cpu", 100 * ours / seconds, "%", goal=GOALS["idle.cpu"],
                      note=f"of a core over {seconds} s: shim, virtiofsd, vsock device; QEMU {100 * qemu / seconds:.2f} %")]


def given_back(before, used, after):
    """Which part of what was used came back."""
    return (used - after) / (used - before) if used > before else 0.0


def reclaim(subject, mib, progress):
    """A pod uses `mib` and frees them: what the node has of it again after 10 s."""
    config = subject.config_with({"default_memory": mib + 512})
    flags = ("--mount", f"type=tmpfs,src=tmpfs,dst=/scratch,options=size={mib + 64}m")
    with subject.pod(config=config, flags=flags) as sample:
        time.sleep(_IDLE_SECONDS)
        qemu = sample.process("^qemu")
        before = pod.memory(qemu)
        sample.exec("dd", "if=/dev/zero", "of=/scratch/x", "bs=1M", f"count={mib}")
        used = pod.memory(qemu)
        sample.exec("rm", "/scratch/x")
        time.sleep(10)  # the row's own limit
        after = pod.memory(qemu)
    progress(f"memory of QEMU: {before // 1024} MiB, {used // 1024} MiB used, {after // 1024} MiB 10 s later")
    return [stats.Row("reclaim.ratio", given_back(before, used, after), "ratio", goal=GOALS["reclaim.ratio"],
                      note=f"{(used - before) // 1024} MiB used and freed")]


class BarePlug:
    """A bare QEMU that starts as a pod's does and is then given a vCPU and memory: what that costs without us."""

    _LINES = ("/bin/busybox mount -t sysfs sys /sys", "echo READY", "read go", f"echo 1 > {_CPUS}/cpu1/online", "echo ONLINE")

    def __init__(self, folder, qemu):
        memory = [part for name in ("-m", "-object") for part in (name, pod.option(qemu, name))]
        machine = re.search(r"memory-backend=[^,]+", pod.option(qemu, "-machine"))
        guest = bare.BareGuest(folder, "/bin/busybox", qemu, [], "echo 1 1", self._LINES)
        self._words = guest.words("-machine", machine[0], "-mon", "chardev=qmp,mode=control", memory=memory)

    @staticmethod
    def _wait(stream, wanted):
        line = ""
        for line in stream:
            if wanted in line:
                return
        raise pod.BenchError(f"a bare QEMU that was to grow ended before {wanted!r}: {line.strip()[-200:]}")

    def _grow(self, monitor, console, mib):
        def command(name, **arguments):
            monitor.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            monitor.flush()

        self._wait(console.stdout, "READY")
        command("qmp_capabilities")
        started = time.monotonic()
        command("object-add", **{"qom-type": "memory-backend-memfd", "id": "more", "size": mib << 20, "share": True})
        command("device_add", driver="pc-dimm", id="dimm", memdev="more")
        self._wait(monitor, "ACPI_DEVICE_OST")  # the guest has taken it
        console.stdin.write("go\n")
        console.stdin.flush()
        self._wait(console.stdout, "ONLINE")
        return time.monotonic() - started

    def run(self, mib):
        """Seconds from the first command to both being online in the guest."""
        link, theirs = socket.socketpair()
        words = [*self._words, "-chardev", f"socket,id=qmp,fd={theirs.fileno()}"]
        with link, theirs, subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True, errors="replace") as child:
            theirs.close()  # so that the monitor ends with QEMU
            limit = threading.Timer(60, child.kill)
            limit.start()
            try:
                with link.makefile("rw") as monitor:
                    return self._grow(monitor, child, mib)
            finally:
                limit.cancel()
                child.kill()


def hot_plug(subject, n, progress):
    """A container of a pod whose VM must grow by a vCPU and 512 MiB for it, one that needs nothing, and the bare growth, interleaved."""
    config = subject.config_with({"default_maxvcpus": 2, "default_maxmemory": 2048}, {"static_sandbox_resource_mgmt": False})
    limits = {"cpuQuota": 100000, "cpuPeriod": 100000, "memoryLimitInBytes": 512 << 20}
    plain, grown, floors, floor = [], [], [], None
    with pods.Node(subject, config) as node:
        for number in range(n):
            with node.running("kata", network=pods.NODE_NETWORK) as (sandbox, identity, _):
                if floor is None:
                    floor = BarePlug(subject.folder, pod.command_line(pod.Running(identity).process("^qemu")))
                plain.append(node.start_container(sandbox, identity, "plain", ("sleep", "1000")))
                grown.append(node.start_container(sandbox, identity, "grown", ("sleep", "1000"), resources=limits))
            floors.append(floor.run(512))
            progress(f"hot-plug {number + 1}/{n}: {plain[-1] * 1e3:.0f} ms, {grown[-1] * 1e3:.0f} ms with growth, bare {floors[-1] * 1e3:.0f} ms")
    extra = [two - one for one, two in zip(plain, grown)]
    note = f"extra for 1 vCPU and 512 MiB; without {1e3 * stats.median(plain):.0f} ms"
    return [stats.plain("hotplug.ms", [1e3 * one for one in extra], "ms", note=note),
            stats.ratio("hotplug.ratio", extra, floors, GOALS["hotplug.ratio"], "floor column: bare QEMU, QMP to online in the guest, s")]
