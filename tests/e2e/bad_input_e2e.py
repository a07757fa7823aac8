"""Bad input: the message names the thing, the place and what to do; nothing is left; containerd's own state stays usable."""

import os
import subprocess
import sys
import time

import harness
from harness import REPO, Test, kata_only

QEMU = "hypervisor.qemu"


class Command(Test):
    """Errors of the workload: the same on every runtime."""

    def refused(self, pattern, *command, **options):
        result = self.run_container(*command, **options)
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.assertRegex(result.stderr.decode(), pattern)
        self.assert_usable()

    def test_command_not_found(self):
        self.refused(r"no-such-command.*(not found|[Nn]o such file)", "no-such-command")

    def test_command_not_found_by_path(self):
        self.refused(r"/no/such/command.*([Nn]o such file)", "/no/such/command")

    def test_command_not_executable(self):
        self.refused(r"/not-executable.*[Pp]ermission denied", "/not-executable")

    def test_command_is_a_folder(self):
        self.refused(r"/etc.*([Pp]ermission denied|is a directory)", "/etc")

    def test_working_folder_missing(self):
        # Made inside the root file system, as runc does.
        result = self.run_container("pwd", flags=("--rm", "--cwd", "/no/such/folder"))
        self.assertEqual((result.returncode, result.stdout), (0, b"/no/such/folder\n"), result.stderr)

    @kata_only
    def test_working_folder_is_a_file(self):
        self.refused(r"/bin/busybox", "true", flags=("--rm", "--cwd", "/bin/busybox"))

    def test_root_file_system_missing(self):
        self.refused(r"no-rootfs", "true", rootfs=os.path.join(self.folder, "no-rootfs"))

    def test_bind_source_missing(self):
        mount = f"type=bind,src={self.folder}/nothing,dst=/data,options=rbind:rw"
        self.refused(r"nothing", "true", flags=("--rm", "--mount", mount))

    def test_exec_user_unknown(self):
        self.start_detached("sleep", "1000")
        result = self.exec("true", flags=("--user", "nobody-knows"))
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), "nobody-knows|no users found")

    def test_exec_in_unknown_container(self):
        result = harness.LAB.ctr("task", "exec", "--exec-id", "x", "kata-e2e-absent", "true")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("not found", result.stderr.decode())


@kata_only
class Configuration(Test):
    def refused(self, patterns, *changes, text=None, limit=8, flags=("--rm",)):
        path = self.config(*changes, text=text)
        started = time.monotonic()
        result = self.run_container("true", config=path, flags=flags)
        took = time.monotonic() - started
        self.assertNotEqual(result.returncode, 0, "accepted")
        message = result.stderr.decode()
        for pattern in patterns:
            self.assertRegex(message, pattern)
        self.assertLess(took, limit, "refused late")
        self.assert_usable()

    def test_missing_files(self):
        for key in ("kernel", "initrd", "path", "virtio_fs_daemon"):
            with self.subTest(key):
                missing = os.path.join(self.folder, "absent-" + key)
                self.refused([f"absent-{key}", key], (QEMU, key, missing))

    def test_configuration_missing(self):
        result = self.run_container("true", config=os.path.join(self.folder, "absent.toml"))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("absent.toml", result.stderr.decode())
        self.assert_usable()

    def test_not_toml(self):
        self.refused([r"kata-\d+\.toml:2"], text="[hypervisor.qemu]\npath = = 3\n")

    def test_empty_file(self):
        self.refused([r"kata-\d+\.toml", "hypervisor"], text="")

    def test_wrong_type(self):
        self.refused([r"kata-\d+\.toml:\d+", "default_memory"], (QEMU, "default_memory", "much"))

    def test_value_out_of_range(self):
        self.refused([r"default_memory"], (QEMU, "default_memory", -5))

    def test_unknown_machine(self):
        self.refused(["pdp11"], (QEMU, "machine_type", "pdp11"))

    def test_memory_too_small_to_boot(self):
        self.refused(["memory", "16"], (QEMU, "default_memory", 16), limit=4)

    def test_unknown_hypervisor(self):
        self.refused(["nonesuch"], ("runtime", "hypervisor_name", "nonesuch"))

    def test_unknown_agent_key(self):
        self.refused(["dial_timeout_mss"], ("agent.kata", "dial_timeout_mss", 10))

    def test_unknown_key_is_only_a_warning(self):
        result = self.run_container("echo", "fine", config=self.config((QEMU, "default_memroy", 300)))
        self.assertEqual((result.returncode, result.stdout), (0, b"fine\n"), result.stderr)
        self.assertRegex(harness.LAB.log_tail(400), "default_memroy")

    def test_annotation_not_enabled(self):
        """As in the original it is left out with a warning, which says what would allow it."""
        config = self.config((QEMU, "enable_annotations", ["default_vcpus"]))
        flags = ("--rm", "--annotation", "io.katacontainers.config.hypervisor.default_memory=1024")
        result = self.expect_run("sh", "-c", "head -n1 /proc/meminfo", config=config, flags=flags)
        self.assertLess(int(result.stdout.split()[1]), 300 * 1024, "the annotation was applied")
        self.assertRegex(harness.LAB.log_tail(400), "default_memory.*enable_annotations|enable_annotations.*default_memory")

    def test_annotation_enabled(self):
        flags = ("--rm", "--annotation", "io.katacontainers.config.hypervisor.default_memory=384")
        result = self.expect_run("sh", "-c", "head -n1 /proc/meminfo", flags=flags)
        self.assertGreater(int(result.stdout.split()[1]), 300 * 1024)


@kata_only
class Guest(Test):
    """A guest that never answers: an error in time, with the phase and the last lines of its console."""

    def guest_of(self, instructions):
        """An initrd whose /init is a program of a few instructions, without a C library."""
        source, program, out = (os.path.join(self.folder, name) for name in ("init.s", "init", "guest"))
        with open(source, "w", encoding="ascii") as file:
            file.write(f".globl _start\n_start:\n {instructions}\n")
        subprocess.run(["clang-19", "-nostdlib", "-static", "-o", program, source], check=True)
        subprocess.run([sys.executable, os.path.join(REPO, "image/build"), "--agent", program, "--out", out, "--initrd-only"], check=True,
                       stdout=subprocess.DEVNULL)
        return os.path.join(out, "kata-initrd.img")

    def refused(self, changes, limit, patterns):
        started = time.monotonic()
        result = self.run_container("true", config=self.config(*changes))
        took = time.monotonic() - started
        self.assertNotEqual(result.returncode, 0)
        for pattern in patterns:
            self.assertRegex(result.stderr.decode(), pattern)
        self.assertLess(took, limit)
        self.assert_usable()

    def test_kernel_panic(self):
        # the error comes at the panic, not at the deadline of 30 s
        self.refused([(QEMU, "kernel_params", "rdinit=/absent")], 15, ["panic"])

    def test_agent_that_exits(self):
        self.refused([(QEMU, "initrd", self.guest_of("mov $60, %eax\n mov $3, %edi\n syscall"))], 15, ["panic|init"])

    def test_agent_that_never_answers(self):
        changes = [(QEMU, "initrd", self.guest_of("mov $34, %eax\n syscall\n jmp _start")), ("agent.kata", "reconnect_timeout_ms", 6000)]
        self.refused(changes, 20, ["agent|vsock"])
