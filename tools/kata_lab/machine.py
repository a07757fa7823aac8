"""Builds the lab's initrd, starts its helper processes and QEMU, and takes everything down again."""

import glob
import hashlib
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "image"))

from kata_image import cpio, kernel, modules  # noqa: E402

BOOT_MODULES = ("virtiofs", "overlay", "virtio_pci", "virtio_console")
# What a production host has; loaded in every lab. The emulated CPU offers AMD's virtualisation, never Intel's.
HOST_MODULES = ("kvm-amd", "vhost_vsock", "vhost_net", "tun", "veth", "bridge", "br_netfilter", "loop", "macvlan", "ipvlan",
                "sch_ingress", "cls_u32", "act_mirred")
EXTRA_MODULES = {
    "dm": ("dm-mod", "dm-thin-pool", "dm-verity", "dm-crypt"),
    "iommu": ("vfio-pci", "vfio_iommu_type1"),
    "nic": ("virtio_net",),
    "hugepages": (),
}
# A lab whose Python was killed leaves no process behind.
END_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]
VIRTIOFSD_PLACES = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
CRASH = re.compile(r"BUG:|Oops|invalid opcode|general protection|double fault|Unable to handle|soft lockup|Kernel panic")


# The kernel changes the code of its scheduler when KVM's first VM comes and when the last one goes (preemption notifiers), and an emulated
# CPU may still run the translation of a breakpoint that it used for that and is gone ("Oops: int3 ... __schedule"). A VM that stays, without
# memory or CPUs, leaves one such change, before anything happens. 0xae01: KVM_CREATE_VM.
_HOLD_KVM = "import fcntl, os, signal; vm = fcntl.ioctl(os.open('/dev/kvm', os.O_RDWR), 0xae01, 0); signal.pause()"


class LabError(Exception):
    """Says what is missing or what did not work."""


def _virtiofsd():
    for place in VIRTIOFSD_PLACES:
        if os.path.exists(place):
            return place
    raise LabError("virtiofsd not found: run tools/setup")


def build_initrd(tree, cache, names):
    """busybox, the init script and the modules of the lab; kept in the cache by what goes into it.

    The host's modules are in it too: loaded from the shared root by modprobe, one by one, they cost 2 s.
    """
    busybox = "/bin/busybox"
    if not os.path.exists(busybox):
        raise LabError("busybox not found: run tools/setup (package busybox-static)")
    script = os.path.join(REPO, "tools/kata_lab/init.sh")
    with open(script, "rb") as file:
        init = file.read()
    key = repr((init, tree.folder, names, os.stat(busybox).st_mtime_ns, _mtimes(__file__, modules.__file__, cpio.__file__)))
    path = os.path.join(cache, "lab", hashlib.sha256(key.encode()).hexdigest()[:16] + ".img")
    if os.path.exists(path):
        return path
    archive = cpio.Archive()
    for folder in ("proc", "sys", "dev", "ro", "rw", "r", "tmp"):
        archive.directory(folder)
    archive.char_device("dev/console", 5, 1)
    archive.char_device("dev/null", 1, 3, 0o666)
    with open(busybox, "rb") as file:
        archive.file("bin/busybox", file.read(), 0o755)
    archive.file("init", init, 0o755)
    for listing, wanted, before in (("modules", BOOT_MODULES, ()), ("modules.later", names, BOOT_MODULES)):
        lines = []
        known = set(tree.load_order(before))
        for name in tree.load_order((*before, *wanted)):
            if name in known:
                continue
            file_name = os.path.basename(tree.load(name)[0])
            archive.file(f"modules.d/{file_name}", tree.load(name)[1])
            lines.append(f"/modules.d/{file_name}\n")
        archive.file(listing, "".join(lines).encode())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(archive.write())
    os.rename(temporary, path)
    return path


def _mtimes(*paths):
    return [os.stat(path).st_mtime_ns for path in paths]


