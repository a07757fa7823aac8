"""The measurements by group, and a session that runs the wanted ones and gathers their rows."""

import contextlib
import fnmatch
import os
import subprocess
import sys
import tempfile
import time

from . import calls, disks, growth, memory, pod, pods, sizing, soak, start, stats, streams, table, timeline, ways
from .floor import BootFloor

SPINE = ("start.over_runc", "start.ratio", "shim.pss_kib", "shim.threads", "shim.file_bytes", "agent.file_bytes", "agent.rss_kib",
         "stdout.ratio", "soak.failures", "soak.growth")


class Session:
    """`subjects`: ours first, then at most one to compare with. Rows come as one list per subject."""

    def __init__(self, subjects, n, soak_runs, shared_machine):
        self.subjects, self.n, self.soak_runs, self.shared = subjects, n, soak_runs, shared_machine
        self._floors = None
        self._started = time.monotonic()

    def progress(self, text):
        print(f"[{time.monotonic() - self._started:6.0f} s] {text}", file=sys.stderr, flush=True)

    @property
    def floors(self):
        """Boot floors of the subjects, from a pod of each that is gone again."""
        if self._floors is None:
            self._floors = []
            for subject in self.subjects:
                with subject.pod() as sample:
                    self._floors.append(BootFloor(sample))
        return self._floors

    def each(self, measure):
        return [measure(subject) for subject in self.subjects]

    def files(self):
        return self.each(memory.files)

    def start(self):
        return start.single(self.subjects, self.floors, self.n, self.progress)

    def first_floor(self):
        return [[start.first_floor(floor, max(1, self.n // 2), self.progress)] for floor in self.floors]

    def boot_forms(self):
        return self.each(lambda subject: start.forms(subject, max(1, self.n // 2), self.progress))

    def parallel(self):
        return [start.parallel(subject, floor, (10, 20), max(1, self.n // 7), self.progress)
                for subject, floor in zip(self.subjects, self.floors)]

    def idle(self):
        return self.each(lambda subject: memory.idle(subject, max(1, self.n // 6), self.progress))

    def exec_growth(self):
        return self.each(lambda subject: memory.growth_by_exec(subject, 100 if self.n > 2 else 10, self.progress))

    def execs(self):
        return self.each(lambda subject: calls.execs(subject, self.n, self.progress))

    def stop(self):
        return self.each(lambda subject: calls.stop(subject, max(1, self.n // 2), self.progress))

    def _stream(self, measure):
        def one(subject):
            helper = streams.build_helper(subject.folder)
            with subject.pod(flags=streams.flags(helper)) as sample:
                return measure(sample, max(1, self.n // 4), self.progress)

        return self.each(one)

    def stdout(self):
        return self._stream(streams.stdout)

    def stdin(self):
        return self._stream(streams.stdin)

    def soak(self):
        return self.each(lambda subject: soak.in_a_row(subject, self.soak_runs, self.shared, self.progress))

    def soak_at_once(self):
        return self.each(lambda subject: soak.at_once(subject, 16, 5 if self.n > 2 else 1, self.shared, self.progress))

    def growth_exec(self):
        return self.each(lambda subject: growth.exec_steps(subject, 10, 100 if self.n > 2 else 2, self.progress))

    def growth_containers(self):
        return self.each(lambda subject: growth.container_steps(subject, growth.CONTAINERS if self.n > 2 else 3, self.progress))

    def growth_pods(self):
        return self.each(lambda subject: growth.pod_steps(subject, 1000 if self.n > 2 else 3, self.progress))

    def growth_layers(self):
        counts, rounds = ((3, 8, 16, 32, 64), 3) if self.n > 2 else ((3, 64), 1)
        return self.each(lambda subject: growth.layers(subject, counts, rounds, self.progress))

    def pods(self):
        return [pods.one_by_one(subject, floor, max(1, self.n // 2), self.progress) for subject, floor in zip(self.subjects, self.floors)]

    def pods_at_once(self):
        return [pods.at_once(subject, floor, max(1, self.n // 7), self.progress) for subject, floor in zip(self.subjects, self.floors)]

    def with_limits(self):
        return self.each(lambda subject: sizing.with_limits(subject, max(1, self.n // 3), self.progress))

    def hot_plug(self):
        return self.each(lambda subject: sizing.hot_plug(subject, max(1, self.n // 4), self.progress))

    def reclaim(self):
        return self.each(lambda subject: sizing.reclaim(subject, 1024, self.progress))

    def idle_cpu(self):
        return self.each(lambda subject: sizing.idle_cpu(subject, 60 if self.n > 2 else 5, self.progress))

    def pod_memory(self):
        return [sizing.pod_memory(subject, floor, max(1, self.n // 6), self.progress) for subject, floor in zip(self.subjects, self.floors)]

    def disk_reads(self):
        return self.each(lambda subject: disks.reads(subject, max(1, self.n // 3), self.progress))

    def disk_attach(self):
        return self.each(lambda subject: disks.attach(subject, max(1, self.n // 3), self.progress))

    def disk_layers(self):
        return self.each(lambda subject: disks.layers(subject, max(1, self.n // 2), self.progress))

    def tcp(self):
        return self.each(lambda subject: ways.tcp(subject, max(1, self.n // 3), self.progress))

    def share(self):
        return self.each(lambda subject: ways.files(subject, max(1, self.n // 7), self.progress))


# Group → its rows. A group runs when one of them is wanted.
GROUPS = (
    ("files", ("shim.file_bytes", "agent.file_bytes")),
    ("start", ("start.over_runc", "start.kvm_over_runc", "start.ratio", "start.seconds")),
    ("first_floor", ("boot.first_ratio",)),
    ("boot_forms", tuple(f"boot.form.{name}" for name, *_ in start.BOOT_FORMS)),
    ("parallel", ("start.parallel_ratio", "start.parallel_ratio.10", "start.parallel_ratio.20")),
    ("idle", ("shim.pss_kib", "shim.threads", "agent.rss_kib", "agent.dirty_kib", "agent.listen_ms", "runc_shim.pss_kib")),
    ("exec_growth", ("shim.exec_growth_kib",)),
    ("execs", ("exec.over_runc", "exec.ms")),
    ("stdout", ("stdout.ratio", "stdout.direct_ratio")),
    ("stdin", ("stdin.ratio",)),
    ("stop", ("stop.ms",)),
    ("soak", ("soak.failures", "soak.growth")),
    ("soak_at_once", ("soak.at_once.failures", "soak.at_once.growth")),
    ("growth_exec", ("growth.exec_ms", "growth.exec_kib")),
    ("growth_containers", ("growth.containers", "shim.container_kib")),
    ("growth_pods", ("growth.pod_kib", "growth.pod_start_s")),
    ("growth_layers", ("growth.layer_ms",)),
    ("pods", ("pod.over_runc", "container.runc_ratio", "net.ms")),
    ("pods_at_once", ("pod.parallel_ratio",)),
    ("with_limits", ("sizing.ratio",)),
    ("hot_plug", ("hotplug.ms", "hotplug.ratio")),
    ("reclaim", ("reclaim.ratio",)),
    ("idle_cpu", ("idle.cpu",)),
    ("pod_memory", ("pod.pss_kib", "pod.pss_ratio", "pod.per_gib")),
    ("disk_reads", ("block.iops_ratio", "block.seq_ratio")),
    ("disk_attach", ("attach.ms",)),
    ("disk_layers", ("erofs.layers_ratio",)),
    ("tcp", ("tcp.ratio",)),
    ("share", ("share.ratio",)),
)
ALL = tuple(row for _, rows in GROUPS for row in rows)


def wanted(patterns):
    """Row names for patterns: a name, a shell pattern, or the part before a dot. Raises ValueError for one that fits nothing."""
    chosen = []
    for pattern in patterns:
        found = [row for row in ALL if fnmatch.fnmatchcase(row, pattern) or row.startswith(pattern + ".")]
        if not found:
            raise ValueError(f"no row is called {pattern}: there are {' '.join(ALL)}")
        chosen += found
    return set(chosen)


def measure(session, names):
    """Runs the groups that have a wanted row; a group that fails leaves its rows with the reason.

    Returns (rows per subject, whether all worked).
    """
    gathered, worked = [[] for _ in session.subjects], True
    for group, rows in GROUPS:
        mine = [row for row in rows if row in names]
        if not mine:
            continue
        try:
            results = getattr(session, group)()
        except (pod.BenchError, pod.containerd.LabError, OSError, EOFError, subprocess.SubprocessError) as error:
            session.progress(f"{group}: {error}")
            worked = False
            results = [[stats.Row(row, None, "", 0, note=f"failed: {str(error).splitlines()[0][:160]}") for row in mine]
                       for _ in session.subjects]
        for rows_of_one, target in zip(results, gathered):
            target += [row for row in rows_of_one if row.name in names]
    return gathered, worked


def run(arguments, names, command):
    """Sets up, measures, prints, cleans up; returns the exit status."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="kata-bench.") as folder, contextlib.ExitStack() as stack:
        places = [None] + ([arguments.against] if arguments.against else [])
        subjects = [stack.enter_context(pod.Subject(os.path.join(folder, f"s{index}"), f"kata-bench-{os.getpid()}-{index}", place,
                                                    arguments.containerd)) for index, place in enumerate(places)]
        session = Session(subjects, arguments.n, arguments.soak, arguments.shared_machine)
        gathered, worked = measure(session, names) if names else ([[] for _ in subjects], True)
        if arguments.timeline:
            print(timeline.draw(subjects[0], arguments.timeline))
    if not names:
        return 0
    peers = gathered[1] if arguments.against else None
    print(f"{table.machine()}; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(table.text(gathered[0], {row.name: row for row in peers} if peers else None))
    if arguments.json:
        table.write(arguments.json, table.to_json(gathered[0], command, load, peers))
    problems = stats.failures(gathered[0])
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems or not worked else 0
