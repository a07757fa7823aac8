"""Exec, attach, port-forward and logs of pods, as kubectl asks for them."""

import os
import time

import cri_stream
import harness
from cri_harness import NODE, Pod, Test, call, setUpModule, tearDownModule  # noqa: F401  (unittest looks for the module's two)
from cri_stream import STDERR, STDIN, STDOUT, Stream
from kata_node import cri


def exec_stream(container, *command, **how):
    wanted = {"stdin": False, "stdout": True, "stderr": not how.get("tty", False), "tty": False, **how}
    return Stream(call("Exec", containerId=container.id, cmd=list(command), **wanted)["url"])


def attach(container, **how):
    wanted = {"stdin": True, "stdout": True, "stderr": not how.get("tty", False), "tty": False, **how}
    return Stream(call("Attach", containerId=container.id, **wanted)["url"])


def forward(pod, port):
    return Stream(call("PortForward", podSandboxId=pod.id, port=[port])["url"] + f"?port={port}")


class Exec(Test):
    def test_streams_and_exit_code(self):
        container = Pod(self).sleeper()
        with exec_stream(container, "sh", "-c", "echo out; echo err >&2; exit 7") as stream:
            self.assertEqual(stream.status(), 7)
            self.assertEqual((stream.taken[STDOUT], stream.taken[STDERR]), (b"out\n", b"err\n"))

    def test_stdin_is_binary_safe(self):
        data = bytes(range(256)) * 400
        container = Pod(self).sleeper()
        with exec_stream(container, "head", "-c", str(len(data)), stdin=True) as stream:
            for at in range(0, len(data), 30000):
                stream.send(STDIN, data[at:at + 30000])
            self.assertEqual(stream.status(), 0)
            self.assertEqual(stream.taken[STDOUT], data)

    def test_much_output(self):
        container = Pod(self).sleeper()
        with exec_stream(container, "sh", "-c", "yes 0123456789abcde | head -c 4000000") as stream:
            self.assertEqual(stream.status(), 0)
            self.assertEqual(len(stream.taken[STDOUT]), 4000000)

    def test_terminal_and_its_size(self):
        container = Pod(self).sleeper()
        with exec_stream(container, "sh", tty=True, stdin=True) as stream:
            stream.resize(123, 45)
            stream.send(STDIN, "test -t 0 && echo is-a-$((1))-terminal\n")
            stream.wait_for(STDOUT, "is-a-1-terminal\r\n")
            # The size comes on its own way: asked for until it is there.
            stream.send(STDIN, "until test \"$(stty size)\" = '45 123'; do :; done; echo size-$((1))-seen; exit 3\n")
            stream.wait_for(STDOUT, "size-1-seen")
            self.assertEqual(stream.status(), 3)

    def test_client_that_leaves(self):
        container = Pod(self).sleeper()
        with exec_stream(container, "sh", "-c", "echo begin; exec sleep 4444", stdin=True) as stream:
            stream.wait_for(STDOUT, "begin")
        self.assertEqual(container.shell("echo ok"), "ok\n")

    def test_command_not_found(self):
        container = Pod(self).sleeper()
        with exec_stream(container, "/no/such/program") as stream:
            with self.assertRaises(cri_stream.StreamError) as caught:
                stream.status()
        self.assertIn("/no/such/program", str(caught.exception))

    def test_a_timed_out_exec_leaves_no_process(self):
        container = Pod(self).sleeper()
        with self.assertRaises(cri.CallFailed):
            container.exec("sleep", "4444", seconds=1)
        self.eventually(lambda: "4444" not in container.shell("ps"), "end of the process in the guest")

    def test_many_at_once(self):
        container = Pod(self).sleeper()
        streams = [exec_stream(container, "sh", "-c", f"echo number {number}; exit {number}") for number in range(8)]
        self.assertEqual([stream.status() for stream in streams], list(range(8)))
        self.assertEqual([stream.taken[STDOUT].decode() for stream in streams], [f"number {number}\n" for number in range(8)])
        for stream in streams:
            stream.close()


class Attach(Test):
    def test_without_a_terminal(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "while read line; do echo got $line; echo err $line >&2; done; exit 9", stdin=True)
        for word in ("one", "two"):  # who attaches again finds it as it was
            with attach(container) as stream:
                stream.send(STDIN, word + "\n")
                stream.wait_for(STDOUT, f"got {word}\n")
                stream.wait_for(STDERR, f"err {word}\n")
            self.assertEqual(container.state(), "RUNNING")
        container.wait_log("got two")

    def test_terminal(self):
        pod = Pod(self)
        container = pod.run("sh", stdin=True, tty=True)
        with attach(container, tty=True) as stream:
            stream.send(STDIN, "test -t 1 && echo is-a-$((1))-terminal\n")
            stream.wait_for(STDOUT, "is-a-1-terminal")
            stream.resize(77, 22)
            stream.send(STDIN, "until test \"$(stty size)\" = '22 77'; do :; done; echo size-$((1))-seen; exit 4\n")
            stream.wait_for(STDOUT, "size-1-seen")
        self.assertEqual(container.finished(), 4)

    def test_stdin_once(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "cat; echo end of input; exit 5", stdin=True, stdinOnce=True)
        with attach(container) as stream:
            stream.send(STDIN, "some text\n")
            stream.wait_for(STDOUT, "some text\n")
        self.assertEqual(container.finished(), 5)
        container.wait_log("end of input")

    def test_two_at_once_see_the_same(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "while read line; do echo got $line; done", stdin=True)
        with attach(container) as first, attach(container) as second:
            first.send(STDIN, "hello\n")
            for stream in (first, second):
                stream.wait_for(STDOUT, "got hello\n")


