"""Rows about memory, threads and file sizes, of the shim, its peer and the agent."""

import os
import time

from . import pod, stats, ttrpc

KIB_PER_MB = 1e6 / 1024
SETTLE_SECONDS = 1.0  # an idle pod: what the start needed has been given back
GOALS = {
    "shim.pss_kib": ("<=", round(6 * KIB_PER_MB)),
    "shim.threads": ("<=", 4),
    "shim.file_bytes": ("<=", 12_000_000),
    "agent.file_bytes": ("<=", 4_000_000),
    "agent.rss_kib": ("<=", round(4 * KIB_PER_MB)),
    "agent.dirty_kib": ("<=", round(KIB_PER_MB)),
    "agent.listen_ms": ("<=", 40),
    "shim.exec_growth_kib": ("<=", round(0.2 * KIB_PER_MB)),
}
# Where the guest sees a container's root: ours and the Rust shim's, and the Go shim's.
_ROOTFS = ("/run/kata-containers/shared/containers/passthrough/{}/rootfs", "/run/kata-containers/shared/containers/{}/rootfs")


def files(subject):
    rows = []
    for name, program in (("shim.file_bytes", pod.SHIM), ("agent.file_bytes", "kata-agent")):
        path = subject.program(program)
        if os.path.exists(path):
            rows.append(stats.Row(name, os.path.getsize(path), "bytes", goal=GOALS[name]))
        else:
            rows.append(stats.skipped(name, f"no {program} beside the shim", "bytes"))
    return rows


def _in_guest(name, command):
    """Output of a program in the guest of pod `name`, with the guest's /proc."""
    reasons = []
    with ttrpc.Agent(pod.guest_address(name)) as agent:
        for rootfs in _ROOTFS:
            try:
                output = ttrpc.output_in_guest(agent, rootfs.format(name), command, f"{name}-look")
                if output:
                    return output
                reasons.append("no output")
            except ttrpc.RpcError as error:
                reasons.append(str(error))
    raise pod.BenchError(f"{' '.join(command)} in the guest: " + "; ".join(reasons))


def of_agent(name):
    """smaps_rollup of pid 1 of the guest of pod `name`, in KiB by field."""
    text = _in_guest(name, ("cat", "/proc/1/smaps_rollup"))
    found = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith(" kB")}
    if not found:
        raise pod.BenchError("no figures in the agent's smaps_rollup")
    return found


def before_modules(kernel_log):
    """Milliseconds from the kernel's "Run /init" to its first word about a module: exec, C library and the agent's beginning."""
    began = None
    for line in kernel_log.splitlines():
        stamp, _, text = line.partition("] ")
        if text.startswith("Run /init"):
            began = float(stamp.lstrip("[ "))
        elif began is not None and ("module verification failed" in text or "PF_VSOCK" in text):
            return (float(stamp.lstrip("[ ")) - began) * 1000
    raise pod.BenchError("the guest's kernel log does not tell of /init and the socket's modules")


def listening(name):
    """(ms from the kernel's "Run /init" to the listening socket but for the kernel modules of the socket, ms for those), by the guest's clocks."""
    with ttrpc.Agent(pod.guest_address(name)) as agent:
        stamps = agent.call("BootTimes", service="katacpp.agent.v1.Extra")
    started, loading, loaded, listens = (stamps.get(number, 0) / 1e6 for number in (1, 4, 2, 3))
    if not 0 < started <= loading <= loaded <= listens:
        raise pod.BenchError(f"the agent's stamps make no sense: {stamps}")
    return before_modules(_in_guest(name, ("dmesg",))) + listens - loaded, loaded - loading


def idle(subject, n, progress):
    """Idle pods, one after the other: shim, agent, and runc's shim for the same container."""
    pss, count, rss, dirty, runc, listen, modules = [], [], [], [], [], [], []
    for number in range(n):
        with subject.pod() as sample, subject.pod(runtime=pod.RUNC) as peer:
            time.sleep(SETTLE_SECONDS)
            shim = sample.process(pod.SHIM)
            pss.append(pod.memory(shim))
            count.append(pod.threads(shim))
            runc.append(pod.memory(peer.process(pod.RUNC_SHIM)))
            agent = of_agent(sample.name)
            rss.append(agent["Rss"])
            dirty.append(agent["Anonymous"])
            own, loading = listening(sample.name)
            listen.append(own)
            modules.append(loading)
        progress(f"idle pod {number + 1}/{n}")
    return [
        stats.plain("shim.pss_kib", pss, "KiB", GOALS["shim.pss_kib"], _against_runc(pss, runc)),
        stats.plain("shim.threads", count, "count", GOALS["shim.threads"]),
        stats.plain("agent.rss_kib", rss, "KiB", GOALS["agent.rss_kib"], "with one idle container"),
        stats.plain("agent.dirty_kib", dirty, "KiB", GOALS["agent.dirty_kib"],
                    "private dirty but for the program itself, which lies in the guest's initramfs"),
        stats.plain("agent.listen_ms", listen, "ms", GOALS["agent.listen_ms"],
                    f"kernel modules of the socket {stats.median(modules):.0f} ms"),
        stats.plain("runc_shim.pss_kib", runc, "KiB", note="containerd-shim-runc-v2, same run"),
    ]


def _against_runc(pss, runc):
    return "" if stats.median(pss) < stats.median(runc) else f"not below runc's shim ({stats.median(runc):.0f} KiB)"


def growth_by_exec(subject, count, progress):
    """PSS of the shim before and after `count` execs, and of runc's shim."""
    grown = {}
    for runtime, program in ((pod.KATA, pod.SHIM), (pod.RUNC, pod.RUNC_SHIM)):
        with subject.pod(runtime=runtime) as sample:
            time.sleep(SETTLE_SECONDS)
            before = pod.memory(sample.process(program))
            for number in range(count):
                sample.exec("true")
                if number % 10 == 9:
                    progress(f"{program}: exec {number + 1}/{count}")
            time.sleep(SETTLE_SECONDS)
            grown[runtime] = pod.memory(sample.process(program)) - before
    return [stats.Row("shim.exec_growth_kib", grown[pod.KATA], "KiB", count, goal=GOALS["shim.exec_growth_kib"],
                      note=f"PSS after {count} execs less that before; runc's shim {grown[pod.RUNC]} KiB")]
