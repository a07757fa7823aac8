"""Gets Debian's cloud kernel: finds the package, downloads and unpacks it (never installs it), extracts the plain vmlinux."""

import glob
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

# The release that the guest is made and measured with; the newest package of it is taken.
WANTED_SERIES = "6.12"


class KernelError(Exception):
    """The kernel package cannot be had or has an unexpected form; the message says what to do."""


def choose_package(names, series=WANTED_SERIES):
    """Returns the newest cloud kernel image among package names: of `series` if there is one, else of any, else None.

    Signed and unsigned packages hold the same kernel; the unsigned one is preferred since it holds modules and image itself
    in every release.
    """
    pattern = re.compile(r"^linux-image-(\d+(?:\.\d+)*)(-\d+)?(\+deb\d+)?(-\d+)?-cloud-amd64(-unsigned)?$")
    found = []
    for name in names:
        match = pattern.match(name)
        if match and match[1].count(".") == 2:
            numbers = tuple(int(part) for part in re.findall(r"\d+", match[1] + (match[2] or "") + (match[4] or "")))
            found.append((match[1].startswith(series + "."), numbers, bool(match[5]), name))
    return max(found)[3] if found else None


def fetch(cache):
    """Returns the path of the kernel .deb in the cache, downloading it by apt if there is none yet."""
    folder = os.path.join(cache, "kernel")
    os.makedirs(folder, exist_ok=True)
    cached = {re.sub(r"_.*", "", os.path.basename(path)): path for path in glob.glob(os.path.join(folder, "*.deb"))}
    name = choose_package(cached)
    if name and name.startswith(f"linux-image-{WANTED_SERIES}."):
        return cached[name]
    name = _find_in_apt()
    if not name.startswith(f"linux-image-{WANTED_SERIES}."):
        print(f"warning: no {WANTED_SERIES} cloud kernel in the package sources, taking {name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        print(f"kernel: downloading {name}", flush=True)
        result = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], cwd=temporary,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        files = glob.glob(os.path.join(temporary, "*.deb"))
        if result.returncode != 0 or len(files) != 1:
            raise KernelError(f"'apt-get download {name}' failed, the network and the Debian package sources are needed "
                              f"once for the guest kernel: {result.stdout.strip()[-500:]}")
        target = os.path.join(folder, os.path.basename(files[0]).replace("%3a", ":"))
        os.rename(files[0], target)
    return target


def _find_in_apt():
    for attempt in ("known lists", "fresh lists"):
        if attempt == "fresh lists":
            subprocess.run(["apt-get", "-q", "update"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        listing = subprocess.run(["apt-cache", "pkgnames", "linux-image-"], stdout=subprocess.PIPE, text=True, check=False)
        name = choose_package(listing.stdout.split())
        if name:
            return name
    raise KernelError("no linux-image-*-cloud-amd64 package in the package sources: check /etc/apt/sources.list* and "
                      "'apt-get update', or give a package file with --kernel-deb")


def unpack(deb, cache):
    """Unpacks a kernel package once; returns (path of vmlinuz, folder lib/modules/<version>)."""
    target = os.path.join(cache, "kernel", os.path.basename(deb)[:-len(".deb")])
    if not os.path.isdir(target):
        temporary = target + f".tmp{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            subprocess.run(["dpkg-deb", "-x", deb, temporary], check=True)
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    images = glob.glob(os.path.join(target, "boot", "vmlinuz-*"))
    modules = glob.glob(os.path.join(target, "lib", "modules", "*")) + glob.glob(os.path.join(target, "usr/lib/modules/*"))
    if len(images) != 1 or len(modules) != 1:
        raise KernelError(f"{deb} holds {len(images)} kernels and {len(modules)} module folders, one of each is expected: "
                          "remove it from the cache and run again")
    return images[0], modules[0]


def extract_vmlinux(image):
    """Returns the uncompressed ELF kernel inside the bytes of a bzImage. The payload is found by its magic number."""
    if image[:4] == b"\x7fELF":
        return image
    for magic, unpacker in ((b"\x28\xb5\x2f\xfd", _zstd), (b"\xfd7zXZ\0", _xz), (b"\x1f\x8b\x08", _gzip)):
        position = image.find(magic)
        while position != -1:
            plain = unpacker(image[position:])
            if plain[:4] == b"\x7fELF":
                return plain
            position = image.find(magic, position + 1)
    raise KernelError("no zstd, xz or gzip payload with an ELF kernel found in the kernel image")


def _zstd(data):
    # zstd complains about the bytes after the payload, what it has written by then is complete.
    return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def _xz(data):
    try:
        return lzma.LZMADecompressor().decompress(data)
    except lzma.LZMAError:
        return b""


def _gzip(data):
    try:
        return zlib.decompressobj(wbits=31).decompress(data)
    except zlib.error:
        return b""
