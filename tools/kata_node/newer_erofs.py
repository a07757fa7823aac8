"""mkfs.erofs 1.8 or newer, which containerd's erofs differ needs (`--tar`): Debian 13's package, unpacked into the cache.

Debian 12 has 1.5. The package is fetched by apt from the mirror that the machine uses anyway, with lists and state of its own, and
runs under its own libc; nothing is installed.
"""

import glob
import os
import re
import shutil
import subprocess

WANTED = (1, 8)
SUITE = "trixie"
PACKAGES = ("erofs-utils", "libc6", "libdeflate0", "liblz4-1", "liblzma5", "libselinux1", "libpcre2-8-0", "libuuid1", "libzstd1", "zlib1g",
            "libxxhash0", "libqpl1")


class Unavailable(Exception):
    """This machine cannot have it; the message is the reason that a skipped test gives."""


def _version(program):
    result = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"mkfs\.erofs (?:\(erofs-utils\) )?(\d+)\.(\d+)", result.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def folder(cache, log=print):
    """Returns a folder for the PATH that has a mkfs.erofs that is new enough; "" when the machine's own is."""
    own = shutil.which("mkfs.erofs")
    if own and _version(own) >= WANTED:
        return ""
    target = os.path.join(cache, f"erofs-utils-{SUITE}")
    program = os.path.join(target, "bin/mkfs.erofs")
    if not os.access(program, os.X_OK):
        log(f"mkfs.erofs: unpacking the package of Debian {SUITE} into the cache, once")
        _unpack(target)
    if _version(program) < WANTED:
        raise Unavailable(f"mkfs.erofs of Debian {SUITE} does not run here")
    return os.path.dirname(program)


def _mirror():
    """The address of the Debian mirror that apt is configured with."""
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*.sources"), *glob.glob("/etc/apt/sources.list.d/*.list")]:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError:
            continue
        for word in re.findall(r"^(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+)", text, re.MULTILINE):
            if re.search(r"/debian/?$", word):
                return word
    raise Unavailable("apt has no Debian mirror here")


def _unpack(target):
    work = target + ".build"
    shutil.rmtree(work, ignore_errors=True)
    for name in ("etc", "state/lists/partial", "cache/archives/partial", "debs", "root"):
        os.makedirs(os.path.join(work, name))
    sources = os.path.join(work, "etc/sources.list")
    with open(sources, "w", encoding="ascii") as file:
        file.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {_mirror()} {SUITE} main\n")
    options = ["-q", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-", "-o", f"Dir::State={work}/state",
               "-o", f"Dir::Cache={work}/cache", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
               "-o", "Dir::State::status=/dev/null"]

    def run(*command):
        result = subprocess.run(command, cwd=os.path.join(work, "debs"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=300, check=False)
        if result.returncode != 0:
            raise Unavailable(f"{' '.join(command[:2])} for mkfs.erofs failed: {result.stdout.strip()[-300:]}")
        return result.stdout

    try:
        run("apt-get", "update", *options)
        known = set(run("apt-cache", "pkgnames", *options).split())
        run("apt-get", "download", *options, *[name for name in PACKAGES if name in known])
        for deb in glob.glob(os.path.join(work, "debs/*.deb")):
            run("dpkg-deb", "-x", deb, os.path.join(work, "root"))
        os.mkdir(os.path.join(work, "bin"))
        root = os.path.join(target, "root")
        libraries = ":".join(os.path.join(root, path) for path in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
        with open(os.path.join(work, "bin/mkfs.erofs"), "w", encoding="ascii") as file:
            file.write(f'#!/bin/sh\nexec "{root}/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "{libraries}" '
                       f'"{root}/usr/bin/mkfs.erofs" "$@"\n')
        os.chmod(os.path.join(work, "bin/mkfs.erofs"), 0o755)
        shutil.rmtree(target, ignore_errors=True)
        for name in ("etc", "state", "cache", "debs"):
            shutil.rmtree(os.path.join(work, name))
        os.rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
