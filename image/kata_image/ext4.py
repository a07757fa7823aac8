"""Reproducible ext4 images by mke2fs, with a journal (`data=ordered` of the guest's command line needs one).

mke2fs takes times from its clock and its source folder, and owners from the latter: all of them are set to 0 afterwards. Without
metadata checksums that is all there is to change. Format: Documentation/filesystems/ext4 of the Linux source.
"""

import os
import stat
import struct
import subprocess
import tempfile

BLOCK = 4096
_SUPER_BLOCK = 1024
_FEATURES = "^metadata_csum,^metadata_csum_seed,^uninit_bg,^resize_inode,^64bit,^orphan_file,has_journal,extent"


class Ext4Error(Exception):
    """mke2fs did not do it; the message says what it said."""


def write(entries, uuid, spare_blocks=64):
    """Returns the image's bytes. `entries`: path -> (mode, data, device) with all parent folders; device nodes are left out, since
    the guest has its own /dev."""
    journal_blocks = 1024
    data_blocks = sum(-(-len(data) // BLOCK) for _, data, _ in entries.values()) + len(entries)
    blocks = data_blocks + journal_blocks + len(entries) // 16 + spare_blocks
    with tempfile.TemporaryDirectory() as folder:
        root, image = os.path.join(folder, "root"), os.path.join(folder, "image")
        os.mkdir(root)
        for path in sorted(entries):
            _place(os.path.join(root, path), *entries[path])
        identity = "-".join(uuid.hex()[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-N", str(len(entries) + 64), "-m", "0", "-U", identity,
                   "-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4", "-O", _FEATURES,
                   "-L", "kata", "-d", root, image, str(blocks)]
        environment = dict(os.environ, E2FSPROGS_FAKE_TIME="1", SOURCE_DATE_EPOCH="1", PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            raise Ext4Error(f"{' '.join(command)} failed (package e2fsprogs): {result.stdout.strip()}")
        with open(image, "rb") as file:
            data = bytearray(file.read())
    _normalise(data)
    return bytes(data)


def _place(path, mode, data, _device):
    if stat.S_ISDIR(mode):
        os.mkdir(path)
    elif stat.S_ISLNK(mode):
        os.symlink(data.decode(), path)
        return
    elif stat.S_ISREG(mode):
        with open(path, "wb") as file:
            file.write(data)
    else:
        return
    os.chmod(path, stat.S_IMODE(mode))


def _normalise(data):
    """Sets all times and owners to 0: of the superblock and its copies, and of every inode."""
    inodes, = struct.unpack_from("<I", data, _SUPER_BLOCK)
    per_group, = struct.unpack_from("<I", data, _SUPER_BLOCK + 0x28)
    blocks_per_group, = struct.unpack_from("<I", data, _SUPER_BLOCK + 0x20)
    inode_bytes, = struct.unpack_from("<H", data, _SUPER_BLOCK + 0x58)
    groups = -(-inodes // per_group)
    copies = [_SUPER_BLOCK] + [group * blocks_per_group * BLOCK for group in range(1, groups)]
    for at in copies:
        if data[at + 0x38:at + 0x3A] == b"\x53\xef":
            # mounted, written, checked, made, KiB written
            for field, size in ((0x2C, 4), (0x30, 4), (0x40, 4), (0x108, 4), (0x178, 8)):
                data[at + field:at + field + size] = bytes(size)
    for group in range(groups):
        table, = struct.unpack_from("<I", data, BLOCK + 32 * group + 8)
        for index in range(per_group):
            at = table * BLOCK + index * inode_bytes
            # uid; access, change, modification and deletion; gid; owners' upper halves; what extends the times, and the birth
            for field, size in ((0x02, 2), (0x08, 16), (0x18, 2), (0x78, 4), (0x84, 20)):
                data[at + field:at + field + size] = bytes(size)
