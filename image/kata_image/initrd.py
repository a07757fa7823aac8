"""Composes the initrd: the agent as /init, the modules it loads at boot, the empty folders it mounts on. No shell, no libc."""

from . import cpio, modules

# What the guest needs before the first request, in this order; dependencies are added, what the kernel has built in is left out.
# vsock is the way to the host, overlay carries container root file systems, the balloon gives memory back, and pvpanic
# tells the VMM about a guest panic at once.
BOOT_MODULES = ("vmw_vsock_virtio_transport", "overlay", "virtio_balloon", "pvpanic-pci")

# Loaded at boot only by a guest that has such a device: what nobody uses costs 15 ms of boot each under emulation. By virtio
# device type.
DEVICE_MODULES = ((1, "virtio_net"),)

# The agent reads this file at boot and loads the modules in this order: one absolute path a line.
LOAD_LIST = "lib/modules/kata-modules.load"

# The same with a device in front ("virtio:1 <path>"): loaded when the device is there.
DEVICE_LIST = "lib/modules/kata-modules.on-demand"

_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var", "mnt")


def build(agent, tree, boot_modules=BOOT_MODULES, device_modules=DEVICE_MODULES):
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

    def add(name):
        path, data = tree.load(name)
        target = f"lib/modules/{tree.version}/{path}"
        archive.file(target, data)
        return f"/{target}\n"

    at_boot = tree.load_order(boot_modules)
    archive.file(LOAD_LIST, "".join(add(name) for name in at_boot).encode())
    lines = [f"virtio:{device} {add(name)}" for device, top in device_modules for name in tree.load_order([top]) if name not in at_boot]
    archive.file(DEVICE_LIST, "".join(lines).encode())
    return archive.write()
