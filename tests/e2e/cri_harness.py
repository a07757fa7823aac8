"""What the tests of pods share: a private containerd with CRI, pods and containers as objects, a residue check by id."""

import base64
import contextlib
import os
import re
import subprocess
import tempfile
import time
import unittest

import harness
import residue
from kata_node import configuration, containerd, cri, image, paths

# NamespaceMode of the CRI.
POD, CONTAINER, NODE = 0, 1, 2

LAB = None
CLIENT = None
FOLDER = None


def handler():
    return "kata" if harness.OPTIONS.runtime == harness.KATA else "runc"


def set_up(version=None, sandboxer="podsandbox", snapshotter="", changes=()):
    """For setUpModule or setUpClass: skips with the reason when this machine cannot run it. `changes` to the configuration:
    (table, key, value)."""
    global LAB, CLIENT, FOLDER
    try:
        program = cri.client_program(paths.cache())
        FOLDER = tempfile.mkdtemp(prefix="kata-cri.")
        tables = configuration.defaults(paths.guest())
        for table, key, value in (*harness.OPTIONS.tables, *changes):
            tables.setdefault(table, {})[key] = value
        settings = cri.Settings(configuration.write(os.path.join(FOLDER, "kata.toml"), tables), sandboxer, snapshotter)
        LAB = containerd.Containerd(os.path.join(FOLDER, "lab"), version or harness.OPTIONS.containerd, paths.cache(), [paths.binaries()],
                                    pods=settings, disks=bool(snapshotter))
        LAB.__enter__()
    except cri.Unavailable as reason:
        raise unittest.SkipTest(str(reason))
    CLIENT = cri.Client(program, LAB.address)
    wait_until(lambda: all(c["status"] for c in CLIENT.call("Status")["status"]["conditions"] if c["type"].endswith("Ready")), "CRI ready")


def tear_down():
    if CLIENT:
        remove_all()
        CLIENT.close()
    if LAB:
        LAB.stop()
    if FOLDER:
        subprocess.run(["rm", "-rf", "--one-file-system", FOLDER], check=False)


def setUpModule():
    """For modules of tests that need nothing else: imported there by this name, as unittest wants it."""
    set_up(sandboxer=harness.OPTIONS.sandboxer)


def tearDownModule():
    tear_down()


def call(method, **request):
    return CLIENT.call(method, **request)


@contextlib.contextmanager
def other_client():
    """A second client, to be killed."""
    client = cri.Client(cri.client_program(paths.cache()), LAB.address)
    try:
        yield client
    finally:
        client.process.kill()
        client.process.wait(10)
        client.process.stdin.close()
        client.process.stdout.close()


def shims():
    """Pids of the shims that serve this containerd."""
    return [pid for program, pids in harness.processes_of(LAB.address).items() if program.startswith("containerd-shim") for pid in pids]


def remove_all():
    """Stops and removes every pod, whatever state it is in."""
    for pod in CLIENT.call("ListPodSandbox")["items"]:
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            try:
                CLIENT.call(method, podSandboxId=pod["id"])
            except cri.CallFailed:
                pass  # the residue check tells what that leaves


def wait_until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)  # the CRI of 1.6 has no call that waits


class Container:
    def __init__(self, pod, identity, name):
        self.pod, self.id, self.name = pod, identity, name

    def start(self):
        CLIENT.call("StartContainer", containerId=self.id)
        return self

    def stop(self, seconds=0):
        CLIENT.call("StopContainer", containerId=self.id, timeout=seconds)

    def remove(self):
        CLIENT.call("RemoveContainer", containerId=self.id)

    def status(self):
        return CLIENT.call("ContainerStatus", containerId=self.id)["status"]

    def state(self):
        return self.status()["state"].removeprefix("CONTAINER_")

    def stats(self):
        return CLIENT.call("ContainerStats", containerId=self.id)["stats"]

    def finished(self, seconds=30):
        """Waits for its end; returns the exit code."""
        wait_until(lambda: self.state() == "EXITED", f"end of container {self.name}", seconds)
        return self.status()["exitCode"]

    def exec(self, *command, seconds=20):
        """Returns (exit code, stdout, stderr)."""
        answer = CLIENT.call("ExecSync", containerId=self.id, cmd=list(command), timeout=seconds)
        return answer["exitCode"], base64.b64decode(answer["stdout"]).decode(), base64.b64decode(answer["stderr"]).decode()

    def shell(self, script, seconds=20):
        """Standard output of a shell command that has to succeed."""
        code, out, err = self.exec("sh", "-c", script, seconds=seconds)
        if code:
            raise AssertionError(f"'{script}' in container {self.name} ended with {code}: {out!r} {err!r}")
        return out

    def log(self):
        """[(stream, text)] of its log file, without the time stamps."""
        path = os.path.join(self.pod.logs, self.name + ".log")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [(fields[1], fields[3]) for fields in (line.rstrip("\n").split(" ", 3) for line in file)]

    def wait_log(self, text, seconds=20):
        wait_until(lambda: text in [line for _, line in self.log()], f"'{text}' in the log of container {self.name}", seconds)


