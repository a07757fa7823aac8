"""Runs a container in its own virtual machine through a real containerd, shows what happened, and cleans up after itself.

usage: tools/demo                      set-up, build, run, figures, clean-up with proof
       tools/demo --shell              an interactive shell in a container instead of the figures
       tools/demo --containerd 2.3     with the newer containerd, built from its Go module once

Needs root on Debian 12 or 13. Everything is done in a folder of its own; an installed containerd is not touched. The first
run installs packages and builds, which takes minutes; later runs take seconds.
"""

import argparse
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(REPO, folder) for folder in ("tools", "tests/residue", "bench")]

import residue  # noqa: E402
from kata_bench import floor, memory, pod  # noqa: E402
from kata_check import steps  # noqa: E402
from kata_node import configuration, containerd, image, newer_containerd, paths  # noqa: E402

NAME = f"kata-demo-{os.getpid()}"


class DemoError(Exception):
    """A step failed; the message says which."""


def title(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def build():
    log = steps.Log(os.path.join(REPO, "build/demo"))

    def step(text, *command):
        status, output = log.run(text, list(command), REPO)
        if status:
            raise DemoError(f"'{text}' failed, see above")
        return output

    title("1. What is needed")
    print("   " + step("packages (tools/setup)", "tools/setup").strip().split("\n")[-1])
    title("2. Binaries and guest")
    if not os.path.exists(os.path.join(REPO, "build/release/build.ninja")):
        step("configure the release build", "cmake", "--preset", "release")
    step("build the release binaries (minutes the first time)", "ninja", "-C", "build/release")
    print("   " + step("guest: kernel and initrd", "image/build", "--out", paths.guest()).strip().replace("\n", "\n   "))
    for program in paths.PROGRAMS:
        print(f"   {program:26s} {os.path.getsize(os.path.join(paths.binaries(), program)) / 1e6:6.2f} MB")


def run_words(lab, config, *command, flags=("--rm",), runtime="io.containerd.kata.v2", name=NAME):
    chosen = ["--runtime-config-path", config] if runtime == "io.containerd.kata.v2" else []
    return lab.ctr_command("run", "--runtime", runtime, *chosen, *flags, image.NAME, name, *command)


def timed_run(lab, words):
    """Returns (seconds to the first output, seconds in all, output); raises DemoError with ctr's own words."""
    started = time.monotonic()
    with subprocess.Popen(words, env=lab.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        if not select.select([child.stdout], [], [], 60)[0]:
            child.kill()
            raise DemoError(f"no output within 60 s; containerd's log ends with:\n{lab.log_tail()}")
        first = time.monotonic() - started
        out, err = child.communicate(timeout=60)
        took = time.monotonic() - started
    if child.returncode:
        raise DemoError(f"ctr run ended with {child.returncode}: {err.decode(errors='replace').strip()}\ncontainerd's log ends with:\n{lab.log_tail()}")
    return first, took, out.decode(errors="replace")


def shim_figures():
    pid = pod.Running(NAME).process(pod.SHIM)
    return f"{pod.memory(pid) / 1024:.1f} MiB PSS, {pod.threads(pid)} threads"


def agent_figures():
    try:
        return f"{memory.of_agent(NAME)['Rss'] / 1024:.1f} MiB RSS"
    except (OSError, pod.BenchError) as error:
        return f"its memory could not be read: {error}"


def show(lab, config):
    title("4. A container in its own virtual machine")
    words = run_words(lab, config, "sh", "-c", "echo \"hello from kernel $(uname -r), pid $$, $(grep -c ^processor /proc/cpuinfo) cpu\"")
    print("   $ ctr " + " ".join(words[5:]).replace(config, "kata.toml"))
    first, took, out = timed_run(lab, words)
    print(f"   {out.strip()}")
    print(f"   the host's kernel is {os.uname().release}")

    title("5. Figures")
    _, runc, _ = timed_run(lab, run_words(lab, config, "echo", "x", runtime="io.containerd.runc.v2", name=NAME + "-runc"))
    subprocess.run(run_words(lab, config, "sleep", "600", flags=("-d",)), env=lab.environment, check=True, stdin=subprocess.DEVNULL, timeout=60)
    time.sleep(memory.SETTLE_SECONDS)
    bare = floor.BootFloor(pod.Running(NAME)).run()
    print(f"   ctr run to first output      {first:6.2f} s (whole run {took:.2f} s)")
    print(f"   bare boot of the same VM     {bare:6.2f} s (QEMU alone, to the first answer of its agent): ratio {first / bare:.2f}")
    print(f"   the same through runc        {runc:6.2f} s (no virtual machine)")
    print(f"   shim with an idle container  {shim_figures()}")
    print(f"   agent in the guest           {agent_figures()}")
    result = lab.ctr("task", "exec", "--exec-id", "e1", NAME, "sh", "-c", "echo exec works; exit 3")
    print(f"   exec in it                   {result.stdout.decode().strip()!r}, exit status {result.returncode}")


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--shell", action="store_true", help="an interactive shell in a container")
    parser.add_argument("--containerd", default="1.6", choices=("1.6", "2.3"), help="1.6: the distribution's; 2.3: built from its module")
    parser.add_argument("--shared-machine", action="store_true", help="others run kata pods here: prove only that nothing of this run is left")
    arguments = parser.parse_args()
    started = time.monotonic()
    if os.geteuid() != 0:
        raise DemoError("tools/demo needs root: namespaces, mounts and packages")
    build()

    folder = tempfile.mkdtemp(prefix="kata-demo.")
    before = residue.Picture(folders=[folder], match=NAME if arguments.shared_machine else None).to_json()
    lab = containerd.Containerd(os.path.join(folder, "lab"), arguments.containerd, paths.cache(), [paths.binaries()])
    try:
        title("3. A private containerd")
        lab.start()
        lab.import_image()
        version = lab.ctr("version").stdout.decode()
        print(f"   containerd {version.split('Version:')[-1].split()[0]}, pid {lab.pid}, all of it in {lab.folder}; image {image.NAME} made here")
        config = configuration.write(os.path.join(folder, "kata.toml"), configuration.defaults(paths.guest()))
        if arguments.shell:
            title("4. A shell in a container in its own virtual machine: leave it with 'exit'")
            subprocess.run(run_words(lab, config, "sh", flags=("--rm", "-t")), env=lab.environment, check=False)
        else:
            show(lab, config)
    finally:
        title("6. Clean-up")
        lab.stop()
        shutil.rmtree(folder, ignore_errors=True)
    left = residue.compare_until_clean(before, lambda: residue.Picture(folders=[folder], match=NAME if arguments.shared_machine else None), 6)
    residue.report(left)
    if left:
        raise DemoError(f"{len(left)} things were left behind, see above")
    print("   nothing is left: no process, mount, network namespace, link, cgroup, socket, loop device or file of ours")
    print(f"\ndone in {time.monotonic() - started:.1f} s")


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
except (DemoError, containerd.LabError, newer_containerd.Unavailable, image.ImageError, subprocess.SubprocessError, OSError) as error:
    sys.exit(f"error: tools/demo: {error}")
