"""Rows about many runs: failures, and what grows."""

import concurrent.futures
import os
import threading

from . import pod, stats

_SETTLE_SECONDS = 10


class Soak:
    """Counts failed runs and the new things on the machine between begin and end."""

    def __init__(self, subject, shared_machine):
        self._subject, self._match = subject, subject.prefix if shared_machine else None
        self.failures, self.runs, self.reasons, self._lock = 0, 0, [], threading.Lock()
        self._before = self._picture().to_json()

    def _picture(self):
        lab = self._subject.lab
        return pod.residue.Picture("ours", lab.pid, [os.path.join(lab.folder, "state")], self._match)

    def run(self):
        reason = None
        try:
            _, _, out = self._subject.run("echo", "ready")
            if out != b"ready\n":
                reason = f"printed {out[:100]!r}"
        except pod.BenchError as error:
            reason = str(error)
        with self._lock:
            self.runs += 1
            if reason:
                self.failures += 1
                self.reasons.append(reason)

    def rows(self, prefix="soak"):
        left = pod.residue.compare_until_clean(self._before, self._picture, _SETTLE_SECONDS)
        left = [thing for thing in left if not (thing[0] == "cgroup" and thing[1].endswith("/" + pod.containerd.NAMESPACE))]
        why = f"; {self.reasons[0]}" if self.reasons else ""
        what = "; ".join(f"{kind} {name}" for kind, name in left[:3])
        return [stats.Row(f"{prefix}.failures", self.failures, "count", self.runs, goal=("==", 0), note=f"of {self.runs} runs{why}"),
                stats.Row(f"{prefix}.growth", len(left), "count", self.runs, goal=("==", 0),
                          note=what or "processes, mounts, descriptors of containerd, sockets, cgroups, files")]


def in_a_row(subject, n, shared_machine, progress):
    soak = Soak(subject, shared_machine)
    for number in range(n):
        soak.run()
        progress(f"soak {number + 1}/{n}, {soak.failures} failed")
    return soak.rows()


def at_once(subject, count, rounds, shared_machine, progress):
    """`count` runs at once, `rounds` times."""
    soak = Soak(subject, shared_machine)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for number in range(rounds):
            for done in [pool.submit(soak.run) for _ in range(count)]:
                done.result()
            progress(f"soak of {count} at once {number + 1}/{rounds}, {soak.failures} failed")
    return soak.rows("soak.at_once")
