#!/usr/bin/env python3
"""Tests of the house rules: each rule finds a planted violation and stays quiet on the good twin."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kata_lint import layers, listing, size  # noqa: E402

TABLE = """# comment
wing host
host/shim | host/ctl
host/sandbox
host/vmm !host/vmm/driver_table.cpp
host/resource
wing guest
guest/rpc
wing lib
lib/ttrpc | lib/http
lib/error
"""


class LayerRule(unittest.TestCase):
    def test_rows(self):
        rows = [
            ("downwards", "host/shim/a.cpp", "host/sandbox/b.h", None),
            ("own folder", "host/shim/a.cpp", "host/shim/b.h", None),
            ("library", "guest/rpc/a.cpp", "lib/ttrpc/b.h", None),
            ("program", "cmd/x/main.cpp", "host/shim/b.h", None),
            ("upwards", "host/sandbox/a.cpp", "host/shim/b.h", "host/shim is above host/sandbox"),
            ("siblings", "host/shim/a.cpp", "host/ctl/b.h", "siblings"),
            ("library upwards", "lib/error/a.h", "lib/http/b.h", "above"),
            ("library to host", "lib/error/a.h", "host/shim/b.h", "wing lib does not include wing host"),
            ("guest to host", "guest/rpc/a.h", "host/shim/b.h", "wing guest does not include wing host"),
            ("nobody includes a program", "host/shim/a.h", "cmd/x/y.h", "included by nobody"),
            ("unlisted folder", "host/new/a.h", "host/shim/b.h", "is not in src/layers.txt"),
            ("driver to its interface", "host/vmm/qemu/a.cpp", "host/vmm/driver.h", None),
            ("driver to itself", "host/vmm/qemu/a.cpp", "host/vmm/qemu/b.h", None),
            ("driver to driver", "host/vmm/qemu/a.cpp", "host/vmm/clh/b.h", "siblings"),
            ("interface to driver", "host/vmm/driver.h", "host/vmm/qemu/b.h", "only host/vmm/driver_table.cpp may"),
            ("table to driver", "host/vmm/driver_table.cpp", "host/vmm/qemu/b.h", None),
            ("others to the interface", "host/sandbox/a.cpp", "host/vmm/driver.h", None),
            ("sub-folders without a rule", "host/resource/table.cpp", "host/resource/rootfs/b.h", None),
        ]
        table = layers.Layers(TABLE)
        for name, source, target, expected in rows:
            with self.subTest(name):
                refusal = table.refusal(source, target)
                self.assertEqual(refusal is None, expected is None, refusal)
                if expected:
                    self.assertIn(expected, refusal)

    def test_violation_names_both_files_and_line(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(f"{root}/src/host/sandbox")
            for path, text in (("layers.txt", TABLE), ("host/sandbox/a.cpp", '// x\n#include "host/shim/b.h"\n')):
                with open(f"{root}/src/{path}", "w", encoding="utf-8") as file:
                    file.write(text)
            problems = list(layers.check(root, ["src/host/sandbox/a.cpp"]))
        self.assertEqual([(p.path, p.line) for p in problems], [("src/host/sandbox/a.cpp", 2)])
        self.assertIn("src/host/shim/b.h", problems[0].message)


class SizeRule(unittest.TestCase):
    def longest(self, text):
        return max((last - first + 1, name) for first, last, name in size.functions(text))

    def test_functions(self):
        body = "\n".join(["  x();"] * 8)
        rows = [
            ("plain", f"namespace a {{\nvoid f(int x) {{\n{body}\n}}\n}}\n", (10, "f")),
            ("member with initialiser list", f"S::S(int x) : a_(x), b_{{1}} {{\n{body}\n}}\n", None),
            ("in a class", f"class A {{\n public:\n  int get() const noexcept {{\n{body}\n}}\n}};\n", (10, "get")),
            ("lambda counts to its function", f"void g() {{\n  auto l = [] {{\n{body}\n  }};\n}}\n", (12, "g")),
            ("braces in strings and comments", f'void h() {{\n  s("}}{{"); // {{\n  c(\'{{\'); /* {{ */\n{body}\n}}\n', (12, "h")),
            ("raw string", f'void r() {{\n  s(R"x({{{{)x");\n{body}\n}}\n', (11, "r")),
            ("digit separators", f"void d() {{\n  int a = 1'000'000;\n{body}\n}}\n", (11, "d")),
            ("coroutine with trailing return", f"auto k(int a) -> awaitable<void> {{\n{body}\n}}\n", (10, "k")),
        ]
        for name, text, expected in rows:
            with self.subTest(name):
                if expected:
                    self.assertEqual(self.longest(text), expected)
                else:
                    self.assertGreaterEqual(len(list(size.functions(text))), 1)

    def test_tables_are_not_functions(self):
        self.assertEqual(list(size.functions("constexpr Row kRows[] = {\n  {f(1), 2},\n};\nenum class E { a, b };\n")), [])

    def test_limits(self):
        with tempfile.TemporaryDirectory() as root:
            with open(f"{root}/a.cpp", "w", encoding="utf-8") as file:
                file.write("void f() {\n" + "  x();\n" * 59 + "}\n" + "\n" * 440)
            found = [problem.message for problem in size.check(root, ["a.cpp"])]
        self.assertEqual(found, ["501 lines, 500 at most: split it by topic", "function f has 61 lines, 60 at most"])


class ListingRule(unittest.TestCase):
    def test_unlisted_source_and_missing_readme(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(f"{root}/src/lib/x")
            with open(f"{root}/src/lib/x/CMakeLists.txt", "w", encoding="utf-8") as file:
                file.write("kata_library(NAME x SRCS a.cpp  # b.cpp\n)\n")
            found = list(listing.check(root, ["src/lib/x/a.cpp", "src/lib/x/b.cpp", "src/lib/x/a.h"]))
        self.assertEqual([problem.path for problem in found], ["src/lib/x/b.cpp", "src/lib/x"])


if __name__ == "__main__":
    unittest.main()
