"""The guest image around a root file system: partitions, the hash tree of dm-verity, and what lets a pmem device map it.

Offsets in MiB: 0 the partition table of a disk and, 4 KiB behind it, the kernel's description of a pmem device whose data begins at 2;
2 the partition table that such a device shows; 3 the root file system (partition 1); behind it the hash tree (partition 2).
A disk and a pmem device so have the same partitions. Formats: MBR; struct nd_pfn_sb of drivers/nvdimm/pfn.h in the Linux source.
"""

import struct

from . import verity

MIB = 1 << 20
# Of the table that a pmem device shows, and of the first partition behind it.
_PMEM_START, _ROOT_START = 2 * MIB, 3 * MIB
_SECTOR = 512


def build(filesystem, salt, uuid):
    """Returns (the image's bytes, the value of kernel_verity_params). 16 bytes of `uuid`; `salt` is any bytes."""
    root_hash, tree = verity.hash_tree(filesystem, salt)
    hash_start = _up(_ROOT_START + len(filesystem), MIB)
    # the kernel maps memory in pieces of 2 MiB
    size = _up(hash_start + len(tree), 2 * MIB)
    image = bytearray(size)

    def table(start):
        parts = ((_ROOT_START, len(filesystem)), (hash_start, len(tree)))
        return _partition_table([((at - start) // _SECTOR, length // _SECTOR) for at, length in parts], uuid)

    image[0:_SECTOR] = table(0)
    image[4096:8192] = _pmem_description(size, uuid)
    image[_PMEM_START:_PMEM_START + _SECTOR] = table(_PMEM_START)
    image[_ROOT_START:_ROOT_START + len(filesystem)] = filesystem
    image[hash_start:hash_start + len(tree)] = tree
    return bytes(image), verity.parameters(root_hash, salt, len(filesystem))


def _up(number, step):
    return -(-number // step) * step


def _partition_table(partitions, uuid):
    sector = bytearray(_SECTOR)
    sector[440:444] = uuid[:4]
    for index, (start, sectors) in enumerate(partitions):
        # not bootable, no cylinders, a Linux file system
        struct.pack_into("<B3sB3sII", sector, 446 + 16 * index, 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", start, sectors)
    sector[510:512] = b"\x55\xaa"
    return sector


def _pmem_description(size, uuid):
    page, page_struct = 4096, 64
    mode_ram = 1
    block = bytearray(page)
    # signature, uuid, parent, flags, version 1.4, data offset, pages, mode, padding at start and end, alignment, page sizes
    struct.pack_into("<16s16s16sIHHQQIIIIIH", block, 0, b"NVDIMM_PFN_INFO\0", uuid, bytes(16), 0, 1, 4, _PMEM_START,
                     (size - _PMEM_START) // page, mode_ram, 0, 0, 2 * MIB, page, page_struct)
    # Fletcher's sum of 64 bits over the block with the sum itself 0.
    low = high = 0
    for word, in struct.iter_unpack("<I", block):
        low = (low + word) & 0xFFFFFFFF
        high = (high + low) & 0xFFFFFFFFFFFFFFFF
    struct.pack_into("<Q", block, page - 8, (high & 0xFFFFFFFF) << 32 | low)
    return block
