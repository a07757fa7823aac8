"""Counts of tests, and how they are read from the output of the runners in use: ctest with GoogleTest, and unittest."""

import re


class Counts:
    """Passed, failed and skipped tests with names of the failed ones and reasons of the skipped ones."""

    def __init__(self, passed=0, failed=(), skipped=()):
        self.passed = passed
        self.failed = list(failed)
        self.skipped = list(skipped)

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self

    def line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def from_ctest(log, name):
    """Counts single GoogleTest tests in ctest's LastTest.log; a program without any counts as one test."""
    counts = Counts()
    for block in re.split(r"\n-{58}\n(?=\d+/\d+ Testing: )", "\n" + log)[1:] or []:
        title = re.search(r"Testing: (\S+)", block)[1]
        counts.passed += len(re.findall(r"^\[ +OK \] ", block, re.MULTILINE))
        failed = re.findall(r"^\[  FAILED  \] (\S+)(?:, where.*)? \(\d+ ms\)$", block, re.MULTILINE)
        for match in re.finditer(r"Skipped\n(.*(?:\n(?!\[).*)*)\n\[  SKIPPED \] (\S+) \(\d+ ms\)", block):
            counts.skipped.append(f"{match[2]}: {' '.join(match[1].split())}")
        if "\nTest Failed." in block and not failed:
            failed = ["whole program (crash, time-out or sanitizer report)"]
        counts.failed += [f"{title}: {test}" for test in failed]
        if "\nTest Passed." in block and "[==========]" not in block:
            counts.passed += 1
    if not counts.passed and not counts.failed:
        counts.failed.append(f"{name}: no test ran")
    return counts


def from_unittest(output, status, name):
    """Counts of a unittest run with verbosity 2 (one line a test)."""
    skipped = re.findall(r"^(\w+).*? \.\.\. skipped ['\"](.*)['\"]$", output, re.MULTILINE)
    failed = re.findall(r"^(?:FAIL|ERROR): (.*)$", output, re.MULTILINE)
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    if not ran or (status != 0 and not failed):
        failed.append(f"exit status {status} without a result")
    names = {failure.split(" ")[0] for failure in failed}
    passed = max(0, int(ran[1]) - len(names) - len(skipped)) if ran else 0
    return Counts(passed, [f"{name}: {failure}" for failure in failed], [f"{name} {test}: {reason}" for test, reason in skipped])
