"""A private containerd: own root, state, socket, configuration and plug-in folder; an installed one is never touched.

What cannot be made private: shim sockets and fifos lie in /run/containerd, as in every containerd.
"""

import glob
import os
import shutil
import signal
import socket
import subprocess
import time

from . import cri, disk_snapshotters, image, newer_containerd

START_SECONDS = 20
NAMESPACE = "kata-lab"

_CONFIG = """version = 2
root = "{dir}/root"
state = "{dir}/state"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{dir}/containerd.sock"
[debug]
  level = "debug"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
"""


class LabError(Exception):
    """Something of the laboratory did not come up; the message says what and where its log is."""


class Containerd:
    """Start with start(), stop with stop(); also a context manager. Folder and processes are its own."""

    def __init__(self, folder, version="1.6", cache=None, shim_folders=(), pods=None, disks=False):
        """`version`: "1.6" is whatever containerd the PATH has, "2.3" the one built by newer_containerd. `pods`: a cri.Settings,
        for a containerd that serves the CRI too. `disks`: with the snapshotters that give disks, which only 2.3 has."""
        self.disks = disk_snapshotters.Settings(folder, cache) if disks and version.startswith("2") else None
        self.pods = pods
        self.folder = folder
        self.version = version
        self.programs = newer_containerd.folder(cache) if version.startswith("2") else ""
        path = [*shim_folders, self.programs, self.disks.programs if self.disks else "", os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
        self.environment = {**os.environ, "PATH": ":".join(filter(None, path))}
        self.environment.pop("CONTAINERD_NAMESPACE", None)
        self.process = None

    @property
    def address(self):
        return os.path.join(self.folder, "containerd.sock")

    @property
    def log_path(self):
        return os.path.join(self.folder, "containerd.log")

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        config = os.path.join(self.folder, "containerd.toml")
        with open(config, "w", encoding="ascii") as file:
            text = cri.configuration(self.folder, self.version, self.pods) if self.pods else _CONFIG.format(dir=self.folder)
            file.write(self.disks.extend(text) if self.disks else text)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.program(), "-c", config], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        self._wait_until_it_answers()
        return self

    def program(self):
        """The words that start containerd, without its own arguments."""
        program = shutil.which("containerd", path=self.environment["PATH"])
        if not program:
            raise LabError("no containerd on this machine: run tools/setup")
        return [program]

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise LabError(f"containerd ended with {self.process.returncode}: {self.log_tail()}")
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.address)
                    return
                except OSError:
                    time.sleep(0.02)  # the socket file appears without an event that is cheaper to wait for
        raise LabError(f"containerd does not answer on {self.address} after {START_SECONDS} s: {self.log_tail()}")

    def log_tail(self, lines=20):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def ctr_command(self, *words, namespace=NAMESPACE):
        program = shutil.which("ctr", path=self.environment["PATH"]) or "ctr"
        return [program, "--address", self.address, "--namespace", namespace, *words]

    def ctr(self, *words, check=False, timeout=60, namespace=NAMESPACE, **options):
        """Runs ctr; returns the CompletedProcess with stdout and stderr as bytes."""
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if options["stdin"] is None:
            options.pop("stdin")
        result = subprocess.run(self.ctr_command(*words, namespace=namespace), env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=timeout, check=False, **options)
        if check and result.returncode != 0:
            raise LabError(f"ctr {' '.join(words)} ended with {result.returncode}: {result.stderr.decode(errors='replace').strip()}")
        return result

    def import_image(self):
        archive = os.path.join(self.folder, "busybox.tar")
        with open(archive, "wb") as file:
            file.write(image.build())
        self.ctr("image", "import", archive, check=True)
        os.unlink(archive)

    def import_pod_images(self, *further):
        """The busybox image and the pause image, for pods; or `further` images (bytes of image.build) instead."""
        archive = os.path.join(self.folder, "pod.tar")
        for data in further or (image.build(), image.build(cri.PAUSE, ("sleep", "2147483647"))):
            with open(archive, "wb") as file:
                file.write(data)
            self.ctr("image", "import", archive, check=True, namespace=cri.NAMESPACE)
        os.unlink(archive)

    def restart(self):
        """Ends containerd and starts it again; what runs in it goes on."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.start()

    def stop(self):
        """Ends tasks that are left, then containerd, then removes the folder. Runs every step whatever fails."""
        if self.process and self.process.poll() is None:
            for step in (self._remove_tasks, self._remove_containers):
                try:
                    step()
                except (LabError, subprocess.TimeoutExpired, OSError):
                    pass  # what it leaves is the residue checker's business
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # Containers' cgroups lie in one named like the namespace, which runtimes make and containerd never removes.
        names = [NAMESPACE, cri.NAMESPACE] if self.pods else [NAMESPACE]
        for cgroup in [path for name in names for pattern in ("", "*/") for path in glob.glob(f"/sys/fs/cgroup/{pattern}{name}")]:
            try:
                os.rmdir(cgroup)
            except OSError:
                pass  # not empty: another laboratory, or residue
        if self.pods:
            subprocess.run(["ip", "link", "delete", self.pods.bridge], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_tasks(self):
        namespace = cri.NAMESPACE if self.pods else NAMESPACE
        for task in self.ctr("task", "ls", "-q", timeout=15, namespace=namespace).stdout.decode().split():
            self.ctr("task", "rm", "-f", task, timeout=20, namespace=namespace)

    def _remove_containers(self):
        for container in self.ctr("container", "ls", "-q", timeout=15).stdout.decode().split():
            self.ctr("container", "rm", container, timeout=20)

    def __enter__(self):
        try:
            self.start()
            if self.pods:
                self.import_pod_images()
            else:
                self.import_image()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
