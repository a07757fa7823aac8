"""Test suites that run in the lab (tools/lab): what only a host with KVM, vhost and cgroup v2 shows."""

import dataclasses
import os

from . import counts

# Its command did not run to an end: the lab itself has a problem.
LAB_FAILED = 125


@dataclasses.dataclass(frozen=True)
class Suite:
    name: str
    command: tuple  # in the lab, from the root of the work tree
    limit: int  # seconds for the command
    features: str = ""  # of tools/lab --with
    short: bool = False  # runs in plain tools/check too


# A VM in a lab on a busy machine takes several times as long as one on the machine itself.
_PATIENCE = ("--set", "agent.kata.reconnect_timeout_ms=90000", "--set", "agent.kata.create_container_timeout=90")


def _e2e(*patterns):
    return ("tests/e2e/run", *_PATIENCE, *patterns)


# In a lab a start takes 8 to 10 s on a machine that does nothing else, and each core that others use counts: one boot, several tests.
# The limits are for a busy machine.
SUITES = (
    # `ctr run` with KVM and vhost-vsock, a pod with vhost-net.
    Suite("short", _e2e("host_e2e.Hardware.test_best", "host_e2e.PodOnHardware"), 300, short=True),
    Suite("run", _e2e("run_e2e.Run.test_output_and_exit_code", "run_e2e.Streams", "run_e2e.Exec.test_exec_exit_codes", "run_e2e.Tty.test_terminal",
                      "run_e2e.Task.test_state_pids_metrics", "bad_input_e2e.Configuration.test_missing_files", "crash_e2e.Crash.test_qemu_killed"), 600),
    Suite("network", _e2e("network_e2e.PodNetwork", "cri_e2e.Life.test_pod_with_two_containers"), 600),
    Suite("cgroup-v2", _e2e("host_e2e.UnifiedCgroups", "limits_e2e", "cri_e2e.Counters", "test_into_what_does_not_run"), 600),
    # Debian's kernels since 6.12 have no v1 hierarchies of memory and cpuset: the tests that look at those are for the machine itself.
    Suite("cgroup-v1", _e2e("resources_e2e.NodeCgroups.test_everything", "resources_e2e.NodeCgroups.test_with_an_overhead"), 400,
          features="cgroup=v1"),
    Suite("resize", _e2e("resize_e2e"), 900),
    Suite("hugepages", _e2e("host_e2e.Hardware.test_huge_pages"), 200, features="hugepages"),
)


def command(suite, repo):
    options = ["--with", suite.features] if suite.features else []
    return [os.path.join(repo, "tools/lab"), "run", "--timeout", str(suite.limit), *options, "--", *suite.command]


def wanted(whole):
    return [suite for suite in SUITES if whole or suite.short]


def problem(status, output):
    """What kept the lab from running the suite, in a line; nothing when it ran (well or not)."""
    if status == LAB_FAILED or "\nlab: ready in " not in "\n" + output:
        lines = [line for line in output.strip().split("\n") if line]
        said = [line for line in lines if line.startswith(("error: tools/lab", "lab: "))]
        return (said or lines or ["it said nothing"])[-1]
    return ""


def result(output, status, name):
    """Counts of a suite that ran. What its tests miss in the lab is a failure: it was chosen because the lab has it."""
    counted = counts.from_unittest(output, status, name)
    return counts.Counts(counted.passed, counted.failed + [f"{text} (skipped in the lab)" for text in counted.skipped])
