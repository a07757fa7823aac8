"""What only a production host has, by its effect: hardware virtualisation, vhost-vsock, vhost-net, huge pages, cgroup v2.

On a machine without them these tests are skipped; tools/lab is a machine that has them all.
"""

import glob
import os
import re
import stat
import time

import cri_harness
import harness
from cri_harness import Pod
from kata_node import containerd


def hardware():
    """Why KVM cannot be used here, or nothing."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        if not re.search(r"^flags.* (vmx|svm)( |$)", file.read(), re.MULTILINE):
            return "the CPU shows neither vmx nor svm"
    return "" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "no /dev/kvm"


def device(name):
    """Why this character device cannot be used, or nothing."""
    try:
        return "" if stat.S_ISCHR(os.stat(f"/dev/{name}").st_mode) else f"/dev/{name} is no device"
    except OSError as error:
        return f"/dev/{name}: {error.strerror}"


def free_huge_pages():
    with open("/proc/meminfo", encoding="ascii") as file:
        numbers = dict(line.split(":", 1) for line in file)
    return int(numbers["HugePages_Free"])


def command_line(processes, program):
    pid = next((pids[0] for name, pids in processes.items() if name.startswith(program)), None)
    if pid is None:
        return None
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()


class HostTest:
    def need(self, *problems):
        for problem in problems:
            if problem:
                self.skipTest(problem)


@harness.kata_only
class Hardware(HostTest, harness.Test):
    def test_best_of_the_host_is_taken_by_itself(self):
        self.need(hardware(), device("vhost-vsock"))
        self.start_detached("sleep", "1000")
        processes = harness.processes_of(self.name)
        qemu = command_line(processes, "qemu-system")
        self.assertIn(" -accel kvm ", qemu)
        self.assertIn(" -cpu host", qemu)
        self.assertIn(" vhost-vsock-pci,", qemu)
        self.assertNotIn("kata-vsock-device", processes)
        self.assertEqual(self.exec("sh", "-c", "echo out; exit 3").stdout, b"out\n")
        # words that make sense under emulation only
        words = self.exec("cat", "/proc/cmdline").stdout.decode()
        for word in ("mitigations=off", "nokaslr", "tsc=reliable"):
            self.assertNotIn(word, words)

    def test_huge_pages(self):
        self.need(hardware(), "" if free_huge_pages() >= 128 else "fewer than 128 huge pages are free")
        before = free_huge_pages()
        config = self.config(("hypervisor.qemu", "enable_hugepages", True), ("hypervisor.qemu", "reclaim_guest_freed_memory", None))
        self.start_detached("sleep", "1000", config=config)
        self.assertIn("hugetlb=on", command_line(harness.processes_of(self.name), "qemu-system"))
        self.assertLess(free_huge_pages(), before)
        self.assertEqual(self.exec("sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=32 2>/dev/null; wc -c < /dev/shm/x").stdout, b"33554432\n")
        harness.LAB.ctr("task", "rm", "-f", self.name, check=True)
        self.assertEqual(free_huge_pages(), before)


@harness.kata_only
class PodOnHardware(HostTest, cri_harness.Test):
    @classmethod
    def setUpClass(cls):
        if hardware() or device("vhost-net"):
            raise cls.skipTest(cls, hardware() or device("vhost-net"))
        cri_harness.set_up(sandboxer=harness.OPTIONS.sandboxer)

    @classmethod
    def tearDownClass(cls):
        cri_harness.tear_down()

    def test_network_by_vhost(self):
        pod = Pod(self)
        container = pod.sleeper()
        qemu = command_line(pod.processes(), "qemu-system")
        self.assertIn("vhost=on,vhostfds=", qemu)
        self.assertIn(" -accel kvm ", qemu)
        pid = next(pids[0] for name, pids in pod.processes().items() if name.startswith("qemu"))
        threads = set()
        for path in glob.glob(f"/proc/{pid}/task/*/comm") + glob.glob("/proc/[0-9]*/comm"):
            with open(path, encoding="utf-8", errors="replace") as file:
                threads.add(file.read().strip())
        self.assertIn(f"vhost-{pid}", threads)
        gateway = container.shell("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'").strip()
        self.assertIn(" 0% packet loss", container.shell(f"ping -c2 -W5 {gateway}"))


def threads_of(pid):
    """{name of the thread: its cgroup below the v2 mount}"""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{path}/comm", encoding="utf-8", errors="replace") as name, open(f"{path}/cgroup", encoding="ascii") as groups:
            found[name.read().strip()] = groups.read().strip().partition("::")[2]
    return found


@harness.kata_only
class UnifiedCgroups(HostTest, harness.Test):
    """A host whose controllers are all in the v2 hierarchy."""

    def setUp(self):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            unified = any(line.split()[4] == "/sys/fs/cgroup" and " - cgroup2 " in line for line in file)
        self.need("" if unified else "the host is not one of cgroup v2 alone")
        super().setUp()

    def path(self):
        return f"/{containerd.NAMESPACE}/{self.name}"

    def value(self, file, path=None):
        with open(f"/sys/fs/cgroup{path or self.path()}/{file}", encoding="ascii") as stream:
            return stream.read().strip()

    def places(self):
        """{program: {thread: cgroup}} of the pod's processes."""
        found = {}
        for program, pids in harness.processes_of(self.name).items():
            for pid in pids:
                found.setdefault(program, {}).update(threads_of(pid))
        self.assertIn("containerd-shim-kata-v2", found)
        self.assertTrue([program for program in found if program.startswith("virtiofsd")], found)
        return found

    def vcpus_at_work(self, file):
        """Lets the container work until this counter of cpu.stat moves."""
        spin = self.popen("task", "exec", "--exec-id", "spin", self.name, "sh", "-c", "while :; do :; done")
        deadline = time.monotonic() + 40
        while not re.search(r"nr_throttled [1-9]", self.value("cpu.stat", file)):
            self.assertLess(time.monotonic(), deadline, self.value("cpu.stat", file))
            time.sleep(0.1)  # cpu.stat tells nobody that it changes
        spin.kill()

    def test_everything_is_in_the_pods_cgroup_and_limited(self):
        self.ctr_leaves_fifos = True
        self.start_detached("sleep", "1000", flags=("--cpus", "0.2", "--memory-limit", str(200 << 20)))
        for program, threads in self.places().items():
            self.assertEqual(set(threads.values()), {self.path()}, f"{program}: {threads}")
        self.assertEqual(self.value("cpu.max"), "20000 100000")
        self.assertLess(512 << 20, int(self.value("memory.max")))
        self.assertLess(int(self.value("memory.max")), 8 << 30)
        self.vcpus_at_work(self.path())
        metrics = harness.LAB.ctr("task", "metrics", self.name, check=True).stdout.decode()
        self.assertRegex(metrics, r"memory\.usage\w* +[1-9]")
        self.assertRegex(metrics, r"pids\.current +[1-9]")
        # a paused container's processes stand still, the pod's own do not
        harness.LAB.ctr("task", "pause", self.name, check=True)
        self.wait_status("PAUSED")
        harness.LAB.ctr("task", "resume", self.name, check=True)
        self.assertEqual(self.exec("echo", "goes on").stdout, b"goes on\n")

    def test_with_an_overhead_cgroup_only_the_vcpus_are_limited(self):
        self.ctr_leaves_fifos = True
        self.start_detached("sleep", "1000", flags=("--cpus", "0.2"), config=self.config(("runtime", "sandbox_cgroup_only", False)))
        vcpus = []
        for program, threads in self.places().items():
            for name, place in threads.items():
                if program.startswith("qemu"):
                    vcpu = name.startswith("CPU ")
                    vcpus += [name] if vcpu else []
                    self.assertEqual(place, self.path() + ("/vcpus" if vcpu else ""), f"{name} of {program}")
                else:
                    self.assertEqual(place, f"/kata_overhead/{self.name}", f"{name} of {program}")
        self.assertEqual(len(vcpus), 1, vcpus)
        self.assertEqual(self.value("cpu.max", self.path() + "/vcpus"), "20000 100000")
        self.vcpus_at_work(self.path() + "/vcpus")

    def test_path_in_systemds_form(self):
        self.start_detached("sleep", "1000", flags=("--cgroup", f"kata-e2e.slice:kata:{self.name}"))
        for program, threads in self.places().items():
            self.assertEqual(set(threads.values()), {f"/kata.slice/kata-e2e.slice/kata-{self.name}.scope"}, f"{program}: {threads}")
