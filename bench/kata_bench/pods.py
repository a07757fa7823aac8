"""Rows about pods, through containerd's CRI: a pod's start, a further container, many pods at once, the host's part of the network."""

import contextlib
import itertools
import os
import shutil
import time

from . import pod, start, stats, timeline

from kata_node import containerd, cri, image, paths  # noqa: E402  (pod sets the path)

GOAL_POD = ("<=", 1.2)
GOAL_CONTAINER = ("<=", 1.5)
GOAL_NET = ("<=", 10)
GOAL_PARALLEL = ("<=", 1.25)
AT_ONCE = 10
_LOG_SECONDS = 60
# Phases of the host's side of a pod's network in the shim's log.
SET_UP, UNDO = "network", "network undo"
# NamespaceMode of the CRI.
POD_NETWORK, NODE_NETWORK = 0, 2


class Node:
    """A private containerd with CRI for a subject. A context manager."""

    def __init__(self, subject, config=None):
        self.subject, self.config, self.folder = subject, config or subject.verbose_config(), os.path.join(subject.folder, "pods")
        self._numbers = itertools.count(1)

    def __enter__(self):
        try:
            self._program = cri.client_program(paths.cache())
            os.makedirs(self.folder)
            settings = cri.Settings(self.config)
            self.lab = containerd.Containerd(os.path.join(self.folder, "lab"), self.subject.lab.version, paths.cache(), [self.subject.programs],
                                             pods=settings)
            self.lab.__enter__()
        except cri.Unavailable as reason:
            raise pod.BenchError(str(reason)) from reason
        try:
            self.client = self.new_client()
            self._wait_ready()
        except BaseException:
            self.lab.stop()
            raise
        return self

    def __exit__(self, *_):
        self.client.close()
        self.lab.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_client(self):
        return cri.Client(self._program, self.lab.address)

    def call(self, method, client=None, **request):
        try:
            return (client or self.client).call(method, **request)
        except cri.CallFailed as failure:
            raise pod.BenchError(str(failure)) from failure

    def _wait_ready(self):
        deadline = time.monotonic() + 20
        while not all(c["status"] for c in self.call("Status")["status"]["conditions"] if c["type"].endswith("Ready")):
            if time.monotonic() > deadline:
                raise pod.BenchError("the CRI is not ready after 20 s")
            time.sleep(0.05)

    def sandbox(self, network):
        """The configuration of a new pod."""
        name = f"{self.subject.prefix}-p{next(self._numbers)}"
        logs = os.path.join(self.folder, name)
        os.makedirs(logs)
        return {"metadata": {"name": name, "uid": name, "namespace": "default"}, "logDirectory": logs, "hostname": "pod",
                "linux": {"securityContext": {"namespaceOptions": {"network": network, "pid": 1}}}}

    @contextlib.contextmanager
    def running(self, handler, client=None, network=POD_NETWORK):
        """A pod that runs: (configuration, id, seconds of RunPodSandbox)."""
        config = self.sandbox(network)
        started = time.monotonic()
        identity = self.call("RunPodSandbox", client, config=config, runtimeHandler=handler)["podSandboxId"]
        took = time.monotonic() - started
        try:
            yield config, identity, took
        finally:
            self.call("StopPodSandbox", client, podSandboxId=identity)
            self.call("RemovePodSandbox", client, podSandboxId=identity)

    def start_container(self, config, identity, name, command, mounts=(), resources=None):
        """Create and start of a container. Returns the seconds."""
        wanted = {"metadata": {"name": name}, "image": {"image": image.NAME}, "command": list(command), "logPath": name + ".log", "mounts": list(mounts),
                  "linux": {"securityContext": config["linux"]["securityContext"], "resources": resources or {}}}
        started = time.monotonic()
        made = self.call("CreateContainer", podSandboxId=identity, config=wanted, sandboxConfig=config)["containerId"]
        self.call("StartContainer", containerId=made)
        return time.monotonic() - started

    def container(self, config, identity, name, mounts=()):
        """The same to its first output in the log."""
        path, started = os.path.join(config["logDirectory"], name + ".log"), time.monotonic()
        self.start_container(config, identity, name, ("echo", "ready"), mounts)
        while not (os.path.exists(path) and os.path.getsize(path)):
            if time.monotonic() - started > _LOG_SECONDS:
                raise pod.BenchError(f"no output of a container in pod {identity} after {_LOG_SECONDS} s")
            time.sleep(0.001)
        return time.monotonic() - started


def phases(log, sandbox):
    """{phase: milliseconds} of one sandbox in a containerd's log; of several of one name the longest."""
    found = {}
    for phase, begin, end in timeline.parse_phases(log, sandbox):
        found[phase] = max(found.get(phase, 0), (end - begin) * 1000)
    return found


def one_by_one(subject, floor, n, progress):
    """Interleaved: boot floor, a pod of ours with a further container, the same with runc."""
    floors, ours, runc, further, further_runc, network = [], [], [], [], [], []
    with Node(subject) as node:
        for number in range(n):
            floors.append(floor.run())
            for handler, pods, containers in (("kata", ours, further), ("runc", runc, further_runc)):
                with node.running(handler) as (config, identity, took):
                    pods.append(took)
                    node.container(config, identity, "first")
                    containers.append(node.container(config, identity, "second"))
                if handler == "kata":
                    with open(node.lab.log_path, encoding="utf-8", errors="replace") as file:
                        told = phases(file.read(), identity)
                    if SET_UP in told and UNDO in told:
                        network.append(told[SET_UP] + told[UNDO])
            progress(f"pod and second container {number + 1}/{n}")
    rows = [stats.over_peer("pod.over_runc", ours, floors, runc, GOAL_POD, f"RunPodSandbox {stats.median(ours):.3f} s"),
            stats.ratio("container.runc_ratio", further, further_runc, GOAL_CONTAINER, "floor column: runc")]
    if network:
        rows.append(stats.plain("net.ms", network, "ms", GOAL_NET, "set-up and undoing on the host"))
    else:
        rows.append(stats.skipped("net.ms", "the shim's log has no phases", "ms"))
    return rows


def at_once(subject, floor, rounds, progress):
    """The last of ten pods ÷ the last of as many bare boots."""
    own, bare = [], []
    with Node(subject) as node, contextlib.ExitStack() as stack:
        clients = [node.new_client() for _ in range(AT_ONCE)]
        for client in clients:
            stack.callback(client.close)

        def one():
            client = clients.pop()
            try:
                with node.running("kata", client) as (_, _, took):
                    return took
            finally:
                clients.append(client)

        for number in range(rounds):
            bare.append(start.all_at_once(floor.run, AT_ONCE))
            own.append(start.all_at_once(one, AT_ONCE))
            progress(f"{AT_ONCE} pods at once {number + 1}/{rounds}")
    return [stats.time_ratio("pod.parallel_ratio", own, bare, GOAL_PARALLEL, f"last of {AT_ONCE} after {stats.median(own):.2f} s")]
