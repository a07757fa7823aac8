"""Rows about what one more costs: execs in a pod, pods at once, layers of an image. Each with its slope."""

import os
import time

from . import pod, pods, stats

CONTAINERS = 50


def exec_steps(subject, steps, count, progress):
    """Time and memory per step of many execs in one pod: `steps` groups of `count` execs."""
    times, sizes = [], []
    with subject.pod() as sample:
        shim = sample.process(pod.SHIM)
        for step in range(steps):
            group = [sample.exec("true")[1] for _ in range(count)]
            times.append((step * count, stats.median(group) * 1000))
            sizes.append((step * count, pod.memory(shim)))
            progress(f"execs {(step + 1) * count}/{steps * count}")
    return [stats.Row("growth.exec_ms", times[-1][1] - times[0][1], "ms", steps * count,
                      note=f"median of the last {count} execs less that of the first; slope {stats.slope(times) * 1000:.3f} ms per 1000"),
            stats.Row("growth.exec_kib", sizes[-1][1] - sizes[0][1], "KiB", steps * count,
                      note=f"shim's PSS; slope {stats.slope(sizes) * 1000:.1f} KiB per 1000 execs")]


def container_steps(subject, count, progress):
    """Time and memory per further container of one pod, up to `count`: each is created, started and stays."""
    times, sizes = [], []
    with pods.Node(subject) as node, node.running("kata") as (config, identity, _):
        shim = pod.Running(identity).process(pod.SHIM)
        for number in range(1, count + 1):
            times.append((number, node.start_container(config, identity, f"c{number}", ("sleep", "100000")) * 1000))
            sizes.append((number, pod.memory(shim)))
            if number % 10 == 0 or number == count:
                progress(f"{number}/{count} containers in a pod")
    if count < 2:
        return [stats.skipped(name, "one container has no slope") for name in ("growth.containers", "shim.container_kib")]
    return [stats.Row("growth.containers", stats.slope(times), "ms", count,
                      note=f"create and start per container that already runs (slope); first {times[0][1]:.0f} ms, last {times[-1][1]:.0f} ms"),
            stats.Row("shim.container_kib", stats.slope(sizes), "KiB", count, note="shim's PSS per further container (slope)")]


def pod_steps(subject, limit, progress):
    """Pods at once until 60 % of MemAvailable is used or there are `limit`: time and memory per pod, with the slope."""
    begin = _available()
    times, used, running = [], [], []
    try:
        while len(running) < limit and begin - _available() < 0.6 * begin:
            one = subject.pod()
            started = time.monotonic()
            one.__enter__()
            running.append(one)
            times.append((len(running), time.monotonic() - started))
            used.append((len(running), begin - _available()))
            progress(f"{len(running)} pods at once")
    finally:
        for one in running:
            one.__exit__(None, None, None)
    if len(running) < 2:
        return [stats.skipped("growth.pods", "no memory for two pods")]
    return [stats.Row("growth.pod_kib", stats.slope(used), "KiB", len(running), note="MemAvailable per further pod (slope)"),
            stats.Row("growth.pod_start_s", stats.slope(times), "s", len(running),
                      note=f"start time per pod that already runs (slope); first {times[0][1]:.2f} s, last {times[-1][1]:.2f} s")]


def _available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))


def layers(subject, counts, rounds, progress):
    """Start time with images of more and more layers, less the start time of runc with the same image."""
    points = []
    for count in counts:
        name = f"localhost/kata-layers-{count}:latest"
        archive = os.path.join(subject.folder, "layers.tar")
        with open(archive, "wb") as file:
            file.write(pod.image.build(name, further_layers=count - pod.image.LAYERS))
        subject.lab.ctr("image", "import", archive, check=True, timeout=120)
        os.unlink(archive)
        own, runc = [], []
        for _ in range(rounds):
            own.append(subject.run("echo", "ready", image_name=name)[0])
            runc.append(subject.run("echo", "ready", image_name=name, runtime=pod.RUNC)[1])
        points.append((count, stats.median(own) - stats.median(runc)))
        progress(f"{count} layers")
    first, last = points[0], points[-1]
    return [stats.Row("growth.layer_ms", stats.slope(points) * 1000, "ms", rounds,
                      note=f"start less runc's per layer (slope); {first[1]:.2f} s with {first[0]}, {last[1]:.2f} s with {last[0]} layers")]
