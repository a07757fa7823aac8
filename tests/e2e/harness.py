"""What all end-to-end tests share: one private containerd for the whole run, a residue check around each test, helpers.

Options come from tests/e2e/run through the module variable OPTIONS.
"""

import fcntl
import glob
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(REPO, "tools"), os.path.join(REPO, "tests/residue")]

import residue  # noqa: E402
from kata_node import configuration, containerd, image, paths  # noqa: E402

KATA = "io.containerd.kata.v2"
IMAGE = image.NAME


class Options:
    """Set once by tests/e2e/run."""

    runtime = KATA
    containerd = "1.6"
    sandboxer = "podsandbox"
    shared_machine = False  # others run kata pods here too: look only at what carries our prefix
    loop = 50
    tables = ()  # changes to the configuration: (table, key, value)


OPTIONS = Options()
PREFIX = f"kata-e2e-{os.getpid()}"
LAB = None
FOLDER = None


def ordinary_lab(folder, version):
    return containerd.Containerd(folder, version, paths.cache(), [paths.binaries()], disks=True)


def setup_lab(make_lab=ordinary_lab):
    """Called once before the first test."""
    global LAB, FOLDER
    FOLDER = tempfile.mkdtemp(prefix="kata-e2e.")
    LAB = make_lab(os.path.join(FOLDER, "lab"), OPTIONS.containerd)
    LAB.__enter__()
    # The first container makes what stays as long as containerd: the parent cgroup, open databases.
    LAB.ctr("run", "--rm", "--runtime", "io.containerd.runc.v2", IMAGE, f"{PREFIX}-warm", "true", timeout=60)


def teardown_lab():
    if LAB:
        LAB.stop()
    if FOLDER:
        os.rmdir(FOLDER) if not os.listdir(FOLDER) else subprocess.run(["rm", "-rf", FOLDER], check=False)


def without_notices(stderr):
    """What the container wrote: newer versions of ctr add notices of their own about the host."""
    if not stderr:
        return stderr
    return b"".join(line for line in stderr.splitlines(keepends=True) if b'level=warning msg="DEPRECATION' not in line)


def own_words(result):
    result.stderr = without_notices(result.stderr)
    return result


def kata_only(test):
    """For tests of what only a VM has; the control run with runc skips them."""
    return unittest.skipUnless(OPTIONS.runtime == KATA, f"not for {OPTIONS.runtime}")(test)


class Result(unittest.TextTestResult):
    """Tells a failure at once, not only at the end: a run that is ended from outside has said what it found."""

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.stream.writeln("    " + self.failures[-1][1].strip().replace("\n", "\n    "))

    def addError(self, test, err):
        super().addError(test, err)
        self.stream.writeln("    " + self.errors[-1][1].strip().replace("\n", "\n    "))


def end_orderly(*_):
    raise KeyboardInterrupt


