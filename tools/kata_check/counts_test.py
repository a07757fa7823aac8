#!/usr/bin/env python3
"""Tests of the counting of test results: a failure that is not counted would make a red run green."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kata_check import counts, labs  # noqa: E402

RULE = "-" * 58
CTEST = f"""Start testing: Nov 24 18:40 UTC
{RULE}
1/3 Testing: a_test
1/3 Test: a_test
[==========] Running 3 tests from 1 test suite.
[ RUN      ] A.Good
[       OK ] A.Good (0 ms)
[ RUN      ] A.Needs
x_test.cpp:3: Skipped
needs root
[  SKIPPED ] A.Needs (0 ms)
[ RUN      ] A.Bad
[  FAILED  ] A.Bad (1 ms)
[  FAILED  ] 1 test, listed below:
[  FAILED  ] A.Bad
Test Failed.
"end time"
{RULE}

{RULE}
2/3 Testing: b_fuzz
ran 5 inputs
Test Passed.
{RULE}

{RULE}
3/3 Testing: c_test
[==========] Running 2 tests from 1 test suite.
[       OK ] C.One (0 ms)
AddressSanitizer: heap-use-after-free
Test Failed.
{RULE}
"""


class CountRules(unittest.TestCase):
    def test_ctest(self):
        result = counts.from_ctest(CTEST, "unit")
        self.assertEqual(result.passed, 3)
        self.assertEqual(result.failed, ["a_test: A.Bad", "c_test: whole program (crash, time-out or sanitizer report)"])
        self.assertEqual(result.skipped, ["A.Needs: needs root"])

    def test_ctest_without_tests_fails(self):
        self.assertEqual(counts.from_ctest("Start testing\n", "unit").failed, ["unit: no test ran"])

    def test_unittest(self):
        output = ("test_a (m.T.test_a) ... ok\ntest_b (m.T.test_b) ... skipped 'no kvm'\ntest_c (m.T.test_c) ... FAIL\n"
                  "FAIL: test_c (m.T.test_c)\nRan 3 tests in 1s\n\nFAILED (failures=1, skipped=1)\n")
        result = counts.from_unittest(output, 1, "e2e")
        self.assertEqual((result.passed, result.failed, result.skipped),
                         (1, ["e2e: test_c (m.T.test_c)"], ["e2e test_b: no kvm"]))

    def test_unittest_that_died(self):
        self.assertEqual(counts.from_unittest("Traceback...", 1, "e2e").failed, ["e2e: exit status 1 without a result"])
        self.assertEqual(counts.from_unittest("Ran 4 tests in 1s\n", 139, "e2e").failed, ["e2e: exit status 139 without a result"])


class Labs(unittest.TestCase):
    def test_problem(self):
        ran = "lab: ready in 3.0 s\ntest_a (x.A) ... ok\n\nRan 1 test in 1s\n\nOK\n"
        for name, status, output, expected in (
                ("ran", 0, ran, ""), ("ran and failed", 1, ran, ""), ("over its limit", 124, ran, ""),
                ("cannot boot", 1, "error: tools/lab: virtiofsd not found: run tools/setup\n", "error: tools/lab: virtiofsd not found: run tools/setup"),
                ("crashed", 125, ran + "lab: it ended without an exit status:\n[ 1.0] Oops\n", "lab: it ended without an exit status:"),
                ("silent", 1, "", "it said nothing")):
            self.assertEqual(labs.problem(status, output), expected, name)

    def test_skipped_in_the_lab_is_failed(self):
        result = labs.result("test_a (x.A) ... skipped 'no KVM'\ntest_b (x.A) ... ok\n\nRan 2 tests in 1s\n\nOK (skipped=1)\n", 0, "lab x")
        self.assertEqual((result.passed, len(result.failed), result.skipped), (1, 1, []))
        self.assertIn("no KVM", result.failed[0])

    def test_suites(self):
        names = [suite.name for suite in labs.SUITES]
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue(labs.wanted(False))
        self.assertEqual(labs.wanted(True), list(labs.SUITES))


if __name__ == "__main__":
    unittest.main()
