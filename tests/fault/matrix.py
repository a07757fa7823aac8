"""One cell of the fault matrix: brings a pod into a phase, breaks something, and looks at what containerd tells and what is left."""

import os
import re
import signal
import subprocess
import time

import harness
import residue
from harness import Test

# In the order of a pod's life. Those with a point are held there while the fault comes.
PHASES = ("vm-starting", "vm-booting", "agent-connected", "sandbox-made", "container-created", "running", "exec", "stopping", "deleting")
BEFORE_START = PHASES[:5]
# Every call but Wait answers within this.
CALL_SECONDS = 10.0
# How long a start may take to see that it leads nowhere: the guest's limits of the configuration below, one after the other.
BOOT_SECONDS = 10 + 5 + 5
# ctr is a program that has to be started, on a machine that is shared.
SLACK_SECONDS = 2.0
SHORT_LIMITS = (("agent.kata", "reconnect_timeout_ms", 10000), ("agent.kata", "create_container_timeout", 5))


class Cell(Test):
    def __init__(self, fault, phase):
        super().__init__("check")
        self.fault, self.phase = fault, phase
        self.clients = []
        self.told = []

    def id(self):
        return f"{self.fault.name}:{self.phase}"

    def __str__(self):
        return self.id()

    def _picture(self):
        lab = harness.LAB
        return residue.Picture("ours", lab.pid, [os.path.join(lab.folder, "state"), lab.run_folder],
                               harness.PREFIX if harness.OPTIONS.shared_machine else None)

    def containerd_changed(self):
        """It is another process now: its descriptors cannot be compared with those of the one before."""
        self._before["things"]["descriptor"] = self._picture().to_json()["things"]["descriptor"]

    def tearDown(self):
        harness.LAB.release()
        try:
            self.fault.mend(self)
        finally:
            super().tearDown()

    # --- the phases --------------------------------------------------------------------------------------------------------

    def bring_into_phase(self):
        if self.phase in BEFORE_START:
            harness.LAB.arm(self.phase)
            self._run()
            self._reach(self.phase)
            return
        self._run()
        self.read_until(self.clients[0].stdout.fileno(), b"ready\n", also=self.clients[0].stderr)
        if self.phase == "exec":
            self._ctr("task", "exec", "--exec-id", "held", self.name, "sh", "-c", "echo ready; exec sleep 1000")
            self.read_until(self.clients[1].stdout.fileno(), b"ready\n", also=self.clients[1].stderr)
        elif self.phase in ("stopping", "deleting"):
            harness.LAB.arm(self.phase)
            harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, timeout=20)
            self._reach(self.phase)

    def _run(self):
        # Only where something has to run into them: a boot on a busy machine takes longer.
        config = self.config(*SHORT_LIMITS) if self.fault.name == "SIGSTOP" and self.phase in BEFORE_START else None
        self._ctr(*self.run_words("sh", "-c", "echo ready; exec sleep 1000", flags=("--privileged",), config=config))

    def _ctr(self, *words):
        self.clients.append(self.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def _reach(self, point):
        if not harness.LAB.wait_reached(point, self.clients[0]):
            self.fail(f"the shim does not come to the point {point}: ctr {self.clients[0].poll()}{self._why()}")

    # --- what is asserted --------------------------------------------------------------------------------------------------

    def check(self):
        self.log_begin = os.path.getsize(harness.LAB.log_path)
        self.bring_into_phase()
        goes_on = self.fault.harmless and self.phase in ("running", "exec") or self.fault.name == "full-disk" and self.phase in BEFORE_START[1:]
        self.fault.inject(self)
        self.broken = time.monotonic()
        harness.LAB.release()
        if self.fault.name == "SIGSTOP" and self.phase in ("running", "exec"):
            self._check_stopped_vm()
        elif goes_on:
            self._check_goes_on()
        else:
            self._wait_for_clients()
        self.fault.mend(self)
        self._clean_up()
        self._check_nothing_left()
        self._check_codes()
        result = self.run_container("echo", "again", timeout=60)
        self.assertEqual((result.returncode, result.stdout), (0, b"again\n"), f"the id cannot be used again: {result.stderr!r}{self._why()}")

    def _limit(self):
        # A guest that stands still is noticed by the limits of the start.
        slow = self.fault.name == "SIGSTOP" and self.phase in BEFORE_START
        return (BOOT_SECONDS if slow else CALL_SECONDS) + SLACK_SECONDS

    def _wait_for_clients(self):
        """ctr's calls of before the fault are answered in time, and their errors are fit to be read."""
        for client in self.clients:
            if self.phase == "running" and self.fault.name == "fd-limit":
                continue  # nothing happens before the shim wants another descriptor
            if self.fault.name == "fd-limit" and self.phase == "exec":
                continue
            try:
                _, err = client.communicate(timeout=max(0.1, self.broken + self._limit() - time.monotonic()))
            except subprocess.TimeoutExpired:
                if self.fault.name == "fd-limit" and self.phase in BEFORE_START:
                    self.wait_status("RUNNING")  # it had all that it needed
                    continue
                self.fail(f"ctr {'run' if client is self.clients[0] else 'exec'} is not answered within {self._limit():.0f} s{self._why()}")
            if client.returncode < 0:
                continue  # ended by the fault
            self._note(client, err)

    def _note(self, client, err):
        text = harness.without_notices(err).decode(errors="replace").strip()
        self.told.append(f"{time.monotonic() - self.broken:.1f} s: exit {client.returncode} {text}")
        if self.phase in BEFORE_START and not self.fault.harmless:
            self.assertNotEqual(client.returncode, 0, "a start that failed is told as a success")
        if text:
            self.assertNotRegex(text, r"backtrace|terminate called", text)
            # The reason in one to three lines, then the VMM's words and the console's.
            lines = [line for line in text.split("\n") if not re.match(r"console: |VMM: |time=", line)]
            self.assertLessEqual(len(lines), 3, text)

    def _check_goes_on(self):
        self.wait_status("RUNNING", timeout=15)
        result = self.exec("echo", "here")
        self.assertEqual(result.stdout, b"here\n", result.stderr)

    def _check_stopped_vm(self):
        """A guest that stands still: each call ends in time with an error that says so, and SIGKILL ends it all."""
        seconds, result = self._timed("task", "exec", "--exec-id", "late", self.name, "true")
        self.assertNotEqual(result.returncode, 0)
        self.ctr_leaves_fifos = True
        seconds, result = self._timed("task", "kill", "-s", "TERM", self.name)
        self.told.append(f"kill TERM {seconds:.1f} s: {result.stderr.decode(errors='replace').strip()[-160:]}")
        self.assertRegex(result.stderr.decode(), "DeadlineExceeded|deadline exceeded|not done within", "of SIGTERM")
        self._timed("task", "kill", "-s", "KILL", self.name)
        for client in self.clients:
            try:
                client.communicate(timeout=CALL_SECONDS + SLACK_SECONDS)
            except subprocess.TimeoutExpired:
                self.fail(f"SIGKILL does not end a container of a VM that stands still{self._why()}")

    def _timed(self, *words):
        started = time.monotonic()
        try:
            result = harness.LAB.ctr(*words, timeout=CALL_SECONDS * 3)
        except subprocess.TimeoutExpired:
            self.fail(f"ctr {' '.join(words[:2])} is not answered within {CALL_SECONDS * 3:.0f} s{self._why()}")
        seconds = time.monotonic() - started
        self.assertLess(seconds, CALL_SECONDS + SLACK_SECONDS, f"ctr {' '.join(words[:2])}: {result.stderr!r}{self._why()}")
        return seconds, result

    def _check_codes(self):
        """By the shim's own log: containerd 1.6 shows some codes as unknown that are none."""
        with open(harness.LAB.log_path, "rb") as file:
            file.seek(self.log_begin)
            lines = file.read().decode(errors="replace").split("\n")
        bad = [line for line in lines if re.search(r'"code":"(UNKNOWN|INTERNAL)"|"msg":"an error was not handled"', line)]
        self.assertEqual(bad, [], "an error without a reason for the caller to act on")

    def _clean_up(self):
        """What an operator does. Each step may find nothing; none may hang."""
        for words in (("task", "kill", "-s", "KILL", self.name), ("task", "rm", "-f", self.name)):
            seconds, result = self._timed(*words)
            text = result.stderr.decode(errors="replace").strip()
            self.told.append(f"{words[1]} {seconds:.1f} s: {text[-160:] or 'done'}")
        listed = harness.LAB.ctr("task", "ls", "-q").stdout.decode().split()
        self.assertNotIn(self.name, listed, f"the task cannot be removed: {self.told}{self._why()}")
        _, result = self._timed("container", "rm", self.name)
        self.assertRegex(harness.without_notices(result.stderr).decode(), r"^$|not found", "ctr container rm")
        self._end_children()

    def _check_nothing_left(self):
        left = residue.compare_until_clean(self._before, self._picture, 6)
        left = [thing for thing in left if not self._expected(*thing)]
        if left:
            self.fail("left behind:\n" + "\n".join(f"  {kind}: {thing}" for kind, thing in left) + f"\ntold: {self.told}" + self._why())

    def _end_children(self):
        for child in self._children:
            if child.poll() is None and self.phase:
                child.send_signal(signal.SIGKILL)
        super()._end_children()
        for child in self._children:
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()