def module_folder_for_modprobe(tree, cache):
    """A folder for modprobe -d: the unpacked package, with the index that its installation would have made."""
    base = tree.folder
    while os.path.basename(base) != "lib":
        base = os.path.dirname(base)
    root = os.path.dirname(base)
    if os.path.basename(root) == "usr":
        root, link = os.path.dirname(root), "usr/lib"
        if not os.path.exists(os.path.join(root, "lib")):
            os.symlink(link, os.path.join(root, "lib"))
    if not os.path.exists(os.path.join(tree.folder, "modules.dep.bin")):
        subprocess.run(["/sbin/depmod", "-b", root, tree.version], check=True)
    return root


class Lab:
    """One lab. Must run in a mount namespace of its own (tools/node sees to that)."""

    def __init__(self, options, cache):
        self.options = options
        self.cache = cache
        self.folder = tempfile.mkdtemp(prefix="kata-lab-")
        self.children = []
        self.control = os.path.join(self.folder, "ctl")
        os.mkdir(self.control)

    def _share(self, tag, folder, extra=()):
        path = os.path.join(self.folder, f"{tag}.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        program = _virtiofsd()
        cache_mode = "always" if tag == "root" else "none"
        if program.startswith("/usr/lib/qemu"):
            command = [program, f"--fd={listener.fileno()}", "-o", f"source={folder}", "-o", f"cache={cache_mode}", "-f"]
        else:
            mode = "always" if tag == "root" else "never"
            command = [program, f"--fd={listener.fileno()}", "--shared-dir", folder, "--cache", mode, "--sandbox=none", "--seccomp=none"]
        log = open(os.path.join(self.folder, f"{tag}.log"), "wb")
        self.children.append(subprocess.Popen(END_WITH_US + command + list(extra), pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log))
        log.close()
        listener.close()
        return ["-chardev", f"socket,id={tag},path={path}", "-device", f"vhost-user-fs-pci,chardev={tag},tag={tag},queue-size=1024"]

    def _command_script(self, command, shell_folder):
        lines = ["#!/bin/sh", "export HOME=/root TERM=linux DM_DISABLE_UDEV=1 KATA_LAB=1"]
        for name in ("PATH", "KATA_CPP_CACHE", "KATA_BIN", "KATA_GUEST"):
            if name in os.environ:
                lines.append(f"export {name}={shlex.quote(os.environ[name])}")
        lines.append(f"cd {shlex.quote(shell_folder)} || {{ echo 'error: tools/lab: the lab does not see this folder: it has a /tmp of its own'; exit 125; }}")
        lines.append(" ".join(shlex.quote(word) for word in command))
        self._control_script("command", lines)
        # pid 1 when the initrd is done.
        self._control_script("main", [f"python3 -c {shlex.quote(_HOLD_KVM)} 2>/dev/null &", "/bin/sh /ctl/command", "echo $? >/ctl/exit",
                                      "/bin/busybox sync", "/bin/busybox poweroff -f"])
        self._control_script("modprobe", ["#!/bin/sh", 'exec /sbin/modprobe -d /ctl/modules "$@"'])

    def _control_script(self, name, lines):
        path = os.path.join(self.control, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.chmod(path, 0o755)

    def _module_names(self):
        return [*HOST_MODULES, *(name for feature in self.options.features for name in EXTRA_MODULES.get(feature.partition("=")[0], ()))]

    def _machine(self):
        wanted = self.options.features
        machine = "q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off"
        devices = []
        # What an emulated kernel need not do; measured, as the product's own (src/host/vmm/qemu/command_line.cpp).
        append = ["console=ttyS0", "panic=-1", "reboot=t", "quiet", "mitigations=off", "nokaslr", "random.trust_cpu=on", "no_timer_check",
                  "tsc=reliable", "cryptomgr.notests", "rcupdate.rcu_expedited=1", "init_on_alloc=0", "lsm=capability",
                  "initcall_blacklist=jent_mod_init,load_system_certificate_list,trace_eval_init"]
        if "iommu" in wanted:
            machine += ",kernel-irqchip=split"
            devices += ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]
            append.append("intel_iommu=on")
        if "nic" in wanted:
            devices += ["-device", "pcie-root-port,id=rp1,chassis=1,slot=1", "-netdev", "user,id=n1,restrict=on", "-device",
                        "virtio-net-pci,netdev=n1,bus=rp1,disable-legacy=on" + (",iommu_platform=on,ats=on" if "iommu" in wanted else "")]
        if "hugepages" in wanted:
            append.append("lab.hugepages=256")
        append.append("lab.cgroup=" + ("v1" if "cgroup=v1" in wanted else "v2"))
        return machine, devices, append

    def start(self, command):
        began = time.monotonic()
        options = self.options
        deb = options.kernel or kernel.fetch(self.cache)
        image, module_folder = kernel.unpack(deb, self.cache)
        tree = modules.ModuleTree(module_folder)
        initrd = build_initrd(tree, self.cache, self._module_names())
        os.symlink(module_folder_for_modprobe(tree, self.cache), os.path.join(self.control, "modules"))
        vmlinux = os.path.join(self.cache, "lab", f"vmlinux-{tree.version}")
        if not os.path.exists(vmlinux):
            with open(image, "rb") as source, open(vmlinux + ".new", "wb") as target:
                target.write(kernel.extract_vmlinux(source.read()))
            os.rename(vmlinux + ".new", vmlinux)
        self._command_script(command, os.getcwd())
        # Without the mounts on top of it: virtio-fs would show those as folders that cannot be used as an overlay's lower layer.
        root = os.path.join(self.folder, "root")
        os.mkdir(root)
        subprocess.run(["mount", "--bind", "/", root], check=True)
        shares = self._share("root", root) + self._share("ctl", self.control)
        machine, devices, append = self._machine()
        if options.out:
            os.makedirs(options.out, exist_ok=True)
            shares += self._share("out", os.path.abspath(options.out))
            append.append("lab.out=" + os.path.abspath(options.out))
        memory = f"{options.memory}M"
        qemu = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", machine,
                "-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off,la57=off", "-smp", "2", "-m", memory,
                "-object", f"memory-backend-memfd,id=mem,size={memory},share=on", "-machine", "memory-backend=mem",
                *devices, *shares, "-kernel", vmlinux, "-initrd", initrd, "-append", " ".join(append),
                "-serial", f"file:{self.folder}/console", "-device", "virtio-serial-pci",
                "-chardev", "stdio,id=con,signal=off", "-device", "virtconsole,chardev=con"]
        self.qemu = subprocess.Popen(END_WITH_US + qemu, stdin=None if options.interactive else subprocess.DEVNULL, start_new_session=not options.interactive)
        self.children.append(self.qemu)
        self._wait_ready(began)

    def _wait_ready(self, began):
        deadline = began + self.options.boot_limit
        ready = os.path.join(self.control, "ready")
        watcher = os.pidfd_open(self.qemu.pid)
        try:
            while not os.path.exists(ready):
                if select.select([watcher], [], [], 0.02)[0] or time.monotonic() > deadline:
                    raise LabError("the lab did not come up:\n" + self.console_tail())
        finally:
            os.close(watcher)
        print(f"lab: ready in {time.monotonic() - began:.1f} s", file=sys.stderr)

    def console_tail(self):
        try:
            with open(os.path.join(self.folder, "console"), encoding="utf-8", errors="replace") as file:
                lines = file.readlines()
        except FileNotFoundError:
            return "(no console)"
        # A crash of the lab's own kernel is told from its first line on.
        crash = next((index for index, line in enumerate(lines) if CRASH.search(line)), len(lines))
        return "".join(lines[crash:crash + 60] if crash < len(lines) else lines[-12:])

    def wait(self, limit):
        """Returns the command's exit status; 124 at the deadline, as timeout(1) does."""
        try:
            self.qemu.wait(limit)
        except subprocess.TimeoutExpired:
            print(f"lab: not done within {limit} s", file=sys.stderr)
            return 124
        try:
            with open(os.path.join(self.control, "exit"), encoding="ascii") as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            print("lab: it ended without an exit status:\n" + self.console_tail(), file=sys.stderr)
            return 125

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(3)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        subprocess.run(["umount", "-l", os.path.join(self.folder, "root")], stderr=subprocess.DEVNULL, check=False)
        root = os.path.join(self.folder, "root")
        # Never through a mount that is still there: this is the machine's own root.
        if not os.path.ismount(root):
            for path in glob.glob(root):
                os.rmdir(path)
            shutil.rmtree(self.folder, ignore_errors=True)