class Pod:
    def __init__(self, test, name="pod", network=POD, pid=CONTAINER, hostname="podhost", annotations=None, security=None, config=None, **linux):
        self.logs = os.path.join(test.folder, f"logs-{name}")
        os.makedirs(self.logs)
        self.namespaces = {"network": network, "pid": pid}
        self.config = {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "default"}, "logDirectory": self.logs,
                       "hostname": "" if network == NODE else hostname, "annotations": annotations or {},
                       "dnsConfig": {"servers": ["192.0.2.53"], "searches": ["test.example"], "options": ["ndots:3"]},
                       "linux": {"securityContext": {"namespaceOptions": self.namespaces, **(security or {})}, **linux}, **(config or {})}
        self.id = CLIENT.call("RunPodSandbox", config=self.config, runtimeHandler=handler())["podSandboxId"]
        test.ids.append(self.id)

    def create(self, *command, name="main", attempt=0, security=None, mounts=(), picture=image.NAME, namespaces=None, **config):
        linux = {"securityContext": {"namespaceOptions": {**self.namespaces, **(namespaces or {})}, **(security or {})},
                 **config.pop("linux", {})}
        wanted = {"metadata": {"name": name, "attempt": attempt}, "image": {"image": picture}, "command": list(command),
                  "logPath": name + ".log", "mounts": list(mounts), "linux": linux, **config}
        answer = CLIENT.call("CreateContainer", podSandboxId=self.id, config=wanted, sandboxConfig=self.config)
        return Container(self, answer["containerId"], name)

    def run(self, *command, **options):
        """A container that was created and started."""
        return self.create(*command, **options).start()

    def sleeper(self, **options):
        return self.run("sleep", "10000", **options)

    def state(self):
        status = CLIENT.call("PodSandboxStatus", podSandboxId=self.id)["status"]
        return status["state"].removeprefix("SANDBOX_")

    def stop(self):
        CLIENT.call("StopPodSandbox", podSandboxId=self.id)

    def remove(self):
        CLIENT.call("RemovePodSandbox", podSandboxId=self.id)

    def processes(self):
        return harness.processes_of(self.id)


class Test(unittest.TestCase):
    """After each test nothing may be left that carries the id of one of its pods."""

    maxDiff = 2000

    def setUp(self):
        self.ids = []
        self.folder = tempfile.mkdtemp(prefix="test.", dir=FOLDER)
        self._links = set(os.listdir("/sys/class/net"))

    def tearDown(self):
        try:
            remove_all()
            self.release()
            left = residue.compare_until_clean({"things": {}}, self._picture, 6)
            if left:
                self.fail("left behind:\n" + "\n".join(f"  {kind}: {thing}" for kind, thing in left) + f"\n{LAB.log_tail(8)}")
        finally:
            subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=False)

    def release(self):
        """Takes away what a test made on the node for itself, when no pod uses it any more."""

    def _picture(self):
        """Everything on the machine that has one of the ids in its name."""
        pattern = re.compile("|".join(map(re.escape, self.ids)) or "$nothing")
        whole = residue.Picture("all", None, [os.path.join(LAB.folder, "state"), os.path.join(LAB.folder, "cni-data")])
        whole.things = {kind: {thing for thing in things if pattern.search(thing)} for kind, things in whole.things.items()}
        return whole

    def eventually(self, condition, what, seconds=20):
        return wait_until(condition, what, seconds)
