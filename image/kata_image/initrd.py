"""Composes the initrd: the agent as /init, the modules it loads at boot, the empty folders it mounts on. No shell, no libc."""

from . import cpio, modules

# What the guest needs before the first request, in this order; dependencies are added, what the kernel has built in is left out.
# vsock is the way to the host, overlay carries container root file systems, the balloon gives memory back, and pvpanic
# tells the VMM about a guest panic at once.
BOOT_MODULES = ("vmw_vsock_virtio_transport", "overlay", "virtio_balloon", "pvpanic-pci")

# Loaded only by a guest that needs them: what nobody uses costs 15 ms of boot each under emulation. By the agent's word for the
# need: a virtio device type (at boot when the device is there, else when one is about to be used), a file system, device-mapper.
ON_DEMAND_MODULES = (
    ("virtio:1", ("virtio_net",)),
    ("virtio:2", ("virtio_blk",)),
    ("virtio:8", ("virtio_scsi", "sd_mod")),
    ("virtio:24", ("virtio_mem",)),
    ("fs:erofs", ("erofs",)),
    ("dm:verity", ("dm_verity",)),
)

# The same for large and rarely used ones, which stay compressed as the package has them; the kernel unpacks them.
COMPRESSED_MODULES = (("fs:xfs", ("xfs",)), ("fs:btrfs", ("btrfs",)))

# The agent reads this file at boot and loads the modules in this order: one absolute path a line.
LOAD_LIST = "lib/modules/kata-modules.load"

# The same with the need in front ("virtio:1 <path>").
DEVICE_LIST = "lib/modules/kata-modules.on-demand"

_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var", "mnt")


def build(agent, tree, boot_modules=BOOT_MODULES, on_demand=ON_DEMAND_MODULES, compressed=COMPRESSED_MODULES):
    """Returns the initrd's bytes. `agent` is the binary's content, `tree` a modules.ModuleTree.

    The archive is not compressed: under emulation unpacking costs more time than reading saves.
    """
    if agent[:4] != b"\x7fELF":
        raise modules.ModuleError("the agent is not an ELF binary")
    archive = cpio.Archive()
    for folder in _FOLDERS:
        archive.directory(folder, 0o1777 if folder == "tmp" else 0o755)
    # the kernel opens it for pid 1 before anything is mounted
    archive.char_device("dev/console", 5, 1)
    archive.char_device("dev/null", 1, 3, 0o666)
    archive.file("usr/bin/kata-agent", agent, 0o755)
    archive.symlink("init", "usr/bin/kata-agent")

    added = {}

    def add(name, form="plain"):
        if name not in added:
            path, data = tree.load(name) if form == "plain" else tree.packed(name)
            added[name] = f"lib/modules/{tree.version}/{path}"
            archive.file(added[name], data)
        return f"/{added[name]}\n"

    def lines(needs, form):
        return [f"{word} {add(name, form)}" for word, tops in needs for name in tree.load_order(tops) if name not in at_boot]

    at_boot = tree.load_order(boot_modules)
    archive.file(LOAD_LIST, "".join(add(name) for name in at_boot).encode())
    archive.file(DEVICE_LIST, "".join(lines(on_demand, "plain") + lines(compressed, "packed")).encode())
    return archive.write()
