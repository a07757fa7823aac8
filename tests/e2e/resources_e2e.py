"""CPU, memory and limits: the node's control groups, the size of the VM, the guest's limits by their effect."""

import glob
import os

import harness
from harness import Test, kata_only, processes_of
from kata_node import containerd


def cgroups_of(pid):
    """Returns {tid: {controller: path}} of a process's threads on v1 (the empty name is v2's)."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/cgroup"):
        with open(path, encoding="ascii") as file:
            rows = [line.rstrip("\n").split(":", 2) for line in file]
        found[int(path.split("/")[4])] = {name: place for _, names, place in rows for name in names.split(",")}
    return found


def thread_name(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def v1_controllers():
    """Controllers of the v1 hierarchies that are mounted."""
    wanted = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
    return [name for name in wanted if os.path.ismount(f"/sys/fs/cgroup/{name}")]


@kata_only
class NodeCgroups(Test):
    def setUp(self):
        if not v1_controllers():
            self.skipTest("no v1 hierarchies here")
        super().setUp()

    def path(self):
        return f"/{containerd.NAMESPACE}/{self.name}"

    def assert_inside(self, path, processes):
        self.assertEqual(set(processes) & {"containerd-shim-kata-v2"}, {"containerd-shim-kata-v2"}, processes)
        self.assertGreaterEqual(len(processes), 3, processes)
        for program, pids in processes.items():
            for pid in pids:
                for tid, groups in cgroups_of(pid).items():
                    for controller in v1_controllers():
                        self.assertEqual(groups[controller], path, f"thread {tid} ({thread_name(pid, tid)}) of {program} in {controller}")

    def test_everything_is_in_the_pods_cgroup(self):
        self.start_detached("sleep", "1000")
        self.assert_inside(self.path(), processes_of(self.name))
        with open(f"/sys/fs/cgroup/devices{self.path()}/devices.list", encoding="ascii") as file:
            rules = file.read()
        self.assertNotIn("a *:*", rules)
        self.assertIn("c 1:3 rwm", rules)

    def test_with_an_overhead_cgroup_only_the_vcpus_are_the_pods(self):
        self.start_detached("sleep", "1000", config=self.config(("runtime", "sandbox_cgroup_only", False)))
        vcpus = 0
        for program, pids in processes_of(self.name).items():
            for pid in pids:
                for tid, groups in cgroups_of(pid).items():
                    vcpu = program.startswith("qemu") and thread_name(pid, tid).startswith("CPU ")
                    vcpus += vcpu
                    for controller in v1_controllers():
                        mine = vcpu and controller in ("cpu", "cpuacct", "cpuset")
                        self.assertEqual(groups[controller], self.path() if mine else f"/kata_overhead/{self.name}",
                                         f"{thread_name(pid, tid)} of {program} in {controller}")
        self.assertEqual(vcpus, 1)

    def test_a_limit_that_no_guest_could_boot_with(self):
        self.expect_run("true", flags=("--rm", "--memory-limit", str(20 << 20)))

    def test_limits_reach_the_node_but_leave_room_for_the_vmm(self):
        self.start_detached("sleep", "1000", flags=("--cpus", "0.5", "--memory-limit", str(200 << 20)))

        def value(controller, file):
            with open(f"/sys/fs/cgroup/{controller}{self.path()}/{file}", encoding="ascii") as stream:
                return int(stream.read())

        self.assertEqual(value("cpu", "cpu.cfs_quota_us"), 50000)
        self.assertGreater(value("memory", "memory.limit_in_bytes"), 512 << 20)
        self.assertLess(value("memory", "memory.limit_in_bytes"), 8 << 30)

    def test_a_vmm_that_the_node_kills_for_lack_of_memory_is_told_so(self):
        if "memory" not in v1_controllers():
            self.skipTest("no v1 hierarchy of memory here")
        self.start_detached("sleep", "1000")
        folder = f"/sys/fs/cgroup/memory{self.path()}"
        with open(f"{folder}/memory.usage_in_bytes", encoding="ascii") as file:
            used = int(file.read())
        with open(f"{folder}/memory.limit_in_bytes", "w", encoding="ascii") as file:
            file.write(str(used + (16 << 20)))
        self.exec("dd", "if=/dev/urandom", "of=/dev/shm/x", "bs=1M", "count=56")
        self.wait_status("STOPPED")
        with open(harness.LAB.log_path, encoding="utf-8", errors="replace") as file:
            self.assertRegex(file.read(), f"the node killed it for lack of memory .cgroup {self.path()}, out-of-memory kills: 1")

    def test_cgroups_taken_away_by_somebody_else(self):
        self.start_detached("sleep", "1000")
        for controller in v1_controllers():
            folder = f"/sys/fs/cgroup/{controller}{self.path()}"
            with open(f"{folder}/tasks", encoding="ascii") as file:
                threads = file.read().split()
            for thread in threads:
                with open(f"/sys/fs/cgroup/{controller}/tasks", "w", encoding="ascii") as file:
                    file.write(thread)
            os.rmdir(folder)
        self.assertEqual(self.exec("echo", "goes on").stdout, b"goes on\n")
        harness.LAB.ctr("task", "rm", "-f", self.name, check=True)

    def test_cgroup_path_that_leads_out(self):
        result = self.run_container("true", flags=("--rm", "--cgroup", "/a/../../b"))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"leads out of the hierarchy", result.stderr)