class Test(unittest.TestCase):
    """Base class: `self.name` is a container id of its own; after each test nothing may be left."""

    maxDiff = 2000
    _count = 0

    def setUp(self):
        Test._count += 1
        self.name = f"{PREFIX}-{Test._count}"
        self.folder = tempfile.mkdtemp(prefix="test.", dir=FOLDER)
        self._before = self._picture().to_json()
        self._children = []
        self.started = time.monotonic()

    def tearDown(self):
        try:
            self._end_children()
            self._remove_leftovers()
            self.release()
            left = residue.compare_until_clean(self._before, self._picture, 6)
            left = [thing for thing in left if not self._expected(*thing)]
            if left:
                self.fail("left behind:\n" + "\n".join(f"  {kind}: {thing}" for kind, thing in left) + self._why())
        finally:
            subprocess.run(["rm", "-rf", self.folder], check=False)

    def release(self):
        """Takes away what a test made on the node for itself, when no container uses it any more."""

    # Set by a test that kills the shim: ctr then finds no task to delete and leaves its fifos, with runc as well.
    ctr_leaves_fifos = False

    def _expected(self, kind, thing):
        if kind == "file" and self.ctr_leaves_fifos and thing.startswith("/run/containerd/fifo/"):
            subprocess.run(["rm", "-rf", "/".join(thing.split("/")[:5])], check=False)
            return True
        return kind == "cgroup" and thing.endswith("/" + containerd.NAMESPACE)

    def _picture(self):
        return residue.Picture("ours", LAB.pid, [os.path.join(LAB.folder, "state")], PREFIX if OPTIONS.shared_machine else None)

    def _end_children(self):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()

    def _remove_leftovers(self):
        """Takes away tasks and containers that the test left; whatever is left after that is residue."""
        for task in LAB.ctr("task", "ls", "-q", timeout=30).stdout.decode().split():
            LAB.ctr("task", "rm", "-f", task, timeout=60)
        for container in LAB.ctr("container", "ls", "-q").stdout.decode().split():
            LAB.ctr("container", "rm", container, timeout=60)

    def _why(self):
        return f"\ncontainerd's log ends with:\n{LAB.log_tail(8)}"

    # --- running containers ------------------------------------------------------------------------------------------------

    def config(self, *changes, text=None):
        """Writes a configuration with changes (table, key, value); value None removes the key. Returns its path."""
        path = os.path.join(self.folder, f"kata-{time.monotonic_ns()}.toml")
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return path
        tables = configuration.defaults(paths.guest())
        for table, key, value in (*OPTIONS.tables, *changes):
            tables.setdefault(table, {})[key] = value
            if value is None:
                del tables[table][key]
        return configuration.write(path, tables)

    def run_words(self, *command, name=None, flags=(), config=None, rootfs=None):
        words = ["run", "--runtime", OPTIONS.runtime]
        if OPTIONS.runtime == KATA:
            words += ["--runtime-config-path", config or self.config()]
        return [*words, *flags, *(["--rootfs", rootfs] if rootfs else [IMAGE]), name or self.name, *command]

    def run_container(self, *command, flags=("--rm",), timeout=60, name=None, config=None, rootfs=None, **options):
        """`ctr run`; returns the CompletedProcess."""
        return own_words(LAB.ctr(*self.run_words(*command, name=name, flags=flags, config=config, rootfs=rootfs), timeout=timeout, **options))

    def expect_run(self, *command, status=0, **options):
        result = self.run_container(*command, **options)
        self.assertEqual(result.returncode, status, f"stdout {result.stdout[-500:]!r}\nstderr {result.stderr[-1500:]!r}{self._why()}")
        return result

    def start_detached(self, *command, flags=(), **options):
        """`ctr run -d`: returns when the container runs."""
        self.expect_run(*command, flags=("-d", *flags), **options)

    def popen(self, *words, **options):
        """Starts ctr in the background; ended by tearDown if the test does not."""
        child = subprocess.Popen(LAB.ctr_command(*words), env=LAB.environment, **options)
        self._children.append(child)
        return child

    def start_foreground(self, *command, marker=b"ready\n", **options):
        """Starts `ctr run` in the background and waits until the container has printed `marker`."""
        child = self.popen(*self.run_words(*command, **options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(child.stdout.fileno(), marker, also=child.stderr)
        return child

    def finish(self, child, timeout):
        """Waits for a child of popen() with pipes; returns (status, stdout, stderr, seconds)."""
        started = time.monotonic()
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.fail(f"ctr has not ended after {timeout} s{self._why()}")
        return child.returncode, out, without_notices(err), time.monotonic() - started

    def exec(self, *command, flags=(), timeout=30, **options):
        return own_words(LAB.ctr("task", "exec", "--exec-id", f"e{time.monotonic_ns()}", *flags, self.name, *command, timeout=timeout,
                                 **options))

    def ask_shim(self, method, target, body=""):
        """A request to the management socket of the running pod; returns (status, body)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(f"/run/kata/{self.name}/shim-monitor.sock")
            client.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        head, _, text = answer.decode(errors="replace").partition("\r\n\r\n")
        return int(head.split()[1]), text

    def read_until(self, fd, marker, timeout=40, also=None):
        """Reads until `marker` has come; returns all that was read. `also` is a stream whose words belong into the failure."""
        data, deadline = b"", time.monotonic() + timeout
        while marker not in data:
            ready = select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]
            try:
                piece = os.read(fd, 65536) if ready else b""
            except OSError:
                piece = b""
            if not piece:
                words = also.read() if also and ready else b""
                self.fail(f"{'nothing more came' if ready else f'not within {timeout} s'}: waited for {marker!r}, have {data[-800:]!r} "
                          f"{words[-800:]!r}{self._why()}")
            data += piece
        return data

    def wait_status(self, wanted, timeout=10):
        """Waits until `ctr task ls` shows the container in the state `wanted`."""
        deadline = time.monotonic() + timeout
        while True:
            listing = LAB.ctr("task", "ls").stdout.decode()
            state = next((line.split()[-1] for line in listing.splitlines() if line.startswith(self.name + " ")), "GONE")
            if state == wanted:
                return
            if time.monotonic() > deadline:
                self.fail(f"task is {state}, not {wanted}, after {timeout} s{self._why()}")
            time.sleep(0.05)  # ctr has no way to wait for a state

    def wait_until(self, condition, what, timeout=15):
        """For what nobody tells of."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"not within {timeout} s: {what}")
            time.sleep(0.05)

    def assert_usable(self):
        """containerd's own state is in order: the same id can be run once more. By runc, since it is containerd that is asked."""
        LAB.ctr("task", "rm", "-f", self.name)
        LAB.ctr("container", "rm", self.name)
        result = LAB.ctr("run", "--rm", "--runtime", "io.containerd.runc.v2", IMAGE, self.name, "true")
        self.assertEqual(result.returncode, 0, result.stderr)


class Terminal:
    """`ctr` with a pseudo terminal of its own as controlling terminal."""

    def __init__(self, test, *words, rows=24, columns=80):
        self.test = test
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.child = test.popen(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        test.addCleanup(os.close, self.master)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data):
        os.write(self.master, data)

    def expect(self, marker, timeout=40):
        return self.test.read_until(self.master, marker, timeout)

    def wait(self, timeout=20):
        """Drains the terminal until ctr ends; returns its exit status."""
        deadline = time.monotonic() + timeout
        while self.child.poll() is None:
            if time.monotonic() > deadline:
                self.test.fail(f"ctr has not ended after {timeout} s")
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    os.read(self.master, 65536)
                except OSError:
                    pass
        return self.child.returncode


def processes_of(name):
    """Returns {program: [pids]} of the processes on the host whose command line has the id `name`, ctr left out."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if not any(re.search(re.escape(name.encode()) + rb"(?![0-9])", word) for word in words[1:]):
            continue
        program = os.path.basename(words[0].decode(errors="replace"))
        if program not in ("ctr", "containerd", "python3", "bash", "sh", "strace", "gdb"):
            found.setdefault(program, []).append(int(path.split("/")[2]))
    return found


def command_lines(processes):
    """What the processes of processes_of() are, for a failure's message."""
    lines = []
    for pid in [pid for pids in processes.values() for pid in pids]:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                lines.append(f"{pid}: {file.read().replace(bytes(1), b' ').decode(errors='replace')[:200]}")
        except OSError:
            lines.append(f"{pid}: has ended meanwhile")
    return "\n".join(lines)


def kill_nine(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
