"""Composes the guest's root: the agent as its init, the modules it loads, the empty folders it mounts on. No shell, no libc.

The same tree is the initrd and the root file system of the images; an image of a kernel with modules has a first stage, too.
"""

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
)

# The same for large and rarely used ones, which stay compressed as the package has them; the kernel unpacks them.
COMPRESSED_MODULES = (("fs:xfs", ("xfs",)), ("fs:btrfs", ("btrfs",)), ("dm:verity", ("dm_verity",)))

# What containers may do with a network of their own (bridges, tunnels, packet filters), as with a kernel that has it all built in:
# loaded when the kernel asks for it. Compressed as the package has them.
REQUESTED_MODULES = (
    "bridge", "br_netfilter", "veth", "dummy", "tun", "macvlan", "ipvlan", "8021q",
    "iptable_filter", "iptable_nat", "iptable_mangle", "iptable_raw", "ip6table_filter", "ip6table_nat", "ip6table_mangle", "ip6table_raw",
    "ipt_REJECT", "ip6t_REJECT", "xt_conntrack", "xt_MASQUERADE", "xt_nat", "xt_REDIRECT", "xt_tcpudp", "xt_multiport", "xt_owner", "xt_mark",
    "xt_connmark", "xt_comment", "xt_addrtype", "xt_limit", "xt_statistic", "xt_LOG", "xt_TPROXY", "xt_socket", "nf_tables",
    "nft_compat", "nft_chain_nat", "nft_ct", "nft_nat", "nft_masq", "nft_redir", "nft_reject_inet", "nft_limit", "nft_fib_inet", "nft_log",
)

# The agent reads this file at boot and loads the modules in this order: one absolute path a line.
LOAD_LIST = "lib/modules/kata-modules.load"

# The same with the need in front ("virtio:1 <path>").
DEVICE_LIST = "lib/modules/kata-modules.on-demand"

# The same with what the kernel asks for in front: a module's name or an alias, '-' written as '_'.
REQUEST_LIST = "lib/modules/kata-modules.requests"

# What the first stage needs to get at the root file system, by its words: the root device's kind, the file system, dm-verity.
FIRST_STAGE_MODULES = (
    ("root:virtio-blk", ("virtio_blk",)),
    ("root:pmem", ("nfit", "nd_pmem")),
    ("fs:ext4", ("ext4",)),
    ("fs:erofs", ("erofs",)),
    ("dm:verity", ("dm_verity",)),
)
FIRST_STAGE_COMPRESSED = (("fs:xfs", ("xfs",)),)

# An initrd that has this file is a first stage: the agent in it looks for the root device, mounts it and starts its /sbin/init.
FIRST_STAGE_LIST = "lib/modules/kata-first-stage"

_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var", "mnt")


class _ModuleFiles:
    """Puts modules into an archive, each once, and tells the lines of the lists."""

    def __init__(self, archive, tree):
        self._archive, self._tree, self._added = archive, tree, {}

    def add(self, name, form="plain"):
        if name not in self._added:
            path, data = self._tree.load(name) if form == "plain" else self._tree.packed(name)
            self._added[name] = f"lib/modules/{self._tree.version}/{path}"
            self._archive.file(self._added[name], data)
        return f"/{self._added[name]}\n"

    def lines(self, needs, form="plain", without=()):
        """One for each module that a word needs."""
        return [f"{word} {self.add(name, form)}" for word, tops in needs for name in self._tree.load_order(tops) if name not in without]


def _requests(tree, names):
    """(word, modules) of everything by which the kernel may ask for one of these modules."""
    answers = {}
    for name in names:
        for word in (name, *tree.aliases(name)):
            answers.setdefault(word.replace("-", "_"), (name,))
    return sorted(answers.items())


def _with_agent(agent):
    if agent[:4] != b"\x7fELF":
        raise modules.ModuleError("the agent is not an ELF binary")
    archive = cpio.Archive()
    # the kernel opens it for pid 1 before anything is mounted
    archive.char_device("dev/console", 5, 1)
    archive.char_device("dev/null", 1, 3, 0o666)
    archive.file("usr/bin/kata-agent", agent, 0o755)
    archive.symlink("init", "usr/bin/kata-agent")
    return archive


def root(agent, tree, boot_modules=BOOT_MODULES, on_demand=ON_DEMAND_MODULES, compressed=COMPRESSED_MODULES, requested=REQUESTED_MODULES):
    """Returns the guest's root as a cpio.Archive. `agent` is the binary's content, `tree` a modules.ModuleTree."""
    archive = _with_agent(agent)
    for folder in _FOLDERS:
        archive.directory(folder, 0o1777 if folder == "tmp" else 0o755)
    # where a kernel looks for the init of a root that is no initrd
    archive.symlink("sbin/init", "../usr/bin/kata-agent")
    # read-only in an image: what the agent mounts over or links to must be there
    archive.file("etc/resolv.conf", b"")
    archive.symlink("var/run", "/run")
    files = _ModuleFiles(archive, tree)
    at_boot = tree.load_order(boot_modules)
    archive.file(LOAD_LIST, "".join(map(files.add, at_boot)).encode())
    later = files.lines(on_demand, "plain", at_boot) + files.lines(compressed, "packed", at_boot)
    archive.file(DEVICE_LIST, "".join(later).encode())
    # whom the kernel asks for modules
    archive.symlink("sbin/modprobe", "../usr/bin/kata-agent")
    # kernels differ in what they have of the last
    names = tree.load_order([name for _, tops in (*on_demand, *compressed) for name in tops] + list(filter(tree.has, requested)))
    archive.file(REQUEST_LIST, "".join(files.lines(_requests(tree, names), "packed")).encode())
    return archive


def build(agent, tree, *lists):
    """Returns the initrd's bytes.

    The archive is not compressed: under emulation unpacking costs more time than reading saves.
    """
    return root(agent, tree, *lists).write()


def first_stage(agent, tree, needs=FIRST_STAGE_MODULES, compressed=FIRST_STAGE_COMPRESSED):
    """Returns the bytes of the initrd that mounts an image's root file system and starts what is in there."""
    archive = _with_agent(agent)
    for folder in ("proc", "sys", "root"):
        archive.directory(folder)
    files = _ModuleFiles(archive, tree)
    archive.file(FIRST_STAGE_LIST, "".join(files.lines(needs) + files.lines(compressed, "packed")).encode())
    return archive.write()
