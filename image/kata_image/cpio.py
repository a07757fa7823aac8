"""Writer of reproducible newc cpio archives, the format of an initramfs.

Same entries, same bytes: entries are sorted by path, all times are 0, all owners root, inode numbers counted from 1.
Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux source.
"""

import stat


class Archive:
    """Collects entries; missing parent folders are added by themselves (mode 0755)."""

    def __init__(self):
        self._entries = {}

    def directory(self, path, mode=0o755):
        self._add(path, stat.S_IFDIR | mode, b"", (0, 0))

    def file(self, path, data, mode=0o644):
        self._add(path, stat.S_IFREG | mode, bytes(data), (0, 0))

    def symlink(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode(), (0, 0))

    def char_device(self, path, major, minor, mode=0o600):
        self._add(path, stat.S_IFCHR | mode, b"", (major, minor))

    def _add(self, path, mode, data, device):
        path = path.strip("/")
        if not path or "//" in path or any(part in (".", "..") for part in path.split("/")):
            raise ValueError(f"archive path {path!r} is empty or not normalised")
        if path in self._entries and not stat.S_ISDIR(mode):
            raise ValueError(f"archive path {path!r} is added twice")
        parent = path.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries[path] = (mode, data, device)

    @property
    def entries(self):
        """path -> (mode with the file type, data or a link's target, device numbers), for writers of other formats."""
        return dict(self._entries)

    def write(self):
        """Returns the archive's bytes, padded to 512."""
        out = bytearray()
        for inode, path in enumerate(sorted(self._entries), start=1):
            mode, data, device = self._entries[path]
            links = 2 if stat.S_ISDIR(mode) else 1
            _append(out, inode, path, mode, links, data, device)
        _append(out, 0, "TRAILER!!!", 0, 1, b"", (0, 0))
        out += bytes(-len(out) % 512)
        return bytes(out)


def _append(out, inode, path, mode, links, data, device):
    name = path.encode() + b"\0"
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields)
    out += name
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