class PortForward(Test):
    ECHO = "while :; do nc -l -p 8080 -e sh -c 'read line; echo answer to $line'; done"

    def _ask(self, pod, port=8080):
        with forward(pod, port) as stream:
            self.assertEqual(stream.wait_for(0, port.to_bytes(2, "little"))[-2:], port.to_bytes(2, "little"))
            stream.send(0, "question\n")
            return stream.wait_for(0, "\n")

    def test_server_on_every_address(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", self.ECHO)
        self.eventually(lambda: "8080" in container.shell("netstat -ltn"), "a listener")
        self.assertEqual(self._ask(pod), b"answer to question\n")

    def test_server_on_localhost_only(self):
        pod = Pod(self)
        container = pod.run("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/layers")
        self.eventually(lambda: "8080" in container.shell("netstat -ltn"), "a listener")
        with forward(pod, 8080) as stream:
            stream.send(0, "GET /kept HTTP/1.0\r\n\r\n")
            self.assertIn(b"second\n", stream.rest()[0])

    def test_much_data_both_ways(self):
        pod = Pod(self)
        container = pod.run("nc", "-l", "-p", "8080", "-e", "cat")
        self.eventually(lambda: "8080" in container.shell("netstat -ltn"), "a listener")
        data = os.urandom(300000)
        with forward(pod, 8080) as stream:
            for at in range(0, len(data), 30000):
                stream.send(0, data[at:at + 30000])
            while len(stream.taken.get(0, b"")) < len(data) + 2:
                self.assertTrue(stream.step())
            self.assertEqual(stream.taken[0][2:], data)

    def test_nobody_listens(self):
        pod = Pod(self)
        container = pod.sleeper()
        with forward(pod, 8081) as stream:
            stream.send(0, "question\n")
            taken = stream.rest()
        self.assertEqual(len(taken.get(0, b"")), 2)  # only the port's number
        self.assertEqual(container.shell("echo ok"), "ok\n")

    @harness.kata_only
    def test_host_network_reaches_the_node_not_the_guest(self):
        # A pod in the host's network has its VM's network instead: its ports are not the node's.
        pod = Pod(self, network=NODE)
        container = pod.run("sh", "-c", self.ECHO)
        self.eventually(lambda: "8080" in container.shell("netstat -ltn"), "a listener")
        with forward(pod, 8080) as stream:
            stream.send(0, "question\n")
            self.assertNotIn(b"answer", stream.rest().get(0, b""))


class Logs(Test):
    def test_nothing_is_lost_by_rotation(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && sleep 0.2; done; echo end")
        path = os.path.join(pod.logs, "main.log")
        parts = []
        for number in range(3):
            container.wait_log(str(number * 100 + 20)) if number == 0 else self.eventually(container.log, "lines after the rotation")
            os.rename(path, f"{path}.{number}")
            parts.append(f"{path}.{number}")
            call("ReopenContainerLog", containerId=container.id)
        container.wait_log("end")
        lines = []
        for part in [*parts, path]:
            with open(part, encoding="ascii") as file:
                lines += [line.rstrip("\n").split(" ", 3)[3] for line in file]
        self.assertEqual(lines, [str(number) for number in range(400)] + ["end"])

    def test_each_container_has_its_own(self):
        pod = Pod(self)
        containers = [pod.run("sh", "-c", f"for i in 1 2 3; do echo c{number} $i; done", name=f"c{number}") for number in range(3)]
        for number, container in enumerate(containers):
            self.assertEqual(container.finished(), 0)
            self.assertEqual(container.log(), [("stdout", f"c{number} {i}") for i in (1, 2, 3)])

    def test_order_and_partial_lines(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "printf 'no newline'; echo; yes x | tr -d '\\n' | head -c 40000; echo; printf last")
        self.assertEqual(container.finished(), 0)
        texts = [text for _, text in container.log()]
        self.assertEqual((texts[0], "".join(texts[1:-1]), texts[-1]), ("no newline", "x" * 40000, "last"))

    def test_output_of_a_killed_container_is_whole(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "echo first; trap 'echo on term; exit 0' TERM; while :; do sleep 0.1; done")
        container.wait_log("first")
        started = time.monotonic()
        container.stop(10)
        self.assertLess(time.monotonic() - started, 9)
        self.assertEqual((container.status()["exitCode"], [text for _, text in container.log()]), (0, ["first", "on term"]))
