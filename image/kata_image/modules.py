"""Kernel modules of an unpacked Debian kernel package: where they lie, what they need, in which order they load."""

import gzip
import lzma
import os
import struct
import subprocess


_SIGNATURE_END = b"~Module signature appended~\n"


class ModuleError(Exception):
    """A module is missing or cannot be read; the message names it."""


def decompress(data):
    """Returns the plain bytes of a .ko, .ko.xz, .ko.gz or .ko.zst file's content."""
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(data)
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def unsigned(data):
    """Returns the module without the signature at its end (module-signing.rst of the kernel's documentation).

    The initrd is as trusted as the kernel beside it, and checking costs an emulated guest several milliseconds a module.
    """
    if not data.endswith(_SIGNATURE_END) or len(data) < len(_SIGNATURE_END) + 12:
        return data
    signature_size, = struct.unpack(">I", data[-len(_SIGNATURE_END) - 4:-len(_SIGNATURE_END)])
    size = len(data) - len(_SIGNATURE_END) - 12 - signature_size
    return data[:size] if size > 0 else data


def modinfo(data):
    """Returns the key=value strings of a module's .modinfo section as a list of pairs.

    ELF64 little-endian only (elf(5)); raises ModuleError for anything else.
    """
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
        raise ModuleError("not a 64-bit little-endian ELF file")
    table, = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)

    def section(index):
        name, _, _, _, offset, size = struct.unpack_from("<IIQQQQ", data, table + index * entry_size)
        return name, data[offset:offset + size]

    try:
        names = section(names_index)[1]
        for index in range(count):
            name, content = section(index)
            if names[name:names.index(b"\0", name)] == b".modinfo":
                strings = [text.decode("utf-8", "replace") for text in content.split(b"\0") if text]
                return [tuple(text.split("=", 1)) for text in strings if "=" in text]
    except (struct.error, ValueError) as error:
        raise ModuleError(f"damaged section table: {error}") from error
    raise ModuleError("no .modinfo section")


class ModuleTree:
    """The modules below <root>/lib/modules/<version>. Names are compared with '-' and '_' equal, as the kernel does."""

    def __init__(self, folder):
        self.folder = folder
        self.version = os.path.basename(folder)
        self._files = {}
        for base, _, files in os.walk(os.path.join(folder, "kernel")):
            for file in files:
                if ".ko" in file:
                    self._files[_canonical(file)] = os.path.join(base, file)
        with open(os.path.join(folder, "modules.builtin"), encoding="ascii") as listing:
            self._builtin = {_canonical(os.path.basename(line.strip())) for line in listing}
        self._cache = {}

    def has(self, name):
        """Whether there is such a file; a built-in one has none."""
        return _canonical(name) in self._files

    def is_builtin(self, name):
        return _canonical(name) in self._builtin

    def load(self, name):
        """Returns (path relative to the version folder without compression suffix, plain module bytes)."""
        key = _canonical(name)
        if key not in self._files:
            raise ModuleError(f"kernel {self.version} has no module '{name}', neither built in nor below {self.folder}")
        if key not in self._cache:
            path = self._files[key]
            with open(path, "rb") as file:
                data = unsigned(decompress(file.read()))
            relative = os.path.relpath(path, self.folder)
            self._cache[key] = (relative[:relative.index(".ko") + 3], data)
        return self._cache[key]

    def packed(self, name):
        """Returns (path relative to the version folder, bytes) of the module file as it is."""
        path = self._files[_canonical(name)]
        with open(path, "rb") as file:
            return os.path.relpath(path, self.folder), file.read()

    def aliases(self, name):
        """The words other than its name for which the kernel would ask for a module; those with wildcards are of no use for that."""
        return [value for field, value in modinfo(self.load(name)[1]) if field == "alias" and not set(value) & set("*:? ")]

    def load_order(self, names):
        """Returns the module names to load, dependencies first, built-in ones left out, in the order of `names`."""
        order = []

        def visit(name, chain):
            key = _canonical(name)
            if key in order or key in self._builtin:
                return
            if key in chain:
                raise ModuleError(f"modules need each other in a circle: {' '.join(chain)}")
            info = modinfo(self.load(name)[1])
            for dependencies in (value for field, value in info if field == "depends"):
                for dependency in filter(None, dependencies.split(",")):
                    visit(dependency, chain + [key])
            order.append(key)

        for name in names:
            visit(name, [])
        return order


def _canonical(name):
    return name.partition(".ko")[0].replace("-", "_")
