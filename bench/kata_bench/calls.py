"""Rows about short calls on a running pod: exec, and the end of a container."""

import subprocess
import time

from . import pod, stats, ttrpc

GOAL_EXEC = ("<=", 0.5)
GOAL_STOP = ("<=", 250)
_GONE_SECONDS = 30


def execs(subject, n, progress):
    """exec of `true`: through containerd, by a direct client of the agent in the same VM, and through containerd in a runc container."""
    own, direct, runc = [], [], []
    with subject.pod() as sample, subject.pod(runtime=pod.RUNC) as peer, ttrpc.Agent(sample.guest_address) as agent:
        sample.exec("true")
        peer.exec("true")
        for number in range(n):
            started = time.monotonic()
            ttrpc.execute(agent, sample.name, f"direct-{number}", "true")
            direct.append(time.monotonic() - started)
            own.append(sample.exec("true")[1])
            runc.append(peer.exec("true")[1])
            progress(f"exec {number + 1}/{n}")
    in_ms = [value * 1000 for value in own]
    return [stats.over_peer("exec.over_runc", own, direct, runc, GOAL_EXEC),
            stats.plain("exec.ms", in_ms, "ms", floor=[value * 1000 for value in direct],
                        note=f"the same exec through runc {stats.median(runc) * 1000:.0f} ms")]


def stop(subject, n, progress):
    """`ctr task kill -s KILL` of a sleeping container that a `ctr run --rm` waits for, to no process of ours left."""
    taken = []
    for number in range(n):
        name = subject.new_id()
        with subject.popen(subject.words(name, "sh", "-c", "echo ready; exec sleep 100000")) as child:
            try:
                if child.stdout.readline() != b"ready\n":
                    raise pod.BenchError(f"{name} did not start: {child.communicate(timeout=20)[1].decode(errors='replace').strip()}")
                pids = [pid for group in pod.processes_of(name).values() for pid in group]
                with pod.Watch(pids) as watch:
                    started = time.monotonic()
                    subprocess.run(subject.lab.ctr_command("task", "kill", "-s", "KILL", name), env=subject.lab.environment, check=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=_GONE_SECONDS)
                    left = watch.wait(_GONE_SECONDS)
                    taken.append((time.monotonic() - started) * 1000)
                if left:
                    raise pod.BenchError(f"processes {left} of {name} are still there {_GONE_SECONDS} s after the kill")
                child.communicate(timeout=_GONE_SECONDS)
            finally:
                if child.poll() is None:
                    child.kill()
        progress(f"stop {number + 1}/{n}")
    return [stats.plain("stop.ms", taken, "ms", GOAL_STOP, "from the start of `ctr task kill` to no process of ours")]
