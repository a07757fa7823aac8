"""What is measured: a runtime with its private containerd (Subject), and one running container of it (Pod)."""

import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [path for path in (os.path.join(REPO, "tools"), os.path.join(REPO, "tests/residue")) if path not in sys.path]

import residue  # noqa: E402
from kata_node import configuration, containerd, image, paths  # noqa: E402

KATA, RUNC = "io.containerd.kata.v2", "io.containerd.runc.v2"
SHIM = "containerd-shim-kata-v2"
RUNC_SHIM = "containerd-shim-runc-v2"
RUN_SECONDS = 120
_NOT_OF_A_POD = ("ctr", "containerd", "python3", "bash", "sh", "runc", "timeout")


class BenchError(Exception):
    """A measurement could not be made; the message says which and why."""


class Subject:
    """One shim with agent and configuration behind a private containerd. A context manager.

    `against`: folder with containerd-shim-kata-v2 and configuration.toml, and with kata-agent if its size shall be a row; none:
    the binaries and the guest of this tree.
    """

    def __init__(self, folder, prefix, against=None, version="1.6", disks=False):
        self.folder, self.prefix, self.against = folder, prefix, against
        self.programs = os.path.abspath(against) if against else paths.binaries()
        self._own_config = os.path.join(self.programs, "configuration.toml") if against else None
        self.lab = containerd.Containerd(os.path.join(folder, "lab"), version, paths.cache(), [self.programs], disks=disks)
        self._numbers = itertools.count(1)  # taken by several threads at once
        for needed in (self.program(SHIM), self._own_config):
            if needed and not os.path.exists(needed):
                raise BenchError(f"{needed} is missing: " + ("see bench/run --help for what DIR holds" if against else
                                                             "build the release preset, then image/build --out build/guest"))

    def program(self, name):
        return os.path.join(self.programs, name)

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        self.config = self._own_config or configuration.write(os.path.join(self.folder, "kata.toml"), self._quiet_tables())
        self.lab.__enter__()
        # The first containers make what stays as long as containerd, and fill caches.
        try:
            for runtime in (RUNC, KATA):
                self.run("true", runtime=runtime)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.lab.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _quiet_tables():
        tables = configuration.defaults(paths.guest())
        tables["runtime"]["enable_debug"] = False  # as users run it
        return tables

    def config_with(self, keys, runtime=(), name="with"):
        """A configuration with these keys of the hypervisor's and the runtime's table; that of --against stays what it is."""
        if self._own_config:
            return self._own_config
        tables = self._quiet_tables()
        tables["hypervisor.qemu"].update(keys)
        tables["runtime"].update(runtime)
        return configuration.write(os.path.join(self.folder, f"kata-{name}.toml"), tables)

    def verbose_config(self):
        """A configuration that logs the phases of a start, for the timeline."""
        if self._own_config:
            return self._own_config
        return configuration.write(os.path.join(self.folder, "kata-verbose.toml"), configuration.defaults(paths.guest()))

    def new_id(self):
        return f"{self.prefix}-{next(self._numbers)}"

    def words(self, name, *command, runtime=KATA, flags=("--rm",), config=None, image_name=image.NAME):
        chosen = ["--runtime-config-path", config or self.config] if runtime == KATA else []
        return self.lab.ctr_command("run", "--runtime", runtime, *chosen, *flags, image_name, name, *command)

    def popen(self, words, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(words, env=self.lab.environment, **options)

    def run(self, *command, **options):
        """`ctr run --rm` to its end; returns (seconds to the first output or None, seconds in all, output)."""
        return self.timed(self.words(self.new_id(), *command, **options))

    def timed(self, words):
        started = time.monotonic()
        with self.popen(words) as child:
            try:
                ready = select.select([child.stdout], [], [], RUN_SECONDS)[0]
                first = time.monotonic() - started
                out, err = child.communicate(timeout=RUN_SECONDS)
                took = time.monotonic() - started
            except subprocess.TimeoutExpired:
                ready = None
            if not ready:
                child.kill()
                raise BenchError(f"{_title(words)}: no end within {RUN_SECONDS} s; containerd's log ends with\n{self.lab.log_tail(8)}")
        if child.returncode:
            raise BenchError(f"{_title(words)} ended with {child.returncode}: {err.decode(errors='replace').strip()}")
        return (first if out else None), took, out

    def pod(self, *command, **options):
        return Pod(self, command or ("sleep", "100000"), **options)


class Running:
    """The processes of a pod that runs, whoever started it."""

    def __init__(self, name):
        self.name = name

    def processes(self):
        """{program: [pids]} of this pod on the host."""
        return processes_of(self.name)

    def process(self, pattern):
        """The first process whose program's name matches."""
        for program, pids in self.processes().items():
            if re.search(pattern, program):
                return min(pids)
        raise BenchError(f"pod {self.name} has no process like {pattern}")

    @property
    def guest_address(self):
        return guest_address(self.name)


class Pod(Running):
    """A container that runs until the end of the `with` block."""

    def __init__(self, subject, command, runtime=KATA, flags=(), config=None):
        super().__init__(subject.new_id())
        self.subject, self._execs = subject, 0
        self._words = subject.words(self.name, *command, runtime=runtime, flags=("-d", *flags), config=config)
        self.runtime = runtime

    def __enter__(self):
        self.subject.timed(self._words)
        return self

    def __exit__(self, *_):
        self.subject.lab.ctr("task", "rm", "-f", self.name, timeout=60)
        self.subject.lab.ctr("container", "rm", self.name, timeout=60)

    def exec_words(self, *command):
        self._execs += 1
        return self.subject.lab.ctr_command("task", "exec", "--exec-id", f"e{self._execs}", self.name, *command)

    def exec(self, *command):
        """Runs `ctr task exec`; returns (seconds to the first output, seconds in all, output)."""
        return self.subject.timed(self.exec_words(*command))


def guest_address(name):
    """The hybrid vsock socket of a pod, or its CID with vhost-vsock: see ttrpc.connect."""
    processes = processes_of(name)
    device = next((pids for program, pids in processes.items() if "vsock" in program), None)
    if device:
        return option(command_line(min(device)), "--uds", "--uds-path")
    vmm = next((pids for program, pids in processes.items() if program.startswith("qemu-system")), ())
    match = re.search(r"guest-cid=(\d+)", " ".join(command_line(min(vmm)))) if vmm else None
    if not match:
        raise BenchError(f"pod {name} has neither a vsock device of ours nor vhost-vsock")
    return int(match[1])


def option(words, *names):
    """Value of the first of these options that a command line has."""
    for name in names:
        if name in words:
            return words[words.index(name) + 1]
    raise BenchError(f"no {' or '.join(names)} in '{' '.join(words)}'")


def _title(words):
    """What a ctr command line is about: its words without global flags, the image and paths."""
    return "ctr " + " ".join(word for word in words[5:] if not word.startswith(("-", "/")) and word != image.NAME)


def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [word.decode() for word in file.read().split(b"\0")[:-1]]


def processes_of(name):
    wanted, found = re.compile(re.escape(name) + r"(?![0-9])"), {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = command_line(pid)
        except (OSError, UnicodeDecodeError):
            continue  # it ended meanwhile, or is nothing of ours
        program = os.path.basename(words[0]) if words else ""
        if program not in _NOT_OF_A_POD and any(wanted.search(word) for word in words[1:]):
            found.setdefault(program, []).append(int(pid))
    return found


def memory(pid, field="Pss"):
    """A figure of smaps_rollup in KiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


class Watch:
    """Waits for the end of processes that are not our children, without polling."""

    def __init__(self, pids):
        self._fds = {os.pidfd_open(pid): pid for pid in pids}

    def wait(self, seconds):
        """Returns the pids that are still there after `seconds`; [] as soon as all are gone."""
        deadline, left = time.monotonic() + seconds, dict(self._fds)
        poll = select.poll()
        for fd in left:
            poll.register(fd, select.POLLIN)
        while left and time.monotonic() < deadline:
            for fd, _ in poll.poll(max(0, (deadline - time.monotonic()) * 1000)):
                poll.unregister(fd)
                del left[fd]
        return list(left.values())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self._fds:
            os.close(fd)


def end(processes):
    """Ends children of ours and reaps them."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait()
