#!/usr/bin/env python3
"""Tests of the benchmark's arithmetic: a wrong floor or flag would make a bad figure look good."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, BENCH)

from kata_bench import bare, memory, pod, pods, session, sizing, stats, table, timeline, ttrpc  # noqa: E402


class Statistics(unittest.TestCase):
    def test_percentile_is_a_sample(self):
        hundred = list(range(1, 101))
        for name, values, percent, expected in (("p99 of 100", hundred, 99, 99), ("p99 of 20", list(range(20)), 99, 19),
                                                ("p10 of 20", list(range(20)), 10, 1), ("one sample", [7], 99, 7), ("p1", hundred, 1, 1),
                                                ("unordered", [3, 1, 2], 50, 2)):
            with self.subTest(name):
                self.assertEqual(stats.percentile(values, percent), expected)

    def test_variation(self):
        for name, values, expected in (("one sample", [5], 0), ("steady", [2, 2, 2], 0), ("zero median", [0, 0, 0], 0),
                                       ("outliers do not count", [10] * 18 + [1, 100], 0), ("spread", [9, 10, 11], 0.2)):
            with self.subTest(name):
                self.assertAlmostEqual(stats.variation(values), expected)

    def test_slope(self):
        self.assertAlmostEqual(stats.slope([(1, 5), (2, 7), (3, 9)]), 2)
        self.assertEqual(stats.slope([(4, 5), (4, 9)]), 0)


class GuestsLog(unittest.TestCase):
    def test_from_init_to_the_first_module(self):
        run, module = "[    1.500000] Run /init as init process\n", "[    1.530000] vsock: module verification failed: signature\n"
        for name, log in (("first word counts", run + module + "[    1.540000] NET: Registered PF_VSOCK protocol family\n"),
                          ("signed modules", run + "[    1.530000] NET: Registered PF_VSOCK protocol family\n"),
                          ("what was before does not count", "[    1.100000] NET: Registered PF_VSOCK protocol family\n" + run + module)):
            with self.subTest(name):
                self.assertAlmostEqual(memory.before_modules(log), 30)
        for name, log in (("nothing", ""), ("no module", run), ("no /init", module)):
            with self.subTest(name), self.assertRaises(pod.BenchError):
                memory.before_modules(log)


class Rows(unittest.TestCase):
    def test_over_peer(self):
        row = stats.over_peer("x", [1.375, 1.25, 1.5], [1.0, 1.0, 1.0], [0.25, 0.25, 0.25], ("<=", 1.5))
        self.assertEqual((row.value, row.p99), (1.5, 2.0))
        self.assertEqual((row.floor, row.n, row.flags, row.missed), (1.0, 3, [], False))

    def test_below_floor_fails_whatever_the_goal_says(self):
        row = stats.over_peer("x", [0.9], [1.0], [0.2], ("<=", 1.5))
        self.assertTrue(row.below_floor)
        self.assertFalse(row.missed)
        self.assertEqual(stats.failures([row]), ["x is below its own floor: the measurement is wrong"])

    def test_equal_to_the_floor_is_not_below(self):
        self.assertFalse(stats.time_ratio("x", [1.0], [1.0]).below_floor)

    def test_noisy_floor(self):
        for name, floor, noisy in (("10 % is not more than 10 %", [9.5, 10, 10.5], False), ("11 %", [9.4, 10, 10.5], True),
                                   ("one", [3], False)):
            with self.subTest(name):
                row = stats.time_ratio("x", [20] * len(floor), floor)
                self.assertEqual(any(flag.startswith("noisy floor") for flag in row.flags), noisy)

    def test_noisy_peer(self):
        self.assertIn("noisy peer 50 %", stats.over_peer("x", [2] * 3, [1] * 3, [3, 4, 5]).flags)

    def test_rate_ratio(self):
        row = stats.rate_ratio("x", [4.0, 4.0], [2.0, 2.0], 256, (">=", 0.6))
        self.assertEqual((row.value, row.floor, row.missed), (0.5, 128, True))
        self.assertEqual(stats.failures([row]), ["x is 0.5, must be >= 0.6"])

    def test_faster_than_the_raw_stream_is_below_the_floor(self):
        self.assertTrue(stats.rate_ratio("x", [1.0], [1.1], 256).below_floor)
        self.assertFalse(stats.rate_ratio("x", [1.0], [1.1], 256, may_exceed=True).below_floor)

    def test_goals(self):
        for comparison, goal, value, missed in (("<=", 5, 5, False), ("<=", 5, 5.1, True), (">=", 5, 4.9, True), (">=", 5, 5, False),
                                                ("==", 0, 0, False), ("==", 0, 1, True), ("<=", 5, None, False)):
            with self.subTest(f"{value} {comparison} {goal}"):
                self.assertEqual(stats.Row("x", value, "count", goal=(comparison, goal)).missed, missed)

    def test_json_there_and_back(self):
        row = stats.plain("x", [1.0, 2.0, 3.0], "ms", ("<=", 2.5), "a remark", floor=[0.5, 0.6, 0.9])
        again = stats.Row.from_json(json.loads(json.dumps(row.to_json())))
        self.assertEqual(again.to_json(), row.to_json())
        self.assertLessEqual({"name", "value", "unit", "n", "p99", "floor"}, set(row.to_json()))


class Tables(unittest.TestCase):
    ROWS = (stats.Row("a.b", 1.2345, "ratio", 20, 1.5, 0.9, ("<=", 1.0)), stats.skipped("c", "no such device", "ms"),
            stats.Row("size", 1234567, "bytes", goal=("<=", 2000000)))

    def test_text(self):
        lines = table.text(self.ROWS).splitlines()
        self.assertRegex(lines[1], r"^a\.b +1\.234 +ratio +20 +1\.500 +0\.900 +<= 1\.000 +MISSED$")
        self.assertRegex(lines[2], r"^c +- +ms +0 .*skipped: no such device$")
        self.assertRegex(lines[3], r"1,234,567 +bytes")

    def test_side_by_side(self):
        lines = table.text(self.ROWS, {"a.b": stats.Row("a.b", 3.0, "ratio")}).splitlines()
        self.assertIn("against", lines[0])
        self.assertRegex(lines[1], r"<= 1\.000 +3\.000 +MISSED$")

    def test_report_into_a_document(self):
        with tempfile.TemporaryDirectory() as folder:
            figures, page = os.path.join(folder, "x.json"), os.path.join(folder, "x.md")
            table.write(figures, table.to_json(self.ROWS, "bench/run", 0.5))
            with open(page, "w", encoding="utf-8") as file:
                file.write("head\n<!-- figures -->\nold\n<!-- /figures -->\ntail\n")
            subprocess.run([sys.executable, os.path.join(BENCH, "report"), figures, "--into", page], check=True)
            with open(page, encoding="utf-8") as file:
                text = file.read()
        self.assertNotIn("old", text)
        self.assertTrue(text.startswith("head\n") and text.endswith("<!-- /figures -->\ntail\n"))
        self.assertIn("| `a.b` | 1.234 | ratio | 20 | 1.500 | 0.900 | <= 1.000 | MISSED |", text)


class Selection(unittest.TestCase):
    def test_patterns(self):
        self.assertEqual(session.wanted(["stop.ms"]), {"stop.ms"})
        self.assertEqual(session.wanted(["stdout"]), {"stdout.ratio", "stdout.direct_ratio"})
        self.assertEqual(session.wanted(["*.file_bytes"]), {"shim.file_bytes", "agent.file_bytes"})
        with self.assertRaisesRegex(ValueError, "no row is called start.x"):
            session.wanted(["start.x"])

    def test_every_group_has_its_method_and_every_row_one_group(self):
        self.assertEqual(len(session.ALL), len(set(session.ALL)))
        self.assertLessEqual(set(session.SPINE), set(session.ALL))
        for group, _ in session.GROUPS:
            self.assertTrue(callable(getattr(session.Session, group)), group)


class Sizing(unittest.TestCase):
    def test_parts_of_a_pod(self):
        processes = {"qemu-system-x86_64": [1], "virtiofsd": [2, 3], "containerd-shim-kata-v2": [4]}
        parts = sizing.parts_of(processes, memory=lambda pid: 10 * pid)
        self.assertEqual(parts, {"VMM": 10, "virtiofsd": 50, "containerd-shim-kata-v2": 40})

    def test_what_a_pod_may_cost(self):
        own = {"VMM": 210000, "containerd-shim-kata-v2": 2300, "virtiofsd": 3000}
        bare_vmm = {"qemu-system-x86_64": 200000, "kata-vsock-device": 1200, "virtiofsd": 1000}
        self.assertEqual(sizing.allowed(own, bare_vmm), 1.05 * 200000 + 3000 + 5e6 / 1024)

    def test_given_back(self):
        for name, values, expected in (("all", (100, 1100, 100), 1.0), ("nothing", (100, 1100, 1100), 0.0), ("some", (100, 1100, 200), 0.9),
                                       ("nothing was used", (100, 100, 90), 0.0)):
            with self.subTest(name):
                self.assertAlmostEqual(sizing.given_back(*values), expected)

    def test_cpu_time_is_of_all_threads(self):
        with tempfile.TemporaryDirectory() as proc:
            for pid, thread, nanoseconds in ((7, 7, 1_500_000_000), (7, 8, 500_000_000), (9, 9, 250_000_000)):
                os.makedirs(f"{proc}/{pid}/task/{thread}")
                with open(f"{proc}/{pid}/task/{thread}/schedstat", "w", encoding="ascii") as file:
                    file.write(f"{nanoseconds} 5 6\n")
            self.assertAlmostEqual(sizing.cpu_seconds([7, 9], proc), 2.25)


class Timeline(unittest.TestCase):
    LOG = ('{"msg":"phase of the start","time":"2026-01-02T00:00:03.500000001Z","sandbox":"s1","phase":"guest boot","us":"2000000"}\n'
           'time="x" level=info msg="other line"\n{"msg":"phase of the start", broken\n'
           '{"msg":"phase of the start","time":"2026-01-02T00:00:01.5Z","sandbox":"s1","phase":"vmm","us":"500000"}\n'
           '{"msg":"phase of the start","time":"2026-01-02T00:00:01Z","sandbox":"s2","phase":"vmm","us":"1"}\n')

    def test_phases_of_one_sandbox(self):
        base = timeline.parse_time("2026-01-02T00:00:00Z")
        phases = [(name, round(begin - base, 3), round(end - base, 3)) for name, begin, end in timeline.parse_phases(self.LOG, "s1")]
        self.assertEqual(phases, [("guest boot", 1.5, 3.5), ("vmm", 1.0, 1.5)])

    def test_bars_meet_where_the_agent_listens(self):
        phases = [("guest boot", 101.5, 103.5), ("vmm", 101.0, 101.5), ("boot", 100.9, 104.0)]
        found = timeline.bars(100.0, 100.5, phases, {"started": 1.0, "modules": 1.2, "listening": 1.3}, 104.5)
        places = {bar.text: (round(bar.begin, 3), round(bar.end, 3)) for bar in found}
        self.assertEqual(places["listen"], (3.4, 3.5))
        self.assertEqual(places["to /init"], (2.2, 3.2))
        self.assertEqual(places["QEMU and firmware"], (1.0, 2.2))
        self.assertEqual(places["rest, to the first output"], (4.0, 4.5))
        self.assertIn("<svg", timeline.svg(found, "a & b"))


class Pods(unittest.TestCase):
    def test_phases_of_one_pod(self):
        line = '{{"level":"debug","msg":"phase of the start","time":"2026-11-24T22:00:0{}.5Z","sandbox":"{}","phase":"{}","us":"{}"}}'
        log = "\n".join([line.format(1, "a", "network", 3000), line.format(2, "a", "network", 5500), line.format(3, "a", "network undo", 250),
                         line.format(4, "b", "network", 99000), 'msg="phase of the start" of something else'])
        told = {phase: round(length, 2) for phase, length in pods.phases(log, "a").items()}
        self.assertEqual(told, {"network": 5.5, "network undo": 0.25})
        self.assertEqual(pods.phases(log, "c"), {})


class Bare(unittest.TestCase):
    def test_figures_among_other_lines(self):
        console = "[    0.1] virtio_blk virtio0: [vda] 131072\nRESULT 5321 412.5\n[    2.0] reboot: Power down\n"
        self.assertEqual(bare.parse(console), (5321.0, 412.5))
        self.assertEqual(bare.parse("900 12.0\n"), (900.0, 12.0))
        for text in ("", "RESULT\n", "1 2 3\n", "0 0.0\n", "disk_read: No such file\n"):
            with self.subTest(text), self.assertRaises(pod.BenchError):
                bare.parse(text)

    def test_more_is_better(self):
        good, bad = bare.ratio("r", [100, 101], [100, 100], "x", (">=", 0.95)), bare.ratio("r", [80, 81], [100, 100], "x", (">=", 0.95))
        self.assertFalse(good.missed)
        self.assertTrue(bad.missed)


class Wire(unittest.TestCase):
    def test_message(self):
        self.assertEqual(ttrpc.message((1, 150), (2, "hi"), (3, [b"a", b"b"])), b"\x08\x96\x01\x12\x02hi\x1a\x01a\x1a\x01b")

    def test_fields(self):
        self.assertEqual(ttrpc.fields(b"\x08\x96\x01\x12\x02hi\x19\x01\0\0\0\0\0\0\0"), {1: 150, 2: b"hi", 3: b"\x01\0\0\0\0\0\0\0"})


if __name__ == "__main__":
    unittest.main()
