"""VMs that grow and shrink with their containers (static_sandbox_resource_mgmt = false)."""

import hashlib
import os

import cri_harness
import harness
from cri_harness import Pod, Test

MIB = 1 << 20


def use(*tables):
    """A containerd whose pods have this configuration on top of the run's own."""
    saved = harness.OPTIONS.tables
    harness.OPTIONS.tables = [*saved, ("runtime", "static_sandbox_resource_mgmt", False), ("hypervisor.qemu", "default_maxvcpus", 2),
                              ("hypervisor.qemu", "default_maxmemory", 2048), *tables]
    try:
        cri_harness.set_up(sandboxer=harness.OPTIONS.sandboxer)
    finally:
        harness.OPTIONS.tables = saved


def call(method, **request):
    return cri_harness.CLIENT.call(method, **request)


def limits(vcpus, mib):
    return {"linux": {"resources": {"cpuQuota": int(vcpus * 100000), "cpuPeriod": 100000, "memoryLimitInBytes": mib * MIB}}}


class Resizing(Test):
    """What holds with any kind of memory that comes later."""

    tables = ()

    @classmethod
    def setUpClass(cls):
        if cls is Resizing:
            raise cls.skipTest(cls, "the cases below")
        use(*cls.tables)

    @classmethod
    def tearDownClass(cls):
        cri_harness.tear_down()

    def memory_mib(self, container):
        return int(container.shell("grep MemTotal /proc/meminfo").split()[1]) // 1024

    def wait_memory(self, container, least, most):
        self.eventually(lambda: least <= self.memory_mib(container) <= most, f"between {least} and {most} MiB of memory")

    def check_input_and_output(self, container):
        """Data through virtiofsd and the vsock device, more than the VM had room for at its start."""
        count, lines = (16, 256) if os.environ.get("KATA_LAB") else (160, 4096)  # the lab is an emulated machine
        expected = hashlib.md5(bytes(MIB) * count).hexdigest()
        self.assertIn(expected, container.shell(f"dd if=/dev/zero of=/data bs=1M count={count} 2>/dev/null; md5sum /data", seconds=200))
        container.shell(f"i=0; while [ $i -lt {lines} ]; do echo $i-0123456789abcdef0123456789abcdef; i=$((i+1)); done > /lines", seconds=60)
        out = container.shell("cat /lines; rm /data", seconds=60)
        self.assertEqual(out, "".join(f"{i}-0123456789abcdef0123456789abcdef\n" for i in range(lines)))

    def test_the_vm_grows_with_a_container(self):
        pod = Pod(self)
        small = pod.sleeper(name="small")
        before = self.memory_mib(small)
        self.assertEqual(small.shell("nproc"), "1\n")
        large = pod.sleeper(name="large", **limits(1, 512))
        self.assertEqual(large.shell("nproc"), "2\n")
        self.wait_memory(large, before + 480, before + 513)
        self.check_input_and_output(large)
        self.assertEqual(small.shell("nproc"), "2\n")

    def test_an_update_changes_vm_and_container(self):
        container = Pod(self).sleeper(**limits(0.5, 128))
        before = self.memory_mib(container)
        call("UpdateContainerResources", containerId=container.id, linux={"memoryLimitInBytes": 512 * MIB})
        self.assertEqual(container.shell("cat /sys/fs/cgroup/memory.max"), f"{512 * MIB}\n")
        self.wait_memory(container, before + 300, before + 385)

    def test_memory_is_given_back(self):
        # by virtio-mem, or from DIMMs by the balloon (which MemTotal does not count, since it gives back before anything is killed)
        def free_mib():
            return int(container.shell("grep MemFree /proc/meminfo").split()[1]) // 1024

        container = Pod(self).sleeper(**limits(0, 640))
        large = free_mib()
        call("UpdateContainerResources", containerId=container.id, linux={"memoryLimitInBytes": 128 * MIB})
        self.eventually(lambda: free_mib() <= large - 400, f"less than {large - 400} MiB free")
        self.assertEqual(container.shell("echo alive"), "alive\n")

    def test_more_than_the_maximum_is_as_much_as_there_is(self):
        container = Pod(self).sleeper(**limits(64, 1 << 20))
        self.assertEqual(container.shell("nproc"), "2\n")
        self.wait_memory(container, 1800, 2048)


@harness.kata_only
class Dimms(Resizing):
    # A kernel that leaves new memory to the agent.
    tables = (("hypervisor.qemu", "kernel_params", "memhp_default_state=offline"),)

    def test_memory_slots_run_out(self):
        pod = Pod(self)
        first = pod.sleeper(name="first", **limits(0, 128))
        for number in range(12):
            try:
                call("UpdateContainerResources", containerId=first.id, linux={"memoryLimitInBytes": (256 + 128 * number) * MIB})
            except Exception as error:  # noqa: BLE001: what the client says is the subject
                self.assertIn("no memory slot left", str(error))
                break
        # the pod goes on with what it has
        self.assertEqual(first.shell("echo alive"), "alive\n")


@harness.kata_only
class VirtioMem(Resizing):
    tables = (("hypervisor.qemu", "enable_virtio_mem", True),)

    def test_memory_that_goes_is_gone_from_the_guest(self):
        container = Pod(self).sleeper(**limits(0, 640))
        large = self.memory_mib(container)
        call("UpdateContainerResources", containerId=container.id, linux={"memoryLimitInBytes": 128 * MIB})
        self.wait_memory(container, 128, large - 300)
