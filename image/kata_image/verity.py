"""Hash trees of dm-verity (Documentation/admin-guide/device-mapper/verity.rst): SHA-256, blocks of 4096, no superblock."""

import hashlib

BLOCK = 4096


def hash_tree(data, salt):
    """Returns (root hash as hexadecimal text, the tree's bytes: the level of one block first). `data` is whole blocks."""
    if not data or len(data) % BLOCK:
        raise ValueError(f"{len(data)} bytes are not whole blocks of {BLOCK}")
    levels = []
    level = data
    while len(level) > BLOCK or not levels:
        hashes = b"".join(hashlib.sha256(salt + level[at:at + BLOCK]).digest() for at in range(0, len(level), BLOCK))
        level = hashes + bytes(-len(hashes) % BLOCK)
        levels.append(level)
    return hashlib.sha256(salt + level).hexdigest(), b"".join(reversed(levels))


def parameters(root_hash, salt, data_bytes):
    """The value of kernel_verity_params."""
    return f"root_hash={root_hash},salt={salt.hex()},data_blocks={data_bytes // BLOCK},data_block_size={BLOCK},hash_block_size={BLOCK}"
