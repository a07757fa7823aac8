"""The boot floor: QEMU with the very arguments that a running pod's QEMU has, from its exec to the first OK on the agent's port.

virtiofsd and the vsock device are started the same way as the pod's, and are up before the clock starts: nothing of shim and
containerd is part of it. No runtime that boots this guest can be faster.
"""

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time

from . import pod, ttrpc

BOOT_SECONDS = 120
_RETRY_SECONDS = 0.005
# The kernel parameters that the first version of the QEMU driver gave an emulated guest.
_FIRST_PARAMETERS = "reboot=t panic=-1 no_timer_check tsc=reliable"


class BootFloor:
    """Taken from a running pod; run() can be called when the pod is gone, as often as wanted, also in threads."""

    def __init__(self, sample):
        self._qemu = pod.command_line(sample.process("^qemu-system"))
        self._virtiofsd = pod.command_line(sample.process("^virtiofsd"))
        self._run_dir = os.path.dirname(socket_of(self._qemu, "vhost-user-fs"))
        self._device = None  # with vhost-vsock there is no process
        if not isinstance(sample.guest_address, int):
            self._device = pod.command_line(sample.process("vsock"))
        self._share = shared_folder(self._virtiofsd)
        if re.search(r"\b(fds|vhostfds)=", " ".join(self._qemu)):
            raise pod.BenchError("the boot floor knows no network devices: their descriptors cannot be taken over")

    @property
    def command(self):
        return self._qemu

    @property
    def emulated(self):
        return not pod.option(self._qemu, "-accel").startswith("kvm")

    def first_version(self):
        """The same boot with the arguments of the driver's first version: no qboot, CPU as it is, nothing left out."""
        other = object.__new__(BootFloor)
        other.__dict__.update(self.__dict__)
        words = list(self._qemu)
        if "-bios" in words:
            at = words.index("-bios")
            del words[at:at + 2]
        words[words.index("-cpu") + 1] = "max"
        machine = words.index("-machine") + 1
        words[machine] = words[machine].replace("i8042=off", "graphics=off")
        append = words.index("-append") + 1
        ours = [word for word in words[append].split() if re.match(r"agent\.|systemd\.|console=|quiet", word)]
        words[append] = " ".join([_FIRST_PARAMETERS, *ours])
        other._qemu = words
        return other

    def run(self):
        """Boots once; returns the seconds. Nothing is left."""
        with self.booted() as (took, _):
            return took

    def memory(self, idle_seconds):
        """{part: KiB} of such a guest that has been idle for so long: what the VMM costs without shim and containers."""
        with self.booted() as (_, children):
            time.sleep(idle_seconds)
            return {os.path.basename(child.args[0]): pod.memory(child.pid) for child in children}

    @contextlib.contextmanager
    def booted(self):
        """The seconds that a boot took, and its processes while it runs. Nothing is left."""
        folder = tempfile.mkdtemp(prefix="kata-floor.")
        children, sockets = [], []
        try:
            started = self._boot(folder, children, sockets)
            yield time.monotonic() - started, children
        finally:
            pod.end(reversed(children))
            for one in sockets:
                one.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _boot(self, folder, children, sockets):
        """Returns when QEMU was started; the agent listens by now."""
        share = os.path.join(folder, "share")
        os.mkdir(share)

        def moved(words):
            words = [word.replace(self._share, share) if self._share else word for word in words]
            return [word.replace(self._run_dir, folder) for word in words]

        qemu = moved(self._qemu)
        children.append(start_helper(moved(self._virtiofsd), socket_of(qemu, "vhost-user-fs"), sockets))
        if self._device:
            device = moved(self._device)
            children.append(start_helper(device, socket_of(qemu, "vhost-user-vsock"), sockets))
            address = pod.option(device, "--uds", "--uds-path")
            _wait_for_file(address, children)
        else:
            address = random.randrange(1 << 20, 1 << 31)
            qemu = [re.sub(r"guest-cid=\d+", f"guest-cid={address}", word) for word in qemu]
        started = time.monotonic()
        children.append(_start_qemu(qemu, sockets))
        _wait_for_agent(address, children)
        return started


def shared_folder(virtiofsd):
    """What a virtiofsd of this command line exports; None if it does not say."""
    # The C one has source=DIR among its -o options, the Rust one --shared-dir DIR.
    match = re.search(r"(?:source=|--shared-dir[= ])(/[^, ]*)", " ".join(virtiofsd))
    return match[1] if match else None


def start_helper(words, path, sockets):
    """Starts a helper that listens on `path`: by an inherited descriptor if the pod's had one, else it makes the socket itself."""
    inherited = [index for index, word in enumerate(words) if re.fullmatch(r"--fd(=\d+)?", word)]
    passed = []
    if inherited:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        sockets.append(listener)
        passed = [listener.fileno()]
        at = inherited[0]
        if words[at] == "--fd":
            words[at + 1] = str(passed[0])
        else:
            words[at] = f"--fd={passed[0]}"
    child = subprocess.Popen(words, pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not inherited:
        _wait_for_file(path, [child])
    return child


def socket_of(qemu, device):
    """Path of the socket of a vhost-user device in QEMU's arguments."""
    chardev = next(re.search(r"chardev=([^,]+)", word)[1] for word in qemu if word.startswith(device))
    return next(re.search(r"path=([^,]+)", word)[1] for word in qemu if word.startswith(f"socket,id={chardev},"))


def _start_qemu(words, sockets):
    """Monitor and console get sockets of ours in place of the shim's descriptors."""
    passed = []

    def replace(_):
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sockets.extend((ours, theirs))
        passed.append(theirs.fileno())
        return f"fd={theirs.fileno()}"

    def open_vhost(_):
        device = open("/dev/vhost-vsock", "r+b", buffering=0)  # closed by booted() with the sockets
        sockets.append(device)
        passed.append(device.fileno())
        return f"vhostfd={device.fileno()}"

    words = [re.sub(r"\bfd=\d+", replace, word) if word.startswith("socket,") else word for word in words]
    words = [re.sub(r"\bvhostfd=\d+", open_vhost, word) if word.startswith("vhost-vsock") else word for word in words]
    return subprocess.Popen(words, pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _check_alive(children):
    for child in children:
        if child.poll() is not None:
            raise pod.BenchError(f"boot floor: {os.path.basename(child.args[0])} ended with {child.returncode}: {' '.join(child.args)}")


def _wait_for_file(path, children):
    deadline = time.monotonic() + 10
    while not os.path.exists(path):
        _check_alive(children)
        if time.monotonic() > deadline:
            raise pod.BenchError(f"boot floor: no socket {path} after 10 s")
        time.sleep(0.002)  # before the clock starts


def _wait_for_agent(address, children):
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        stream = ttrpc.connect(address, ttrpc.AGENT_PORT, BOOT_SECONDS)
        if stream:
            stream.close()
            return
        _check_alive(children)
        if time.monotonic() > deadline:
            raise pod.BenchError(f"boot floor: the guest did not answer within {BOOT_SECONDS} s")
        time.sleep(_RETRY_SECONDS)
