#!/usr/bin/env python3
"""Tests of the guest builders: archive format, module order, kernel extraction, choice of the package, same input same bytes."""

import gzip
import hashlib
import lzma
import os
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from kata_image import cpio, disk, erofs, ext4, initrd, kernel, modules, verity  # noqa: E402


def elf_module(pairs):
    """The smallest ELF64 file with a .modinfo section (elf(5))."""
    modinfo = b"".join(f"{key}={value}\0".encode() for key, value in pairs)
    names = b"\0.modinfo\0.shstrtab\0"
    body = 64
    table = body + len(modinfo) + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)

    def section(name, offset, size):
        return struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)

    sections = section(0, 0, 0) + section(1, body, len(modinfo)) + section(10, body + len(modinfo), len(names))
    return header + modinfo + names + sections


def module_tree(folder, contents, builtin=()):
    """Writes lib/modules/9.9 with {file name: dependencies}."""
    root = os.path.join(folder, "9.9")
    os.makedirs(os.path.join(root, "kernel/drivers"))
    for file, depends in contents.items():
        data = elf_module([("license", "GPL"), ("depends", depends)])
        if file.endswith(".xz"):
            data = lzma.compress(data)
        elif file.endswith(".gz"):
            data = gzip.compress(data)
        with open(os.path.join(root, "kernel/drivers", file), "wb") as out:
            out.write(data)
    with open(os.path.join(root, "modules.builtin"), "w", encoding="ascii") as out:
        out.writelines(f"kernel/{name}.ko\n" for name in builtin)
    return modules.ModuleTree(root)


class Cpio(unittest.TestCase):
    def test_listing_by_cpio(self):
        archive = cpio.Archive()
        archive.file("usr/bin/agent", b"\x7fELF..", 0o755)
        archive.symlink("init", "usr/bin/agent")
        archive.char_device("dev/console", 5, 1)
        archive.directory("proc")
        data = archive.write()
        self.assertEqual(len(data) % 512, 0)
        listing = subprocess.run(["cpio", "-tv", "--quiet", "--numeric-uid-gid"], input=data, stdout=subprocess.PIPE, check=True,
                                 env={"TZ": "UTC", "PATH": os.environ["PATH"]}).stdout.decode().splitlines()
        rows = [(line.split()[0], line.split()[2], line.split(None, 8)[-1]) for line in listing]
        self.assertIn(("-rwxr-xr-x", "0", "usr/bin/agent"), rows)
        self.assertTrue(any(line.startswith("crw-------") and "5,   1" in line for line in listing), listing)
        self.assertTrue(any(line.endswith("init -> usr/bin/agent") for line in listing), listing)
        self.assertEqual([line.split()[-1] for line in listing][:2], ["dev", "dev/console"], "sorted, parents first")

    def test_bad_paths(self):
        for path in ("", "/", "a//b", "../x", "a/./b"):
            with self.subTest(path=path), self.assertRaises(ValueError):
                cpio.Archive().file(path, b"")
        archive = cpio.Archive()
        archive.file("a", b"1")
        with self.assertRaises(ValueError):
            archive.file("a", b"2")


