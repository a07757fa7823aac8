"""Set-up and all tests that this machine can run; ends with one line `N passed, N failed, N skipped`.

usage: tools/check [--fast] [--faults] [--whole] [--lab] [STAGE...]

Stages, in order (default: all): setup lint scripts release guest unit agent-vm fuzz tidy e2e e2e-2.3 faults lab
--fast    leaves out the sanitizers (unit tests from the dev build), fuzzing, tidy, containerd 2.3, the fault matrix and the lab
--faults  the fault matrix whole and with both containerds, instead of its short form
--lab     all suites of the lab (tools/lab) instead of its short one
--whole   all end-to-end tests on containerd 2.3 too, not only those in which containerd has a part

KATA_FUZZ_SECONDS (20) is the time of each fuzz target. Logs are kept in build/check. Caches are below ~/.cache/kata-cpp.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kata_check import counts, labs, steps  # noqa: E402
from kata_node import newer_containerd, paths  # noqa: E402

REPO = paths.REPO
SCRIPT_TESTS = ("tools/kata_lint/lint_test.py", "tools/kata_check/counts_test.py", "image/image_test.py", "tests/residue/residue_test.py",
                "bench/kata_bench/bench_test.py")
FAILPOINT_TRACE = b"KATA_FAILPOINTS_DIR"
# What another containerd can change; the rest is between the shim and its guest.
CONTAINERD_TESTS = ("block_e2e.Snapshotters", "bundle_e2e", "copied_files_e2e.Copies", "cri_copied_files_e2e", "crash_e2e", "cri_e2e", "cri_stream_e2e",
                    "management_e2e", "run_e2e", "stdio_e2e", "task_calls_e2e")
FUZZ_SECONDS = int(os.environ.get("KATA_FUZZ_SECONDS", "20"))


class Check:
    def __init__(self, fast, whole_matrix, whole=False, whole_lab=False):
        self.fast = fast
        self.whole = whole
        self.whole_matrix = whole_matrix
        self.whole_lab = whole_lab
        self.log = steps.Log(os.path.join(REPO, "build/check"))
        self.counts = counts.Counts()
        self.broken = set()  # stages that others need and that failed

    def _one(self, name, status, reason=""):
        if status == 0:
            self.counts += counts.Counts(1)
        else:
            self.counts += counts.Counts(failed=[f"{name}: {reason or f'exit status {status}'}"])
        return status == 0

    def _skip(self, name, reason):
        print(f"== {name}: skipped: {reason}")
        self.counts += counts.Counts(skipped=[f"{name}: {reason}"])

    def setup(self):
        status, output = self.log.run("setup", ["tools/setup"], REPO)
        if status:
            sys.exit(status)
        print("   " + output.strip().split("\n")[-1])

    def lint(self):
        self._one("lint", self.log.run("lint", ["tools/lint", "--no-tidy"], REPO)[0])

    def tidy(self):
        status, output = self.log.run("clang-tidy on changed files", ["tools/lint"], REPO)
        if "clang-tidy skipped" in output:
            self._skip("tidy", output.partition("clang-tidy skipped: ")[2].split("\n")[0])
        else:
            self._one("tidy", status)

    def scripts(self):
        for test in SCRIPT_TESTS:
            status, output = self.log.run(test, [sys.executable, test, "-v"], REPO, limit=300)
            self.counts += counts.from_unittest(output, status, test)

    def _build(self, preset, *targets):
        folder = os.path.join(REPO, "build", preset)
        status, _ = self.log.run(f"configure {preset}", ["cmake", "--preset", preset], REPO)
        if status == 0:
            started = time.monotonic()
            status, _ = self.log.run(f"build {preset}", ["ninja", "-C", folder, "-k", "0", *targets], REPO)
            print(f"   {preset} build: {time.monotonic() - started:.0f} s")
        return self._one(f"build {preset}", status)

    def release(self):
        if not self._build("release"):
            self.broken.add("release")
            return
        for program in paths.PROGRAMS:
            path = os.path.join(paths.binaries(), program)
            if os.path.exists(path):
                print(f"   {program}: {os.path.getsize(path) / 1e6:.2f} MB")
                self._one(f"{program}: no failpoint in a release", 1 if FAILPOINT_TRACE in _read(path) else 0)

    def guest(self):
        agent = os.path.join(paths.binaries(), "kata-agent")
        if not os.path.exists(agent):
            return self._skip("guest", f"no {os.path.relpath(agent, REPO)}")
        status, output = self.log.run("guest image", ["image/build", "--out", paths.guest()], REPO)
        print("   " + "\n   ".join(line for line in output.split("\n") if " MB" in line))
        if not self._one("guest image", status):
            return self.broken.add("guest")
        second = os.path.join(REPO, "build/check/guest-again")
        status, _ = self.log.run("guest image a second time", ["image/build", "--out", second], REPO)
        same = status == 0 and all(_read(os.path.join(second, name)) == _read(os.path.join(paths.guest(), name))
                                   for name in ("vmlinux", "kata-initrd.img"))
        shutil.rmtree(second, ignore_errors=True)
        self._one("guest image: same input, same bytes", 0 if same else 1, "the two builds differ")

    def unit(self):
        preset = "dev" if self.fast else "asan"
        if not self._build(preset):
            self.broken.add("unit")
            return
        folder = os.path.join(REPO, "build", preset)
        self.log.run(f"unit tests ({preset})", ["ctest", "--test-dir", folder, "-j", str(os.cpu_count()), "--output-on-failure"], REPO)
        with open(os.path.join(folder, "Testing/Temporary/LastTest.log"), encoding="utf-8", errors="replace") as file:
            result = counts.from_ctest(file.read(), "unit tests")
        print("   " + result.line())
        self.counts += result

    def agent_vm(self):
        """The agent's socket tests in a guest each: the test programs of the unit stage, the agent of the guest image."""
        folder = os.path.join(REPO, "build", "dev" if self.fast else "asan", "bin/tests")
        if self.broken & {"release", "guest", "unit"}:
            return self._skip("agent in a guest", f"failed before: {' '.join(sorted(self.broken))}")
        status, output = self.log.run("agent in a guest", [sys.executable, "tests/guest/run", "--tests", folder], REPO, limit=900)
        if status == 77:
            return self._skip("agent in a guest", output.strip().split("\n")[-1])
        lines = [line.split() for line in output.split("\n")]
        result = counts.Counts(sum(1 for line in lines if line[:1] == ["ok"]),
                               [f"{line[1]} in a guest" for line in lines if line[:1] == ["failed"]],
                               [f"{line[1]} in a guest" for line in lines if line[:1] == ["skipped"]])
        if status and not result.failed:
            result.failed.append("agent in a guest")
        print("   " + result.line())
        self.counts += result
        return None

    def fuzz(self):
        listing = os.path.join(REPO, "build/asan/fuzz_targets.txt")
        if "unit" in self.broken or not os.path.exists(listing):
            return self._skip("fuzz", "no sanitizer build")
        with open(listing, encoding="utf-8") as file:
            targets = [line.split() for line in file if line.strip()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, status in pool.map(self._fuzz_one, targets):
                self._one(f"fuzz {name}", status)

    def _fuzz_one(self, target):
        name, seeds = target[0], target[1:]
        work = os.path.join(REPO, "build/check/fuzz", name)
        os.makedirs(work, exist_ok=True)
        found = [os.path.join(REPO, seed) for seed in seeds if os.path.isdir(os.path.join(REPO, seed))]
        command = [os.path.join(REPO, "build/asan/bin/fuzz", name), f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
                   "-print_final_stats=1", f"-artifact_prefix={work}/crash-", work, *found]
        return name, self.log.run(f"fuzz {name} {FUZZ_SECONDS} s", command, REPO, limit=FUZZ_SECONDS + 120)[0]

    def _e2e(self, name, version, *words):
        missing = [program for program in paths.PROGRAMS if not os.path.exists(os.path.join(paths.binaries(), program))]
        if missing or self.broken & {"release", "guest"}:
            return self._skip(name, f"no release binaries or guest ({' '.join(missing) or ' '.join(sorted(self.broken))})")
        if os.geteuid() != 0:
            return self._skip(name, "needs root")
        command = [sys.executable, "tests/e2e/run", "--containerd", version, *(["--smoke"] if self.fast else words)]
        status, output = self.log.run(name, command, REPO, limit=1500)
        self.counts += counts.from_unittest(output, status, name)

    def e2e(self):
        self._e2e("e2e containerd of the distribution", "1.6")

    def e2e_23(self):
        try:
            newer_containerd.folder(paths.cache())
        except newer_containerd.Unavailable as reason:
            return self._skip("e2e containerd 2.3", str(reason))
        self._e2e("e2e containerd 2.3", "2.3", *([] if self.whole else ["--loop", "20", *CONTAINERD_TESTS]))

    def faults(self):
        """The fault matrix: short, or whole and with both containerds."""
        if self.broken & {"release", "guest"} or os.geteuid() != 0:
            return self._skip("faults", "no release binaries or guest" if self.broken else "needs root")
        if not self._build("faults", "containerd-shim-kata-v2"):
            return None
        shim = os.path.join(REPO, "build/faults/bin/containerd-shim-kata-v2")
        self._one("the fault tests' shim has failpoints", 0 if FAILPOINT_TRACE in _read(shim) else 1)
        for version in ("1.6", "2.3") if self.whole_matrix else ("1.6",):
            command = [sys.executable, "tests/fault/run", "--containerd", version, *([] if self.whole_matrix else ["--short"])]
            name = f"fault matrix, containerd {version}"
            status, output = self.log.run(name, command, REPO, limit=3600 if self.whole_matrix else 300)
            print("   " + output[output.rfind("\ncontainerd "):].strip().replace("\n", "\n   "))
            self.counts += counts.from_unittest(output, status, name)
        return None

    def lab(self):
        """Suites on a host that has KVM, vhost and cgroup v2: a virtual machine on this one."""
        if self.broken & {"release", "guest"} or os.geteuid() != 0:
            return self._skip("lab", "no release binaries or guest" if self.broken else "needs root")
        for suite in labs.wanted(self.whole_lab):
            name = f"lab {suite.name}"
            status, output = self.log.run(name, labs.command(suite, REPO), REPO, limit=suite.limit + 60)
            problem = labs.problem(status, output)
            if problem and not self.whole_lab:
                self._skip(name, problem)
            elif problem:
                self._one(name, 1, problem)
            else:
                self.counts += labs.result(output, status, name)
        return None

    def finish(self, started):
        print("\nslowest steps: " + ", ".join(f"{text} {took:.0f} s" for took, text in sorted(self.log.durations, reverse=True)[:8]))
        for reason in self.counts.skipped:
            print(f"skipped: {reason}")
        for name in self.counts.failed:
            print(f"failed: {name}")
        print(f"total time: {time.monotonic() - started:.0f} s")
        print(self.counts.line())
        return 1 if self.counts.failed or not self.counts.passed else 0


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(prog="tools/check", description=__doc__.split("\n\n")[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--faults", action="store_true", help="the whole fault matrix, with both containerds")
    parser.add_argument("--whole", action="store_true", help="all end-to-end tests on containerd 2.3, too")
    parser.add_argument("--lab", action="store_true", help="all suites of the lab, not only the short one")
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    arguments = parser.parse_args()
    check = Check(arguments.fast, arguments.faults, arguments.whole, arguments.lab)
    stages = {"setup": check.setup, "lint": check.lint, "scripts": check.scripts, "release": check.release, "guest": check.guest,
              "unit": check.unit, "agent-vm": check.agent_vm, "fuzz": check.fuzz, "tidy": check.tidy, "e2e": check.e2e, "e2e-2.3": check.e2e_23, "faults": check.faults,
              "lab": check.lab}
    unknown = set(arguments.stages) - set(stages)
    if unknown:
        parser.error(f"unknown stage {' '.join(sorted(unknown))}: there are {' '.join(stages)}")
    left_out = {"fuzz", "tidy", "e2e-2.3", "faults", "lab"} if arguments.fast else set()
    started = time.monotonic()
    for name, stage in stages.items():
        if name in (arguments.stages or set(stages) - left_out):
            stage()
    return check.finish(started)


if __name__ == "__main__":
    os.chdir(REPO)
    try:
        sys.exit(main())
    except subprocess.SubprocessError as error:
        sys.exit(f"error: tools/check: {error}")
