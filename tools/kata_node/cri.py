"""The CRI of a private containerd: its configuration, a pod network of Debian's CNI plug-ins, and a client.

The client is a small Go program (tests/e2e/cri_client), built once into the cache.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess

from . import paths

NAMESPACE = "k8s.io"
PAUSE = "localhost/kata-pause:latest"
CNI_PLUGINS = "/usr/lib/cni"
_CLIENT_SOURCE = os.path.join(paths.REPO, "tests/e2e/cri_client")

# restrict_oom_score_adj: a root without CAP_SYS_RESOURCE cannot lower the score, and runc then fails with an unrelated message.
_CONFIG_V2 = """version = 2
root = "{dir}/root"
state = "{dir}/state"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{dir}/containerd.sock"
[debug]
  level = "debug"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  enable_unprivileged_ports = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{dir}/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
      runtime_type = "io.containerd.kata.v2"
      privileged_without_host_devices = true
      pod_annotations = ["io.katacontainers.*"]
      container_annotations = ["io.katacontainers.*"]
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata.options]
        ConfigPath = "{kata}"
"""

_CONFIG_V3 = """version = 3
root = "{dir}/root"
state = "{dir}/state"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{dir}/containerd.sock"
[debug]
  level = "debug"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = false
  enable_unprivileged_icmp = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{dir}/cni.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.kata]
      runtime_type = "io.containerd.kata.v2"
      sandboxer = "{sandboxer}"
      snapshotter = "{snapshotter}"
      privileged_without_host_devices = true
      pod_annotations = ["io.katacontainers.*"]
      container_annotations = ["io.katacontainers.*"]
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.kata.options]
        ConfigPath = "{kata}"
"""


class Unavailable(Exception):
    """This machine cannot have the client or the pod network; the message is the reason that a skipped test gives."""


@dataclasses.dataclass
class Settings:
    """What a containerd with CRI needs to know."""

    kata_configuration: str
    # "podsandbox": a pause container; "shim": the Sandbox API (containerd 2.x)
    sandboxer: str = "podsandbox"
    # Of the kata runtime (containerd 2.x, one of disk_snapshotters); "" = containerd's default.
    snapshotter: str = ""
    bridge: str = dataclasses.field(default_factory=lambda: f"kcri{os.getpid() % 1000000}")
    subnet: str = dataclasses.field(default_factory=lambda: f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}.0/24")


def configuration(folder, version, settings):
    """Writes the pod network's configuration into `folder`; returns the text of containerd.toml."""
    if not os.access(os.path.join(CNI_PLUGINS, "bridge"), os.X_OK):
        raise Unavailable(f"no CNI plug-ins in {CNI_PLUGINS}: run tools/setup (package containernetworking-plugins)")
    os.makedirs(os.path.join(folder, "cni.d"), exist_ok=True)
    bridge = {"type": "bridge", "bridge": settings.bridge, "isGateway": True, "ipMasq": False,
              "ipam": {"type": "host-local", "dataDir": os.path.join(folder, "cni-data"), "ranges": [[{"subnet": settings.subnet}]],
                       "routes": [{"dst": "0.0.0.0/0"}]}}
    with open(os.path.join(folder, "cni.d/10-pods.conflist"), "w", encoding="ascii") as file:
        json.dump({"cniVersion": "0.4.0", "name": settings.bridge, "plugins": [bridge]}, file)
    template = _CONFIG_V3 if version.startswith("2") else _CONFIG_V2
    return template.format(dir=folder, pause=PAUSE, cni=CNI_PLUGINS, kata=settings.kata_configuration, sandboxer=settings.sandboxer,
                           snapshotter=settings.snapshotter)


def client_program(cache, log=print):
    """Returns the path of the client, building it if the cache does not have this version of its source."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        with open(os.path.join(_CLIENT_SOURCE, name), "rb") as file:
            digest.update(file.read())
    target = os.path.join(cache, "cri-client", digest.hexdigest()[:16])
    if os.access(target, os.X_OK):
        return target
    go = shutil.which("go") or next((path for path in ("/usr/local/go/bin/go",) if os.access(path, os.X_OK)), None)
    if not go:
        raise Unavailable("the CRI client of the tests is a Go program and there is no Go here")
    log("CRI client: building from its Go modules into the cache, one or two minutes, once")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    result = subprocess.run([go, "build", "-ldflags", "-s -w", "-o", target + ".new", "."], cwd=_CLIENT_SOURCE,
                            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise Unavailable(f"building the CRI client failed: {result.stdout.strip()[-400:]}")
    os.rename(target + ".new", target)
    return target


class CallFailed(Exception):
    """A CRI call was answered by an error."""

    def __init__(self, method, code, message):
        super().__init__(f"{method}: {code}: {message}")
        self.code = code
        self.message = message


class Client:
    """Calls of the CRI as methods of dictionaries: client.call("RunPodSandbox", config=...)."""

    def __init__(self, program, socket):
        self.process = subprocess.Popen([program, socket, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, method, **request):
        self.process.stdin.write(f"{method} {json.dumps(request)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise CallFailed(method, "Client", "the client program has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise CallFailed(method, answer["code"], answer["error"])
        return answer["ok"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
