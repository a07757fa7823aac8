"""Limits of containers by what they do in the guest, the guest's clock, memory that comes back to the node."""

import os
import signal
import time

import cri_harness
import harness
from cri_harness import Pod, Test

MIB = 1 << 20


def setUpModule():
    cri_harness.set_up(sandboxer=harness.OPTIONS.sandboxer)


def tearDownModule():
    cri_harness.tear_down()


def resources(**values):
    return {"linux": {"resources": values}}


@harness.kata_only
class GuestLimits(Test):
    def test_cpu_quota_throttles(self):
        container = Pod(self).sleeper(**resources(cpuQuota=10000, cpuPeriod=100000))
        container.shell("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done", seconds=60)
        numbers = dict(line.split() for line in container.shell("cat /sys/fs/cgroup/cpu.stat").splitlines())
        self.assertGreater(int(numbers["nr_throttled"]), 0, numbers)
        self.assertGreater(int(numbers["throttled_usec"]), 0, numbers)

    def test_out_of_memory_kills_in_that_container_and_is_told(self):
        pod = Pod(self)
        other = pod.sleeper(name="other")
        greedy = pod.run("sh", "-c", "tail /dev/zero", name="greedy", **resources(memoryLimitInBytes=24 * MIB))
        self.assertEqual(greedy.finished(60), 137)
        self.assertEqual(greedy.status()["reason"], "OOMKilled")
        self.assertEqual(other.shell("echo alive"), "alive\n")
        self.assertEqual(other.state(), "RUNNING")

    def test_too_many_processes(self):
        container = Pod(self).sleeper(**resources(unified={"pids.max": "8"}))
        code, out, err = container.exec("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all")
        self.assertIn("Resource temporarily unavailable", out + err)
        self.assertNotEqual((code, out), (0, "all\n"))
        events = dict(line.split() for line in container.shell("cat /sys/fs/cgroup/pids.events").splitlines())
        self.assertGreater(int(events["max"]), 0)


@harness.kata_only
class Clock(Test):
    def offset(self, container):
        """Seconds that the guest's clock is off, at least: what the question itself took is no error."""
        before = time.time()
        words = dict(line.split(":", 1) for line in container.shell("adjtimex | grep -E 'tv_|status'").replace(" ", "").splitlines())
        after = time.time()
        guest = int(words["time.tv_sec"]) + int(words["time.tv_usec"]) / 1e6
        return max(0.0, before - guest, guest - after)

    def test_after_start_and_after_a_stop_of_the_vmm(self):
        pod = Pod(self)
        container = pod.sleeper()
        self.assertLess(self.offset(container), 0.1)
        # 256 bits: the kernel's random numbers are seeded
        self.assertEqual(container.shell("cat /proc/sys/kernel/random/entropy_avail"), "256\n")
        qemu = next(pids[0] for name, pids in pod.processes().items() if name.startswith("qemu"))
        os.kill(qemu, signal.SIGSTOP)
        time.sleep(2)  # the time that the VM does not see is the test's subject
        os.kill(qemu, signal.SIGCONT)
        self.assertLess(self.offset(container), 0.1)


@harness.kata_only
class Reclaim(Test):
    def guest_kib(self, pod):
        """Memory of the pod's VM on the node."""
        qemu = next(pids[0] for name, pids in pod.processes().items() if name.startswith("qemu"))
        with open(f"/proc/{qemu}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))

    def test_freed_memory_comes_back(self):
        pod = Pod(self)
        container = pod.sleeper()
        before = self.guest_kib(pod)
        container.shell("dd if=/dev/urandom of=/dev/shm/x bs=1M count=56 2>/dev/null",
                        seconds=60)
        used = self.guest_kib(pod) - before
        self.assertGreater(used, 40 * 1024)
        container.shell("rm /dev/shm/x")
        self.eventually(lambda: self.guest_kib(pod) - before < used * 0.1, f"90 % of {used} KiB are the node's again", 30)
