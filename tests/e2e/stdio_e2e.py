"""Streams that stall, end early or are large; execs by the hundred."""

import hashlib
import os
import subprocess
import threading
import time

import harness
from harness import Test, kata_only, processes_of

# KATA_E2E_BIG=1 moves a gibibyte, as promised; otherwise enough to fill everything on the way many times.
BIG = (1 << 30) if os.environ.get("KATA_E2E_BIG") else 48 << 20


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


class Feeder(threading.Thread):
    """Writes `size` bytes that nobody can guess into a pipe; knows how many were taken and their checksum."""

    def __init__(self, pipe, size):
        super().__init__(daemon=True)
        self.pipe, self.left, self.sent, self.sum = pipe, size, 0, hashlib.sha256()

    def run(self):
        block = os.urandom(1 << 20)
        try:
            while self.left:
                data = (block[self.sent % 4093:] + block)[:min(self.left, 1 << 20)]
                self.sum.update(data)
                self.pipe.write(data)
                self.sent += len(data)
                self.left -= len(data)
            self.pipe.close()
        except BrokenPipeError:
            pass


class Stalled(Test):
    def wait_still(self, feeder, seconds=3):
        """Waits until the feeder has made no progress for a while."""
        last, since = feeder.sent, time.monotonic()
        while time.monotonic() - since < seconds:
            time.sleep(0.1)  # absence of progress has no event
            if feeder.sent != last:
                last, since = feeder.sent, time.monotonic()

    def delete_with_status(self, status):
        result = harness.LAB.ctr("task", "rm", self.name, timeout=15)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"non-zero exit code %d" % status, result.stderr)

    def test_both_ways_with_a_pause(self):
        """stdin to stdout through a container, with a reader that stops in the middle."""
        child = self.popen(*self.run_words("sh", "-c", "echo ready >&2; exec cat", flags=("--rm",)), stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.read_until(child.stderr.fileno(), b"ready\n")
        shim = processes_of(self.name).get("containerd-shim-kata-v2", [None])[0]
        feeder, received, checksum = Feeder(child.stdin, BIG), 0, hashlib.sha256()
        started = time.monotonic()
        feeder.start()
        before, paused = 0, 0.0
        while True:
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            checksum.update(data)
            received += len(data)
            if not paused and received > BIG // 4:
                before = pss_kib(shim) if shim else 0
                paused = time.monotonic()
                self.wait_still(feeder)
                self.assertLess(feeder.sent - received, 8 << 20, "the writer is not held up")
                if shim:
                    self.assertLessEqual(pss_kib(shim) - before, 1024, "the shim stores what the reader does not take")
                    self.assertEqual(self.exec("echo", "alive").stdout, b"alive\n")
                paused = time.monotonic() - paused
        seconds = time.monotonic() - started - paused
        print(f"{BIG >> 20} MiB in and out in {seconds:.1f} s, {(BIG >> 20) / seconds:.1f} MiB/s", flush=True)
        self.assertEqual((received, checksum.hexdigest()), (BIG, feeder.sum.hexdigest()))
        child.stdin = None  # the feeder has closed it
        self.assertEqual(self.finish(child, 20)[0], 0)

    def test_kill_and_delete(self):
        """Nobody reads: the task can be killed and deleted, and others are not held up."""
        config = self.config(("runtime", "stdio_drain_timeout_ms", 1000)) if harness.OPTIONS.runtime == harness.KATA else None
        child = self.start_foreground("sh", "-c", "echo ready; exec yes", config=config, flags=())
        self.assertEqual(self.exec("echo", "beside").stdout, b"beside\n")
        started = time.monotonic()
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True, timeout=10)
        self.wait_status("STOPPED", 15)
        self.assertLess(time.monotonic() - started, 12)
        child.kill()
        child.wait()
        self.delete_with_status(137)

    @kata_only
    def test_exit_is_told_and_the_loss_logged(self):
        config = self.config(("runtime", "stdio_drain_timeout_ms", 1000))
        child = self.start_foreground("sh", "-c", "echo ready; head -c 300000 /dev/zero; exit 4", config=config, flags=())
        self.wait_status("STOPPED", 20)
        with open(harness.LAB.log_path, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if "output of an ended process is dropped" in line and self.name in line]
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r"bytes")
        child.kill()
        child.wait()
        self.delete_with_status(4)


class Ends(Test):
    def test_process_that_reads_half_of_its_stdin(self):
        result = self.run_container("sh", "-c", "head -c 1000 | wc -c; exit 3", input=os.urandom(4 << 20))
        self.assertEqual((result.returncode, result.stdout.strip()), (3, b"1000"), result.stderr)

    def test_process_that_reads_nothing_of_its_stdin(self):
        result = self.run_container("sh", "-c", "exit 5", input=os.urandom(1 << 20))
        self.assertEqual(result.returncode, 5, result.stderr)

    def test_output_of_an_exec_that_ends_at_once(self):
        self.start_detached("sleep", "1000")
        for _ in range(10):
            self.assertEqual(self.exec("sh", "-c", "head -c 70000 /dev/zero; echo end >&2").stdout, bytes(70000))


class Execs(Test):
    def test_hundred_at_once(self):
        """Each with its own folder and environment."""
        self.start_detached("sleep", "1000")
        script = 'echo "$(id -u) $(pwd) $MARK $(test -t 1 && echo tty)"; exit $((MARK % 200))'
        # No --user: ctr then mounts the container's snapshot once more for each, and so many at once the host's overlay refuses.
        kinds = (((), "0 /"), (("--cwd", "/layers"), "0 /layers"), (("--cwd", "/bin"), "0 /bin"))
        children = []
        for index in range(100):
            flags, wanted = kinds[index % len(kinds)]
            child = self.popen("task", "exec", "--exec-id", f"h{index}", *flags, self.name, "sh", "-c", f"MARK={index}; {script}",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            children.append((child, index, wanted))
        for child, index, wanted in children:
            status, out, err, _ = self.finish(child, 120)
            self.assertEqual((status, out.decode().strip()), (index, f"{wanted} {index}"), err)
        self.assertEqual(self.exec("sh", "-c", "ls -d /proc/[0-9]* | wc -l").returncode, 0)

    def test_outlives_its_client(self):
        self.start_detached("sleep", "1000")
        client = self.popen("task", "exec", "--exec-id", "long", self.name, "sh", "-c", "echo up; sleep 1; echo done > /marker; exec sleep 1000",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(client.stdout.fileno(), b"up\n")
        # A killed client cannot remove the fifos it made, whatever the runtime.
        self.ctr_leaves_fifos = True
        client.kill()
        client.wait()
        wait = "i=0; while ! test -e /marker; do sleep 0.1; i=$((i+1)); test $i -lt 100 || exit 1; done; cat /marker"
        self.assertEqual(self.exec("sh", "-c", wait).stdout, b"done\n")
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status("STOPPED")

    def test_into_what_does_not_run(self):
        self.start_detached("sleep", "1000")
        harness.LAB.ctr("task", "pause", self.name, check=True)
        refused = self.exec("true")
        self.assertNotEqual(refused.returncode, 0)
        if harness.OPTIONS.runtime == harness.KATA:
            self.assertIn(b"paused", refused.stderr)
        harness.LAB.ctr("task", "resume", self.name, check=True)
        self.assertEqual(self.exec("true").returncode, 0)
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status("STOPPED")
        refused = self.exec("true")
        self.assertNotEqual(refused.returncode, 0)
        if harness.OPTIONS.runtime == harness.KATA:
            self.assertIn(b"has ended", refused.stderr)
