"""The main job: `ctr run`, its output, input, exit codes, terminal, exec, signals."""

import hashlib
import os
import re
import select
import subprocess
import time

from harness import KATA, LAB, OPTIONS, Terminal, Test, kata_only  # noqa: F401
import harness


class Run(Test):
    def test_output_and_exit_code(self):
        for code in (0, 1, 42, 255):
            with self.subTest(code=code):
                result = self.expect_run("sh", "-c", f"echo out; echo err >&2; exit {code}", status=code)
                self.assertEqual((result.stdout, result.stderr), (b"out\n", b"err\n"))

    def test_killed_by_signal(self):
        self.expect_run("sh", "-c", "sh -c 'kill -9 $$'; exit $?", status=137)

    @kata_only
    def test_own_kernel(self):
        inside = self.expect_run("uname", "-r").stdout.decode().strip()
        self.assertNotEqual(inside, os.uname().release)

    @kata_only
    def test_networks_of_its_own(self):
        """What the guest's kernel has as modules is there when a container asks, as with a kernel that has it all built in."""
        script = "brctl addbr bridge0 && ip link add v0 type veth && tunctl -t tun0 && ip link add other type dummy && ls /sys/class/net"
        inside = self.expect_run("sh", "-c", script, flags=("--rm", "--privileged")).stdout.decode().split()
        self.assertLessEqual({"bridge0", "v0", "other"}, set(inside))

    def test_image_layers(self):
        result = self.expect_run("sh", "-c", "cd /layers; for f in *; do echo $f $(cat $f); done")
        self.assertEqual(result.stdout, b"kept second\nreplaced third\n")

    def test_root_is_writable(self):
        self.expect_run("sh", "-c", "echo x > /new && mkdir /folder && rm /layers/kept && test $(cat /new) = x && ! test -e /layers/kept")

    def test_environment_and_folder(self):
        flags = ("--rm", "--env", "GREETING=hello world", "--cwd", "/layers")
        result = self.expect_run("sh", "-c", 'echo "$GREETING|$(pwd)|$(id -u):$(id -g)"', flags=flags)
        self.assertEqual(result.stdout, b"hello world|/layers|0:0\n")

    def test_pid_one_and_proc(self):
        result = self.expect_run("sh", "-c", "echo $$; ls -d /proc/[0-9]* | wc -l; ls /dev/null /dev/zero /dev/urandom >/dev/null && echo devices")
        lines = result.stdout.split()
        self.assertEqual((lines[0], lines[2]), (b"1", b"devices"))
        self.assertLess(int(lines[1]), 8, "foreign processes are visible")

    def test_read_only_root(self):
        result = self.expect_run("sh", "-c", "touch /x 2>&1; echo $?", flags=("--rm", "--read-only"))
        self.assertIn(b"Read-only file system", result.stdout)

    def test_bind_mount(self):
        source = os.path.join(self.folder, "shared")
        os.mkdir(source)
        with open(os.path.join(source, "in"), "w", encoding="ascii") as file:
            file.write("from the host\n")
        mount = f"type=bind,src={source},dst=/data,options=rbind:rw"
        result = self.expect_run("sh", "-c", "cat /data/in; echo back > /data/out", flags=("--rm", "--mount", mount))
        self.assertEqual(result.stdout, b"from the host\n")
        with open(os.path.join(source, "out"), encoding="ascii") as file:
            self.assertEqual(file.read(), "back\n")

    def test_read_only_all_the_way_down(self):
        source = os.path.join(self.folder, "outer")
        os.makedirs(os.path.join(source, "inner"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", os.path.join(source, "inner")], check=True)
        try:
            mount = f"type=bind,src={source},dst=/data,options=rbind:ro:rro"
            result = self.expect_run("sh", "-c", "for d in /data /data/inner; do touch $d/x 2>&1 | grep -c 'Read-only file system'; done",
                                     flags=("--rm", "--mount", mount))
            self.assertEqual(result.stdout, b"1\n1\n")
        finally:
            subprocess.run(["umount", "-l", os.path.join(source, "inner")], check=True)

    def test_tmpfs_mount(self):
        mount = "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m"
        result = self.expect_run("sh", "-c", "df -k /scratch | tail -n1", flags=("--rm", "--mount", mount))
        self.assertIn(b" 1024 ", result.stdout)


class Streams(Test):
    def test_stdin_to_stdout_is_binary_safe(self):
        data = os.urandom(1 << 20) + bytes(range(256)) * 64 + b"no newline at the end"
        result = self.run_container("cat", input=data, timeout=90)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(hashlib.sha256(result.stdout).hexdigest(), hashlib.sha256(data).hexdigest(), f"{len(result.stdout)} of {len(data)} bytes")

    def test_end_of_stdin(self):
        child = self.popen(*self.run_words("sh", "-c", "echo ready; cat; echo end", flags=("--rm",)), stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(child.stdout.fileno(), b"ready\n")  # ctr 1.6 loses an end of file that comes before the start
        self.assertEqual(self.finish(child, 10)[:2], (0, b"end\n"))

    def test_large_output(self):
        result = self.expect_run("dd", "if=/dev/zero", "bs=64k", "count=256", timeout=120)
        self.assertEqual((len(result.stdout), result.stdout.strip(b"\0")), (256 << 16, b""))

    def test_stderr_apart(self):
        result = self.expect_run("sh", "-c", "i=0; while [ $i -lt 500 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done")
        self.assertEqual(result.stdout.decode().split(), [f"out{i}" for i in range(500)])
        self.assertEqual(result.stderr.decode().split(), [f"err{i}" for i in range(500)])

    def test_slow_reader(self):
        """A reader that stops reading holds the writer up and loses nothing."""
        child = self.popen(*self.run_words("sh", "-c", "echo ready; head -c 3000000 /dev/zero; echo done >&2", flags=("--rm",)),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = self.read_until(child.stdout.fileno(), b"ready\n")
        time.sleep(1)  # the reader is slow: this is the thing under test
        status, out, err, _ = self.finish(child, 60)
        self.assertEqual((status, len(first) + len(out), err), (0, 6 + 3000000, b"done\n"))

    def test_output_of_background_process_after_exit(self):
        """What pid 1 has written is there when it exits at once."""
        for _ in range(3):
            self.assertEqual(self.expect_run("sh", "-c", "echo a; echo b; echo c").stdout, b"a\nb\nc\n")


class Tty(Test):
    def test_terminal(self):
        terminal = Terminal(self, *self.run_words("sh", "-c", "test -t 0 && test -t 1 && echo is-a-tty; sleep 0.5; stty size; read line; echo got=$line; exit 5",
                                                  flags=("--rm", "-t")), rows=33, columns=101)
        terminal.expect(b"is-a-tty")
        terminal.expect(b"33 101")
        terminal.send(b"hello\r")
        terminal.expect(b"got=hello")
        self.assertEqual(terminal.wait(), 5)

    def test_terminal_resize(self):
        # ctr itself sets the size once at the start, so a first WINCH may come before ours
        script = "trap : WINCH; echo ready; until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; stty size"
        terminal = Terminal(self, *self.run_words("sh", "-c", script, flags=("--rm", "-t")))
        terminal.expect(b"ready")
        terminal.resize(50, 132)
        terminal.child.send_signal(28)  # SIGWINCH: the kernel sends it only to the foreground group of that terminal
        terminal.expect(b"50 132")
        self.assertEqual(terminal.wait(), 0)

    def test_control_c(self):
        terminal = Terminal(self, *self.run_words("sh", "-c", "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.2; done",
                                                  flags=("--rm", "-t")))
        terminal.expect(b"ready")
        terminal.send(b"\x03")
        terminal.expect(b"interrupted")
        self.assertEqual(terminal.wait(), 3)

    def test_exec_terminal(self):
        self.start_detached("sleep", "1000")
        terminal = Terminal(self, "task", "exec", "-t", "--exec-id", "shell", self.name, "sh", rows=40, columns=90)
        terminal.send(b"stty size; exit 7\r")
        terminal.expect(b"40 90")
        self.assertEqual(terminal.wait(), 7)


class Exec(Test):
    def test_exec_exit_codes(self):
        self.start_detached("sleep", "1000")
        for code in (0, 1, 126, 200):
            with self.subTest(code=code):
                result = self.exec("sh", "-c", f"echo out; echo err >&2; exit {code}")
                self.assertEqual((result.returncode, result.stdout, result.stderr), (code, b"out\n", b"err\n"))

    def test_exec_stdin(self):
        self.start_detached("sleep", "1000")
        data = os.urandom(200000)
        result = self.exec("cat", input=data)
        self.assertEqual((result.returncode, result.stdout == data), (0, True))

    def test_exec_user_and_folder(self):
        self.start_detached("sleep", "1000")
        result = self.exec("sh", "-c", "echo $(id -u) $(pwd)", flags=("--user", "1000", "--cwd", "/layers"))
        self.assertEqual(result.stdout, b"1000 /layers\n", result.stderr)

    def test_exec_shares_the_container(self):
        self.start_detached("sh", "-c", "echo inside > /mark; exec sleep 1000")
        deadline = time.monotonic() + 10
        while self.exec("test", "-e", "/mark").returncode and time.monotonic() < deadline:
            pass
        self.assertEqual(self.exec("sh", "-c", "cat /mark; cat /proc/1/comm").stdout, b"inside\nsleep\n")

    def test_exec_not_found(self):
        self.start_detached("sleep", "1000")
        result = self.exec("no-such-command")
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), r"no-such-command.*(not found|no such file)")
        self.assertEqual(self.exec("echo", "still alive").stdout, b"still alive\n")

    def test_execs_at_once(self):
        self.start_detached("sleep", "1000")
        children = [self.popen("task", "exec", "--exec-id", f"par{number}", self.name, "sh", "-c", f"sleep 0.3; echo {number}; exit {number}",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for number in range(1, 9)]
        for number, child in enumerate(children, start=1):
            status, out, err, _ = self.finish(child, 30)
            self.assertEqual((status, out), (number, b"%d\n" % number), err)

    def test_exec_ends_with_container(self):
        self.start_detached("sleep", "1000")
        child = self.popen("task", "exec", "--exec-id", "long", self.name, "sh", "-c", "echo ready; sleep 1000", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(child.stdout.fileno(), b"ready\n")
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        status, _, _, _ = self.finish(child, 10)
        self.assertEqual(status, 137)


class Signals(Test):
    def test_term_handler(self):
        child = self.start_foreground("sh", "-c", "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.1; done", flags=("--rm",))
        harness.LAB.ctr("task", "kill", "-s", "TERM", self.name, check=True)
        status, out, _, _ = self.finish(child, 10)
        self.assertEqual((status, out), (9, b"bye\n"))

    def test_kill(self):
        child = self.start_foreground("sh", "-c", "echo ready; sleep 1000", flags=("--rm",))
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.assertEqual(self.finish(child, 10)[0], 137)

    def test_signal_after_exit_is_not_found(self):
        self.start_detached("true")
        self.wait_status("STOPPED")
        result = harness.LAB.ctr("task", "kill", "-s", "TERM", self.name)
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), "not found|already finished")

    def test_exit_code_survives_until_delete(self):
        self.start_detached("sh", "-c", "exit 77")
        self.wait_status("STOPPED")
        result = harness.LAB.ctr("task", "rm", self.name)
        self.assertRegex(result.stderr.decode(), "exit code 77")

    def test_kill_container_with_many_processes(self):
        child = self.start_foreground("sh", "-c", "for i in 1 2 3 4 5; do sleep 1000 & done; echo ready; wait", flags=("--rm",))
        harness.LAB.ctr("task", "kill", "-a", "-s", "KILL", self.name, check=True)
        self.assertEqual(self.finish(child, 10)[0], 137)


class Task(Test):
    def test_state_pids_metrics(self):
        self.start_detached("sleep", "1000")
        self.wait_status("RUNNING")
        processes = harness.LAB.ctr("task", "ps", self.name)
        self.assertEqual(processes.returncode, 0, processes.stderr)
        metrics = harness.LAB.ctr("task", "metrics", self.name)
        self.assertEqual(metrics.returncode, 0, metrics.stderr)
        self.assertRegex(metrics.stdout.decode(), r"memory")

    def test_two_runs_with_one_id(self):
        first = self.start_foreground("sh", "-c", "echo ready; sleep 1000", flags=("--rm",))
        second = self.run_container("echo", "second")
        self.assertNotEqual(second.returncode, 0)
        self.assertRegex(second.stderr.decode(), f"{self.name}.*already exists")
        self.assertEqual(self.exec("echo", "first lives").stdout, b"first lives\n")
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.assertEqual(self.finish(first, 10)[0], 137)
        self.assert_usable()

    def test_events(self):
        events = self.popen("events", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # the subscription is there as soon as an event of our own making comes through
        deadline = time.monotonic() + 20
        while not select.select([events.stdout], [], [], 0.2)[0]:
            self.assertLess(time.monotonic(), deadline, "no event comes through")
            harness.LAB.ctr("namespace", "label", "kata-lab", f"probe={time.monotonic_ns()}")
        self.start_detached("sleep", "1000")
        self.exec("true")
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status("STOPPED")
        harness.LAB.ctr("task", "rm", self.name)
        text = self.read_until(events.stdout.fileno(), b"/tasks/delete").decode()
        topics = [topic for topic in re.findall(r" (/tasks/\S+) ", text)]
        for topic in ("/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit", "/tasks/delete"):
            self.assertIn(topic, topics)
        self.assertLess(topics.index("/tasks/create"), topics.index("/tasks/start"))
        self.assertLess(topics.index("/tasks/start"), topics.index("/tasks/exit"))

    def test_repetition(self):
        """Many runs in a row: no failure and no growth; the residue check around the test counts descriptors too."""
        for index in range(OPTIONS.loop):
            result = self.run_container("echo", str(index), name=f"{self.name}-{index}")
            self.assertEqual((result.returncode, result.stdout), (0, b"%d\n" % index), f"run {index}: {result.stderr[-800:]!r}")
