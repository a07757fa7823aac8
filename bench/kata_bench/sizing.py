"""Rows about CPU, memory and limits: starts with limits, growth, memory given back, what an idle pod costs."""

import os
import re
import time

from . import pod, pods, stats

GOALS = {"sizing.ratio": ("<=", 1.05), "reclaim.ratio": (">=", 0.9), "idle.cpu": ("<=", 0.1)}
KIB_PER_GIB = 1 << 20
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


def pod_memory(subject, n, progress):
    """Memory of whole idle pods on the node by part, and how many such pods a GiB holds."""
    samples, text = [], ""
    for number in range(n):
        with subject.pod() as sample:
            time.sleep(2)  # an idle pod: the start's memory has been given back
            parts = parts_of(sample.processes())
        samples.append(sum(parts.values()))
        text = ", ".join(f"{part} {kib}" for part, kib in sorted(parts.items()))
        progress(f"idle pod {number + 1}/{n}: {text}")
    with_small = pods_per_gib(subject)
    return [stats.plain("pod.pss_kib", samples, "KiB", note=f"by part in KiB: {text}"),
            stats.Row("pod.per_gib", with_small, "count", note="idle pods of 128 MiB guests that a GiB of the node holds, by PSS")]


def pods_per_gib(subject):
    config = subject.config_with({"default_memory": 128})
    with subject.pod(config=config) as sample:
        time.sleep(2)  # as above
        return KIB_PER_GIB // sum(parts_of(sample.processes()).values())


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
        time.sleep(2)  # an idle pod
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


def hot_plug(subject, n, progress):
    """A container of a pod whose VM must grow by a vCPU and 512 MiB for it, against one that needs nothing, interleaved."""
    config = subject.config_with({"default_maxvcpus": 2, "default_maxmemory": 2048}, {"static_sandbox_resource_mgmt": False})
    limits = {"cpuQuota": 100000, "cpuPeriod": 100000, "memoryLimitInBytes": 512 << 20}
    plain, grown = [], []
    with pods.Node(subject, config) as node:
        for number in range(n):
            with node.running("kata", network=pods.NODE_NETWORK) as (sandbox, identity, _):
                plain.append(node.start_container(sandbox, identity, "plain", ("sleep", "1000")))
                grown.append(node.start_container(sandbox, identity, "grown", ("sleep", "1000"), resources=limits))
            progress(f"hot-plug {number + 1}/{n}: {plain[-1] * 1e3:.0f} ms, {grown[-1] * 1e3:.0f} ms with growth")
    extra = [1e3 * (two - one) for one, two in zip(plain, grown)]
    return [stats.plain("hotplug.ms", extra, "ms", note=f"extra for 1 vCPU and 512 MiB; without {1e3 * stats.median(plain):.0f} ms")]