class Modules(unittest.TestCase):
    def test_unsigned(self):
        end = b"~Module signature appended~\n"
        signed = b"\x7fELF code" + b"s" * 40 + bytes(8) + (40).to_bytes(4, "big") + end
        rows = [
            ("signed", signed, b"\x7fELF code"),
            ("not signed", b"\x7fELF code", b"\x7fELF code"),
            ("empty", b"", b""),
            ("only the words", end, end),
            ("signature larger than the file", b"x" + bytes(8) + (999).to_bytes(4, "big") + end, None),
        ]
        for name, data, expected in rows:
            with self.subTest(name):
                self.assertEqual(modules.unsigned(data), data if expected is None else expected)

    def test_load_order(self):
        contents = {"vsock.ko.xz": "", "common.ko.gz": "vsock", "transport-x.ko": "common,vsock,fuse", "lone.ko": ""}
        rows = [
            ("dependencies first", ["transport-x"], ["vsock", "common", "transport_x"]),
            ("dash and underscore are one", ["transport_x"], ["vsock", "common", "transport_x"]),
            ("once each", ["lone", "vsock", "common", "lone"], ["lone", "vsock", "common"]),
            ("built in is left out", ["fuse"], []),
            ("nothing", [], []),
        ]
        with tempfile.TemporaryDirectory() as folder:
            tree = module_tree(folder, contents, builtin=["fuse"])
            for name, wanted, expected in rows:
                with self.subTest(name):
                    self.assertEqual(tree.load_order(wanted), expected)
            with self.assertRaisesRegex(modules.ModuleError, "has no module 'absent'"):
                tree.load_order(["absent"])

    def test_circle(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(modules.ModuleError, "circle"):
                module_tree(folder, {"a.ko": "b", "b.ko": "a"}).load_order(["a"])

    def test_damaged_module(self):
        good = elf_module([("depends", "")])
        for name, data in (("empty", b""), ("text", b"hello" * 30), ("cut table", good[:-100]), ("header only", good[:64])):
            with self.subTest(name), self.assertRaises(modules.ModuleError):
                modules.modinfo(data)


class Kernel(unittest.TestCase):
    def test_choose_package(self):
        rows = [
            ("newest of the series", ["linux-image-6.12.9+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64"],
             "linux-image-6.12.117+deb12-cloud-amd64"),
            ("unsigned preferred", ["linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64-unsigned"],
             "linux-image-6.12.117+deb12-cloud-amd64-unsigned"),
            ("series before newer", ["linux-image-6.18.2+deb14-cloud-amd64", "linux-image-6.12.1+deb13-cloud-amd64"],
             "linux-image-6.12.1+deb13-cloud-amd64"),
            ("other series when need be", ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"],
             "linux-image-6.1.0-56-cloud-amd64"),
            ("meta, dbg and other flavours are not taken",
             ["linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64", "linux-image-6.12.1+deb13-cloud-amd64-dbg",
              "linux-image-6.12.1+deb13-amd64"], None),
            ("nothing", [], None),
        ]
        for name, packages, expected in rows:
            with self.subTest(name):
                self.assertEqual(kernel.choose_package(packages), expected)

    def test_extract_vmlinux(self):
        plain = b"\x7fELF" + os.urandom(2000)
        zstd = subprocess.run(["zstd", "-q", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
        for name, packed in (("zstd", zstd), ("xz", lzma.compress(plain)), ("gzip", gzip.compress(plain))):
            # a magic number that leads nowhere comes first; bytes follow the payload
            image = b"MZ" + b"\x28\xb5\x2f\xfd\x1f\x8b\x08" + bytes(300) + packed + b"trailing bytes" * 20
            with self.subTest(name):
                self.assertEqual(kernel.extract_vmlinux(image), plain)
        self.assertEqual(kernel.extract_vmlinux(plain), plain)
        with self.assertRaisesRegex(kernel.KernelError, "no zstd, xz or gzip payload"):
            kernel.extract_vmlinux(b"MZ" + bytes(5000))


class Initrd(unittest.TestCase):
    def test_same_input_same_bytes(self):
        agent = b"\x7fELF" + bytes(range(256))
        results = []
        for contents in ({"b.ko.xz": "a", "a.ko": ""}, {"a.ko": "", "b.ko.xz": "a"}):
            with tempfile.TemporaryDirectory() as folder:
                results.append(initrd.build(agent, module_tree(folder, contents), ["b"], (), ()))
        self.assertEqual(results[0], results[1])

    def test_contents(self):
        with tempfile.TemporaryDirectory() as folder:
            data = initrd.build(b"\x7fELF", module_tree(folder, {"b.ko.xz": "a", "a.ko": "", "nic.ko": "a,failover", "failover.ko": "", "fs.ko.xz": "nic"}),
                                ["b"], (("virtio:1", ("nic",)),), (("fs:x", ("fs",)),))
            out = os.path.join(folder, "out")
            os.mkdir(out)
            subprocess.run(["cpio", "-id", "--quiet", "lib/*", "init"], input=data, cwd=out, check=True)
            with open(os.path.join(out, initrd.LOAD_LIST), encoding="ascii") as file:
                paths = file.read().splitlines()
            self.assertEqual(paths, ["/lib/modules/9.9/kernel/drivers/a.ko", "/lib/modules/9.9/kernel/drivers/b.ko"])
            with open(os.path.join(out, initrd.DEVICE_LIST), encoding="ascii") as file:
                entries = [line.split() for line in file]
            self.assertEqual(entries, [["virtio:1", "/lib/modules/9.9/kernel/drivers/failover.ko"], ["virtio:1", "/lib/modules/9.9/kernel/drivers/nic.ko"],
                                       ["fs:x", "/lib/modules/9.9/kernel/drivers/failover.ko"], ["fs:x", "/lib/modules/9.9/kernel/drivers/nic.ko"],
                                       ["fs:x", "/lib/modules/9.9/kernel/drivers/fs.ko.xz"]])
            for path in [*paths, *(path for _, path in entries)]:
                with open(out + path, "rb") as file:
                    self.assertEqual(file.read(4), b"\xfd7zX" if path.endswith(".xz") else b"\x7fELF", path)

    def test_agent_must_be_a_program(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(modules.ModuleError, "not an ELF binary"):
            initrd.build(b"#!/bin/sh\n", module_tree(folder, {}), [])

    def test_first_stage(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = module_tree(folder, {"blk.ko": "", "fs.ko.xz": "blk"}, builtin=["ext4"])
            data = initrd.first_stage(b"\x7fELF", tree, (("root:x", ("blk",)), ("fs:ext4", ("ext4",))), (("fs:y", ("fs",)),))
            listing = subprocess.run(["cpio", "-i", "--quiet", "--to-stdout", initrd.FIRST_STAGE_LIST], input=data, stdout=subprocess.PIPE, check=True)
            self.assertEqual([line.split() for line in listing.stdout.decode().splitlines()],
                             [["root:x", "/lib/modules/9.9/kernel/drivers/blk.ko"], ["fs:y", "/lib/modules/9.9/kernel/drivers/blk.ko"],
                              ["fs:y", "/lib/modules/9.9/kernel/drivers/fs.ko.xz"]])


class Disk(unittest.TestCase):
    UUID = bytes(range(16))

    @staticmethod
    def entries(names=3):
        archive = cpio.Archive()
        archive.file("usr/bin/agent", b"\x7fELF" + bytes(5000), 0o755)
        archive.file("etc/empty", b"")
        archive.symlink("sbin/init", "../usr/bin/agent")
        archive.char_device("dev/null", 1, 3, 0o666)
        for number in range(names):
            archive.file(f"many/a-file-with-a-long-name-{number:04}", b"%d" % number)
        return archive.entries

    def test_ext4(self):
        image = ext4.write(self.entries(300), self.UUID)
        self.assertEqual(image, ext4.write(dict(reversed(self.entries(300).items())), self.UUID), "same input, same bytes")
        with tempfile.NamedTemporaryFile() as file:
            file.write(image)
            file.flush()
            check = subprocess.run(["e2fsck", "-fn", file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(check.returncode, 0, check.stdout)
            content = subprocess.run(["debugfs", "-R", "cat /many/a-file-with-a-long-name-0299", file.name], stdout=subprocess.PIPE, check=True,
                                     stderr=subprocess.DEVNULL)
            self.assertEqual(content.stdout, b"299")

    def test_erofs(self):
        """Read back by what the format says: every path is found from the root, with its bytes."""
        entries = self.entries(300)
        image = erofs.write(entries, self.UUID)
        self.assertEqual(len(image) % erofs.BLOCK, 0)
        magic, = struct.unpack_from("<I", image, 1024)
        root, = struct.unpack_from("<H", image, 1024 + 14)
        blocks, = struct.unpack_from("<I", image, 1024 + 36)
        self.assertEqual((magic, blocks), (0xE0F5E1E2, len(image) // erofs.BLOCK))
        found = {}

        def inode(nid):
            _, _, mode, _, size, place = struct.unpack_from("<HHHHQI", image, nid * 32)
            return mode, size, place

        def walk(nid, path):
            mode, size, place = inode(nid)
            data = image[place * erofs.BLOCK:place * erofs.BLOCK + size]
            found[path] = (mode, data)
            for start in range(0, size if stat.S_ISDIR(mode) else 0, erofs.BLOCK):
                block = data[start:start + erofs.BLOCK]
                count = struct.unpack_from("<QH", block)[1] // 12
                heads = [struct.unpack_from("<QHBB", block, 12 * index) for index in range(count)]
                ends = [head[1] for head in heads[1:]] + [len(block)]
                names = [block[head[1]:end].rstrip(b"\0").decode() for head, end in zip(heads, ends)]
                self.assertEqual(names, sorted(names), "the kernel searches by halves")
                for head, name in zip(heads, names):
                    if name not in (".", ".."):
                        walk(head[0], f"{path}/{name}".lstrip("/"))

        walk(root, "")
        del found[""]
        self.assertEqual(set(found), set(entries))
        for path, (mode, data, _) in entries.items():
            self.assertEqual(found[path][0], mode, path)
            if not stat.S_ISDIR(mode) and not stat.S_ISCHR(mode):
                self.assertEqual(found[path][1], data, path)

    def test_hash_tree(self):
        block = bytes(verity.BLOCK)
        leaf = hashlib.sha256(b"salt" + block).digest()
        level = leaf.ljust(verity.BLOCK, b"\0")
        self.assertEqual(verity.hash_tree(block, b"salt"), (hashlib.sha256(b"salt" + level).hexdigest(), level), "one block, one level")
        _, tree = verity.hash_tree(block * 129, b"salt")
        self.assertEqual(len(tree), 3 * verity.BLOCK, "129 hashes take two blocks and one above them")
        self.assertEqual(tree[:32], hashlib.sha256(b"salt" + leaf * 128).digest(), "the upper level comes first")
        for data in (b"", b"x", block + b"x"):
            with self.assertRaises(ValueError):
                verity.hash_tree(data, b"")

    def test_partitions(self):
        filesystem = os.urandom(5 * verity.BLOCK)
        image, parameters = disk.build(filesystem, b"salt", self.UUID)
        root_hash, tree = verity.hash_tree(filesystem, b"salt")
        self.assertEqual(parameters, f"root_hash={root_hash},salt={b'salt'.hex()},data_blocks=5,data_block_size=4096,hash_block_size=4096")
        self.assertEqual(len(image) % (2 << 20), 0)
        for name, start in (("as a disk", 0), ("as a pmem device", 2 << 20)):
            with self.subTest(name):
                self.assertEqual(image[start + 510:start + 512], b"\x55\xaa")
                for index, content in enumerate((filesystem, tree)):
                    first, sectors = struct.unpack_from("<II", image, start + 446 + 16 * index + 8)
                    self.assertEqual(image[start + 512 * first:start + 512 * (first + sectors)], content)
        self.assertEqual(image[4096:4112], b"NVDIMM_PFN_INFO\0")


if __name__ == "__main__":
    unittest.main()
