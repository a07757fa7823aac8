"""Writer of reproducible EROFS images, not compressed: what the guest's kernel mounts as its root, read-only.

Every inode is an extended one and all data lies in whole blocks: superblock, inodes, then the contents in the order of paths.
Format: fs/erofs/erofs_fs.h of the Linux source.
"""

import stat
import struct

BLOCK = 4096
_MAGIC = 0xE0F5E1E2
_SUPER_BLOCK = 1024
_INODE_BYTES = 64
# Inode numbers count in slots of this size from the beginning of the metadata.
_SLOT = 32
_TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFLNK: 7}


def write(entries, uuid):
    """Returns the image's bytes. `entries`: path -> (mode, data, device) with all parent folders; 16 bytes of `uuid`."""
    paths = ["", *sorted(entries)]
    number = {path: index for index, path in enumerate(paths)}
    children = {path: [] for path in paths if path == "" or stat.S_ISDIR(entries[path][0])}
    for path in paths[1:]:
        children[path.rpartition("/")[0]].append(path)

    first_inode = BLOCK // _SLOT
    nids = {path: first_inode + index * (_INODE_BYTES // _SLOT) for path, index in number.items()}
    inode_blocks = -(-len(paths) * _INODE_BYTES // BLOCK)
    inodes, contents = bytearray(), bytearray()
    for path in paths:
        mode, data, device = entries.get(path, (stat.S_IFDIR | 0o755, b"", (0, 0)))
        links = 1
        if stat.S_ISDIR(mode):
            parent = path.rpartition("/")[0]
            data = _directory(nids[path], nids[parent], {child.rpartition("/")[2]: (nids[child], entries[child][0]) for child in children[path]})
            links = 2 + sum(stat.S_ISDIR(entries[child][0]) for child in children[path])
        where = 1 + inode_blocks + len(contents) // BLOCK if data else 0
        if stat.S_ISCHR(mode):
            where = device[0] << 8 | device[1]
        # format: extended, flat; xattrs mode reserved size place ino uid gid mtime nsec links
        inodes += struct.pack("<HHHHQIIIIQII16x", 1, 0, mode, 0, len(data), where, number[path] + 1, 0, 0, 0, 0, links)
        contents += data + bytes(-len(data) % BLOCK)
    inodes += bytes(inode_blocks * BLOCK - len(inodes))
    blocks = 1 + inode_blocks + len(contents) // BLOCK
    head = bytearray(BLOCK)
    # checksum compat blkszbits slots root inos time nsec blocks meta xattr uuid name incompat algorithms devices slotoff ...
    struct.pack_into("<IIIBBHQQIIII16s16sI", head, _SUPER_BLOCK, _MAGIC, 0, 0, 12, 0, nids[""], len(paths), 0, 0, blocks, 0, 0, uuid,
                     b"kata", 0)
    return bytes(head + inodes + contents)


def _directory(own, parent, children):
    """The blocks of a folder: in each, entries sorted by name, and behind them the names."""
    names = {b".": (own, stat.S_IFDIR), b"..": (parent, stat.S_IFDIR)}
    names.update({name.encode(): entry for name, entry in children.items()})
    blocks, group, used = [], [], 0
    for name in sorted(names):
        size = 12 + len(name)
        if used + size > BLOCK:
            blocks.append(_directory_block(group, names).ljust(BLOCK, b"\0"))
            group, used = [], 0
        group.append(name)
        used += size
    blocks.append(_directory_block(group, names))
    return b"".join(blocks)


def _directory_block(group, names):
    offset = 12 * len(group)
    entries, texts = b"", b""
    for name in group:
        nid, mode = names[name]
        entries += struct.pack("<QHBB", nid, offset + len(texts), _TYPES[stat.S_IFMT(mode)], 0)
        texts += name
    return entries + texts
