"""The snapshotters of a private containerd 2.3 that hand over disks: blockfile (an ext4 image each) and erofs (a layer file each)."""

import os
import subprocess

from . import newer_erofs

SCRATCH_MEGABYTES = 64

_TABLES = """
[plugins."io.containerd.snapshotter.v1.blockfile"]
  scratch_file = "{scratch}"
  root_path = "{folder}/blockfile"
  fs_type = "ext4"
  recreate_scratch = true
"""

_EROFS_TABLES = """
[plugins."io.containerd.snapshotter.v1.erofs"]
  default_size = "{size}MiB"
[plugins."io.containerd.service.v1.diff-service"]
  default = ["erofs", "walking"]
"""


class Settings:
    """`programs` belongs into containerd's PATH; `erofs` tells why there is no erofs snapshotter, "" = there is."""

    def __init__(self, folder, cache):
        self.folder = folder
        self.programs = self.erofs = ""
        try:
            self.programs = newer_erofs.folder(cache)
        except newer_erofs.Unavailable as error:
            self.erofs = str(error)

    def extend(self, text):
        """The configuration with the snapshotters switched on; makes what they need."""
        scratch = os.path.join(self.folder, "scratch.img")
        if not os.path.exists(scratch):
            with open(scratch, "wb") as file:
                file.truncate(SCRATCH_MEGABYTES << 20)
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", scratch], check=True)
        text = text.replace('"io.containerd.snapshotter.v1.blockfile", ', "") + _TABLES.format(scratch=scratch, folder=self.folder)
        if self.erofs:
            return text
        return text.replace('"io.containerd.snapshotter.v1.erofs",', "") + _EROFS_TABLES.format(size=SCRATCH_MEGABYTES)
