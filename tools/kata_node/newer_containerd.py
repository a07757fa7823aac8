"""A containerd newer than Debian's, built as an ordinary Go module into the cache (about two minutes, once)."""

import os
import re
import shutil
import subprocess

MODULE = "github.com/containerd/containerd/v2"
VERSION = "v2.3.7"
PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")

_TOOLS_GO = "//go:build tools\n\npackage tools\n\nimport (\n" + "".join(f'\t_ "{MODULE}/cmd/{name}"\n' for name in PROGRAMS) + ")\n"


class Unavailable(Exception):
    """This machine cannot have it; the message is the reason that a skipped test gives."""


def folder(cache, log=print):
    """Returns the folder with the three programs, building them if the cache does not have them."""
    target = os.path.join(cache, f"containerd-{VERSION}")
    if all(os.access(os.path.join(target, name), os.X_OK) for name in PROGRAMS):
        return target
    go = shutil.which("go") or next((path for path in ("/usr/local/go/bin/go",) if os.access(path, os.X_OK)), None)
    if not go:
        raise Unavailable("containerd 2.3 is built from its Go module and there is no Go here")
    work = os.path.join(cache, f"containerd-{VERSION}.build")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    log(f"containerd {VERSION}: building from the Go module into the cache, about two minutes, once")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}

    def run(*command):
        result = subprocess.run(command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        if result.returncode != 0:
            wanted = re.search(r"requires go >= ([\d.]+).*", result.stdout)
            if wanted:
                raise Unavailable(f"containerd {VERSION} needs Go {wanted[1]}, here is {_go_version(go)}")
            raise Unavailable(f"building containerd {VERSION} failed at '{' '.join(command[1:3])}': {result.stdout.strip()[-400:]}")

    try:
        with open(os.path.join(work, "tools.go"), "w", encoding="ascii") as file:
            file.write(_TOOLS_GO)
        run(go, "mod", "init", "kata-lab/containerd")
        run(go, "get", f"{MODULE}@{VERSION}")
        run(go, "mod", "tidy")
        out = os.path.join(work, "bin")
        os.mkdir(out)
        for name in PROGRAMS:
            run(go, "build", "-tags", "no_btrfs netgo osusergo static_build", "-ldflags", "-s -w", "-o", out, f"{MODULE}/cmd/{name}")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(out, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _go_version(go):
    return subprocess.run([go, "env", "GOVERSION"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
