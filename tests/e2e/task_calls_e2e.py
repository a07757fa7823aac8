"""Calls that no containerd makes, on the shim's own socket: each has its code, and the task stays usable. `--runtime
io.containerd.runc.v2` shows what runc's shim answers; where the two differ the row says so."""

import os
import threading

import harness
from harness import Test
from task_client import Task, address_of, any_of, process

RUNC = harness.OPTIONS.runtime != harness.KATA
GIANT = "x" * 100000
# runc's shim tells many errors by text only.
TEXT_ONLY = "UNKNOWN"


def of_runtime(kata, runc=TEXT_ONLY):
    return {runc, kata} if RUNC else {kata}


class TaskCalls(Test):
    def start(self, *command):
        self.start_detached(*(command or ("sleep", "1000")))
        bundle = os.path.join(harness.LAB.folder, "state/io.containerd.runtime.v2.task/kata-lab", self.name)
        return Task(address_of(bundle))

    def assert_task_usable(self):
        self.wait_status("RUNNING")
        self.assertEqual(self.exec("echo", "usable").stdout, b"usable\n")

    def test_bad_arguments(self):
        with self.start() as task:
            name = self.name
            rows = [
                ("State", {1: "absent"}, {"NOT_FOUND"}), ("State", {}, {"NOT_FOUND"}), ("State", {1: GIANT}, {"NOT_FOUND"}),
                ("State", {1: name, 2: "absent"}, {"NOT_FOUND"}), ("State", {1: "../" + name}, {"NOT_FOUND"}),
                ("Start", {1: "absent"}, {"NOT_FOUND"}), ("Start", {1: name, 2: "absent"}, {"NOT_FOUND"}),
                ("Start", {1: name}, of_runtime("FAILED_PRECONDITION")),
                ("Delete", {1: "absent"}, {"NOT_FOUND"}), ("Delete", {1: name, 2: "absent"}, {"NOT_FOUND"}),
                ("Delete", {1: name}, of_runtime("FAILED_PRECONDITION")),
                ("Kill", {1: "absent", 3: 9}, {"NOT_FOUND"}), ("Kill", {1: name, 2: "absent", 3: 9}, {"NOT_FOUND"}),
                ("Kill", {1: name, 3: 0}, {"OK"}), ("Kill", {1: name, 3: 65}, of_runtime("INVALID_ARGUMENT")),
                ("Kill", {1: name, 3: 0xFFFFFFFF}, of_runtime("INVALID_ARGUMENT")),
                ("Wait", {1: "absent"}, {"NOT_FOUND"}), ("Wait", {1: name, 2: "absent"}, {"NOT_FOUND"}),
                ("Exec", {1: "absent", 2: "e", 7: process("true")}, {"NOT_FOUND"}),
                ("Exec", {1: name, 2: "../e", 7: process("true")}, of_runtime("INVALID_ARGUMENT", "OK")),
                ("Exec", {1: name, 2: GIANT, 7: process("true")}, of_runtime("INVALID_ARGUMENT", "OK")),
                ("Exec", {1: name, 2: "bomb", 7: any_of("types.containerd.io/opencontainers/runtime-spec/1/Process", "[" * 100000)},
                 of_runtime("INVALID_ARGUMENT")),
                ("Resume", {1: name}, of_runtime("FAILED_PRECONDITION")), ("Pause", {1: "absent"}, {"NOT_FOUND"}),
                ("Update", {1: "absent"}, of_runtime("INVALID_ARGUMENT", "NOT_FOUND")), ("Pids", {1: "absent"}, {"NOT_FOUND"}), ("Stats", {1: "absent"}, {"NOT_FOUND"}),
                ("CloseIO", {1: "absent", 3: 1}, {"NOT_FOUND"}), ("ResizePty", {1: "absent"}, {"NOT_FOUND"}),
                ("Connect", {1: "absent"}, {"OK", "NOT_FOUND"} if RUNC else {"OK"}),
                ("Checkpoint", {1: "absent"}, of_runtime("UNIMPLEMENTED", "NOT_FOUND")),
                ("NoSuchMethod", {1: name}, {"UNIMPLEMENTED"}),
                ("Create", {1: "../x", 2: "/tmp"}, of_runtime("INVALID_ARGUMENT")),
                ("Create", {1: "x", 2: "relative"}, of_runtime("INVALID_ARGUMENT", "NOT_FOUND")),
                ("Create", {1: "x", 2: "/no/such/bundle"}, of_runtime("NOT_FOUND")),
                ("State", b"\xff\xff\xff\xff", {"INVALID_ARGUMENT"} | ({TEXT_ONLY, "INTERNAL"} if RUNC else set())),
            ]
            if not RUNC:  # whose shim ends by a panic
                rows += [("Exec", {1: name, 2: "e"}, {"INVALID_ARGUMENT"}),
                         ("Exec", {1: name, 2: "e", 7: any_of("no.such.Type", "{}")}, {"INVALID_ARGUMENT"}),
                         ("Update", {1: name, 2: any_of("no.such.Type", "{}")}, {"INVALID_ARGUMENT"})]
            for method, fields, wanted in rows:
                with self.subTest(f"{method} {str(fields)[:60]}"):
                    code, message, _ = task.call(method, fields)
                    self.assertIn(code, wanted, message)
                    self.assertLessEqual(len(message), 16384, "the message repeats a giant argument")
        self.assert_task_usable()

    def test_stdio_that_does_not_exist(self):
        with self.start() as task:
            for index, path in enumerate((f"{self.folder}/absent/fifo", self.folder, "nonsense://x", "/a/../../x")):
                with self.subTest(path):
                    code, message, _ = task.call("Exec", {1: self.name, 2: f"e{index}", 5: path, 7: process("true")})
                    if code == "OK":
                        code, message, _ = task.call("Start", {1: self.name, 2: f"e{index}"})
                        task.call("Delete", {1: self.name, 2: f"e{index}"})
                    self.assertNotIn(code, ("OK",) if RUNC else ("OK", "UNKNOWN", "INTERNAL"), message)
        self.assert_task_usable()

    def test_parallel_calls_on_one_task(self):
        # Two Kill, two Delete, Start against Delete: one has its way, the other an error; nothing hangs.
        self.ctr_leaves_fifos = True  # it finds no task to delete
        with self.start() as task:
            exec_fields = {1: self.name, 2: "e", 7: process("sleep", "1000")}
            self.assertEqual(task.call("Exec", exec_fields)[0], "OK")
            self.assertEqual(task.call("Exec", exec_fields)[0], "ALREADY_EXISTS")
            codes = self.both(task, ("Start", {1: self.name, 2: "e"}), ("Delete", {1: self.name, 2: "e"}))
            self.assertIn("OK", codes)
            self.both(task, ("Kill", {1: self.name, 2: "e", 3: 9}), ("Kill", {1: self.name, 2: "e", 3: 9}))
            self.assertLessEqual(self.both(task, ("Kill", {1: self.name, 3: 9}), ("Kill", {1: self.name, 3: 9})), {"OK", "NOT_FOUND"})
            self.assertEqual(task.call("Wait", {1: self.name})[0], "OK")
            codes = self.both(task, ("Delete", {1: self.name}), ("Delete", {1: self.name}))
            self.assertIn("OK", codes)
            self.assertLessEqual(codes, {"OK", "NOT_FOUND"} | ({TEXT_ONLY} if RUNC else set()))
            self.assertEqual(task.call("Delete", {1: self.name})[0], "NOT_FOUND")
            task.call("Shutdown", {1: self.name})

    @staticmethod
    def both(task, *calls):
        for method, fields in calls:
            task.send(method, fields)
        return {task.receive()[1] for _ in calls}

    def test_many_waiters(self):
        with self.start("sh", "-c", "sleep 1000 & wait; exit 7") as task:
            ends = []

            def wait():
                with Task(task.connection.stream.getpeername()) as own:
                    ends.append(own.call("Wait", {1: self.name})[2].get(1))

            threads = [threading.Thread(target=wait) for _ in range(20)]
            for thread in threads:
                thread.start()
            harness.LAB.ctr("task", "kill", "-s", "KILL", self.name)
            for thread in threads:
                thread.join(20)
            self.assertEqual(ends, [[137]] * 20)
            self.assertEqual(task.call("Wait", {1: self.name})[2].get(1), [137])
