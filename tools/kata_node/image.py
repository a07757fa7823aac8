"""Makes a small OCI image out of the installed busybox-static, without a network: an OCI layout tar that `ctr image import` takes.

Three gzip layers, so that layer order and whiteouts are exercised: programs; users and a few files; one file of the second
layer removed, one replaced. Same busybox, same bytes.
"""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

NAME = "localhost/kata-busybox:latest"
LAYERS = 3

_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n"


class ImageError(Exception):
    """busybox is missing or not static; the message says what to do."""


def _entry(name, kind=tarfile.REGTYPE, mode=0o644, link="", uid=0):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.uid, info.gid, info.mtime = kind, mode, link, uid, uid, 0
    return info


class _Layer:
    def __init__(self):
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)

    def folder(self, *names, mode=0o755, uid=0):
        for name in names:
            self._tar.addfile(_entry(name, tarfile.DIRTYPE, mode, uid=uid))
        return self

    def file(self, name, data, mode=0o644):
        data = data.encode() if isinstance(data, str) else data
        info = _entry(name, mode=mode)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def link(self, name, target):
        self._tar.addfile(_entry(name, tarfile.SYMTYPE, 0o777, target))
        return self

    def finish(self):
        self._tar.close()
        return self._buffer.getvalue()


def _layers(busybox):
    with open(busybox, "rb") as file:
        program = file.read()
    applets = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    first = _Layer().folder("bin", "dev", "etc", "proc", "sys", "usr", "usr/bin", "var").folder("tmp", mode=0o1777)
    first.folder("root", mode=0o700).file("bin/busybox", program, 0o755)
    for applet in sorted(set(applets) - {"busybox"}):
        first.link(f"bin/{applet}", "busybox")
    second = _Layer().file("etc/passwd", _PASSWD).file("etc/group", _GROUP).folder("home").folder("home/app", uid=1000)
    second.folder("layers").file("layers/removed", "second\n").file("layers/replaced", "second\n").file("layers/kept", "second\n")
    second.file("not-executable", "just text\n")
    third = _Layer().folder("layers").file("layers/.wh.removed", "").file("layers/replaced", "third\n")
    return [layer.finish() for layer in (first, second, third)]


def build(name=NAME, command=("sh",), further_layers=0, user=""):
    """Returns the bytes of the OCI layout tar of an image called `name` that runs `command` as `user`.

    `further_layers` of one small file each lie on top.
    """
    busybox = shutil.which("busybox")
    if not busybox:
        raise ImageError("no busybox on this machine: run tools/setup (package busybox-static)")
    blobs, layers, diff_ids = {}, [], []

    def blob(media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    further = [_Layer().folder("many").file(f"many/{number}", f"{number}\n").finish() for number in range(further_layers)]
    for plain in _layers(busybox) + further:
        diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
        layers.append(blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, 6, mtime=0)))
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
              "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": list(command), "WorkingDir": "/",
                         **({"User": user} if user else {})}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode()), "layers": layers}
    described = blob("application/vnd.oci.image.manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [described]}

    layout = _Layer().file("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"})).file("index.json", json.dumps(index))
    layout.folder("blobs", "blobs/sha256")
    for digest in sorted(blobs):
        layout.file(f"blobs/sha256/{digest}", blobs[digest])
    return layout.finish()
