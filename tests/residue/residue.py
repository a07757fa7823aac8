#!/usr/bin/env python3
"""Residue checker: takes a picture of what a container runtime can leave behind on a machine, before and after, and compares.

usage: residue.py snapshot FILE [options]     writes the picture as JSON
       residue.py compare FILE [options]      takes a second picture, prints every difference that is new; exit 1 if there is one
       residue.py run [options] -- COMMAND..  snapshot, COMMAND, compare; exit status of COMMAND, or 1 for residue

options: --scope ours|all   ours (default): processes by name, things that carry our names or lie in our folders; for a machine
                            where others work meanwhile. all: everything on the machine; for a quiet one
         --containerd PID   also its open descriptors, by kind
         --folder DIR       also every file below DIR (repeatable), e.g. a private containerd's state
         --match TEXT       with scope ours: only things that have TEXT in their name or command line, e.g. the prefix of one's
                            container ids, where other kata pods run at the same time
         --wait SECONDS     compare: how long a difference may take to go away (default 5)

Kinds: process, mount (mountinfo of every mount namespace), netns, link, tap, cgroup (all hierarchies), unix socket (abstract and
path), loop device, file, descriptor. Only reads; needs root to see other processes' namespaces.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import time

# Programs that only a kata pod starts.
OUR_PROGRAMS = re.compile(r"containerd-shim-kata-v2|kata-agent|kata-vsock-device|virtiofsd|qemu-system-|kata-runtime|kata-monitor|kata-ctl")
# Folders of ours and of containerd's shims.
OUR_FOLDERS = ("/run/kata", "/run/kata-containers", "/run/kata-cpp", "/run/vc", "/run/containerd/s", "/run/containerd/fifo",
               "/var/lib/kata-containers")
OUR_NAMES = re.compile(r"kata|/run/vc|containerd|cni-")


class Picture:
    """A set of strings per kind. A string names one thing so that a person can find and remove it."""

    def __init__(self, scope="ours", containerd=None, folders=(), match=None):
        self.scope = scope
        self.containerd = containerd
        self.match = match if scope == "ours" else None
        self.folders = tuple(folders)
        self.things = {}
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        self.things["process"] = self._processes(pids)
        self.things["mount"] = self._mounts(pids)
        self.things["netns"] = self._only_wanted(self._listing("/run/netns") | self._listing("/run/docker/netns"))
        self.things["link"], self.things["tap"] = map(self._only_wanted, self._links())
        self.things["cgroup"] = self._only_wanted(self._cgroups())
        self.things["unix socket"] = self._only_wanted(self._unix_sockets())
        self.things["loop device"] = self._only_wanted(self._loops())
        self.things["file"] = {file for file in self._files(OUR_FOLDERS) if not self.match or self.match in file} | self._files(folders)
        self.things["descriptor"] = self._descriptors(containerd) if containerd else set()

    def _wanted(self, text):
        if self.scope == "all" or any(folder in text for folder in self.folders):
            return True
        return self.match in text if self.match else bool(OUR_NAMES.search(text))

    def _only_wanted(self, things):
        return {thing for thing in things if self._wanted(thing)}

    def _processes(self, pids):
        found = set()
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode("utf-8", "replace").split("\0")
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    stat = file.read()
            except OSError:
                continue  # it ended meanwhile
            name = stat[stat.index("(") + 1:stat.rindex(")")]
            fields = stat[stat.rindex(")") + 2:].split()
            if fields[0] == "Z" and fields[1] == "1":
                continue  # orphaned and dead: pid 1 reaps it when it likes
            program = os.path.basename(words[0]) if words[0] else f"[{name}]"
            ours = OUR_PROGRAMS.search(program) or (fields[0] == "Z" and OUR_PROGRAMS.search(name)) or name[:15] in _SHORT_NAMES
            if ours and self.match:
                ours = self.match in " ".join(words) or (fields[0] == "Z" and self._parent_matches(int(fields[1])))
            if ours or (self.scope == "all" and not self._is_kernel_thread(fields) and pid != os.getpid()):
                zombie = " (zombie)" if fields[0] == "Z" else ""
                # start time makes a reused pid another process
                found.add(f"pid {pid} start {fields[19]}: {program}{zombie} {' '.join(words[1:])[:160].strip()}")
        return found

    def _parent_matches(self, pid):
        """A dead process has no command line left: it belongs to whom its parent belongs."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return pid == self.containerd or self.match in file.read().decode("utf-8", "replace")
        except OSError:
            return False

    @staticmethod
    def _is_kernel_thread(fields):
        return int(fields[6]) & 0x00200000 != 0  # PF_KTHREAD

    def _mounts(self, pids):
        namespaces = {}
        for pid in pids:
            try:
                namespaces.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
            except OSError:
                continue
        found = set()
        own = os.readlink("/proc/self/ns/mnt")
        for namespace, pid in namespaces.items():
            try:
                with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
                    lines = file.readlines()
            except OSError:
                continue
            label = "" if namespace == own else f" in {namespace}"
            for line in lines:
                fields = line.split()
                source = " ".join(fields[fields.index("-") + 1:][:2])
                text = f"{fields[4]} ({source}, id {fields[0]})"
                if self._wanted(text):
                    found.add(text + label)
        return found

    @staticmethod
    def _listing(folder):
        try:
            return {os.path.join(folder, name) for name in os.listdir(folder)}
        except OSError:
            return set()

    def _links(self):
        links, taps = set(), set()
        for folder in glob.glob("/sys/class/net/*"):
            name = os.path.basename(folder)
            if not os.path.isdir(folder):
                continue
            links.add(name)
            if os.path.exists(os.path.join(folder, "tun_flags")) or os.path.isdir(os.path.join(folder, "macvtap")):
                taps.add(name)
        for namespace in glob.glob("/run/netns/*"):
            result = subprocess.run(["ip", "-n", os.path.basename(namespace), "-j", "-d", "link"], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, check=False)
            for link in json.loads(result.stdout or b"[]"):
                text = f"{link.get('ifname')} in {namespace}"
                links.add(text)
                if link.get("linkinfo", {}).get("info_kind") in ("tun", "macvtap"):
                    taps.add(text)
        return links, taps

    def _cgroups(self):
        roots = set()
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            for line in file:
                fields = line.split()
                if fields[fields.index("-") + 1] in ("cgroup", "cgroup2"):
                    roots.add(fields[4])
        found = set()
        for root in roots:
            for base, names, _ in os.walk(root):
                found.update(os.path.join(base, name) for name in names)
        return found

    def _unix_sockets(self):
        found = set()
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            for line in file.readlines()[1:]:
                fields = line.split(None, 7)
                if len(fields) == 8:
                    # A listener has the flag 0x10000; the other ends of its connections carry the same path.
                    listening = " (listening)" if int(fields[3], 16) & 0x10000 else ""
                    found.add(fields[7].strip() + listening)
        return found

    @staticmethod
    def _loops():
        found = set()
        for backing in glob.glob("/sys/block/loop*/loop/backing_file"):
            try:
                with open(backing, encoding="utf-8", errors="replace") as file:
                    found.add(f"/dev/{backing.split('/')[3]} on {file.read().strip()}")
            except OSError:
                continue
        return found

    @staticmethod
    def _files(folders):
        found = set()
        for folder in folders:
            for base, names, files in os.walk(folder):
                found.update(os.path.join(base, name) for name in names + files)
        return found

    @staticmethod
    def _descriptors(pid):
        """Counted by kind: numbers of sockets, pipes and the like carry no name that would last."""
        counts = {}
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError as error:
            return {f"containerd process {pid} cannot be looked at: {error.strerror}"}
        for name in names:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            # containerd opens its own databases when it first needs them and keeps them open.
            if target.endswith(".db"):
                continue
            kind = re.sub(r"\d+", "N", re.sub(r":\[\d+\]", "", target))
            counts[kind] = counts.get(kind, 0) + 1
        return {f"{kind} number {index}" for kind, count in counts.items() for index in range(1, count + 1)}

    def to_json(self):
        return {"scope": self.scope, "things": {kind: sorted(values) for kind, values in self.things.items()}}


# /proc/PID/stat cuts names at 15 bytes
_SHORT_NAMES = {name[:15] for name in ("containerd-shim-kata-v2", "kata-vsock-device")}


def difference(before, after):
    """Returns [(kind, thing)] that are in `after` and not in `before`, both as to_json gives them."""
    return [(kind, thing) for kind, things in after["things"].items()
            for thing in sorted(set(things) - set(before["things"].get(kind, ())))]


def compare_until_clean(before, take, wait):
    """Takes pictures by take() until nothing new is left or `wait` seconds are over; returns the last difference.

    What ends on its own a moment after a call (a reaped process, a closed socket) is not residue; what stays is.
    """
    deadline = time.monotonic() + wait
    while True:
        left = difference(before, take().to_json())
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.1)  # /proc and /sys give no event for most of these kinds


def report(left, out=sys.stderr):
    for kind, thing in left:
        print(f"residue: {kind}: {thing}", file=out)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1], add_help=True)
    parser.add_argument("action", choices=("snapshot", "compare", "run"))
    parser.add_argument("file", nargs="?")
    parser.add_argument("--scope", choices=("ours", "all"), default=os.environ.get("KATA_RESIDUE_SCOPE", "ours"))
    parser.add_argument("--containerd", type=int)
    parser.add_argument("--folder", action="append", default=[])
    parser.add_argument("--match")
    parser.add_argument("--wait", type=float, default=5.0)
    words = sys.argv[1:]
    command = []
    if "--" in words:
        command = words[words.index("--") + 1:]
        words = words[:words.index("--")]
    arguments = parser.parse_args(words)

    def take():
        return Picture(arguments.scope, arguments.containerd, arguments.folder, arguments.match)

    if arguments.action == "snapshot":
        with open(arguments.file, "w", encoding="utf-8") as file:
            json.dump(take().to_json(), file, indent=1)
        return 0
    status = 0
    if arguments.action == "run":
        before = take().to_json()
        status = subprocess.run(command, check=False).returncode
    else:
        with open(arguments.file, encoding="utf-8") as file:
            before = json.load(file)
    left = compare_until_clean(before, take, arguments.wait)
    report(left)
    return status or (1 if left else 0)


if __name__ == "__main__":
    sys.exit(main())
