"""A guest with our vsock device under QEMU TCG, for the tests and the measurements: starts, connects, stops, leaves nothing."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ECHO, SINK, SOURCE, CALL, SILENT, OFF = range(1024, 1030)


class Unavailable(Exception):
    """Something the lab needs is missing on this machine; the message says what."""


def build_guest(out):
    """Compiles the guest program and builds kernel and initrd with it into `out`. Returns (kernel, initrd)."""
    for tool in ("clang++-19", "strip"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    os.makedirs(out, exist_ok=True)
    program = os.path.join(out, "guest-init")
    source = os.path.join(REPO, "bench/vsock/guest.cpp")
    subprocess.run(["clang++-19", "-std=c++23", "-O2", "-static", "-s", "-o", program, source], check=True)
    built = subprocess.run([os.path.join(REPO, "image/build"), "--agent", program, "--out", out],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode != 0:
        raise Unavailable("the guest cannot be built here: " + built.stdout.strip().splitlines()[-1])
    return os.path.join(out, "vmlinux"), os.path.join(out, "kata-initrd.img")


def wait_until(condition, limit, what):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit} s")
        time.sleep(0.002)


class Guest:
    """One VM with its device process. A context manager; the folder with sockets and logs goes at the end."""

    def __init__(self, device, kernel, initrd, cid=4, cpus=1, peer=None):
        qemu = shutil.which("qemu-system-x86_64")
        if qemu is None:
            raise Unavailable("qemu-system-x86_64 is not installed")
        self.folder = tempfile.mkdtemp(prefix="kata-vsock-lab-")
        self.uds = os.path.join(self.folder, "vm.vsock")
        vhost_user = os.path.join(self.folder, "vhost-user.sock")
        self.log_path = os.path.join(self.folder, "device.log")
        if peer:
            command = [peer, "--guest-cid", str(cid), "--socket", vhost_user, "--uds-path", self.uds]
        else:
            command = [device, "--socket", vhost_user, "--uds", self.uds, "--cid", str(cid)]
        self.console = os.path.join(self.folder, "console.log")
        with open(self.log_path, "wb") as log:
            self.device = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: os.path.exists(vhost_user) and os.path.exists(self.uds), 5, "sockets of the device")
        self.started = time.monotonic()
        self.qemu = subprocess.Popen(
            [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M",
             "q35,memory-backend=mem", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(cpus), "-m", "512M",
             "-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-kernel", kernel, "-initrd", initrd,
             "-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check tsc=reliable",
             "-serial", f"file:{self.console}", "-chardev", f"socket,id=vs0,path={vhost_user}",
             "-device", "vhost-user-vsock-pci,chardev=vs0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.log_path, "ab"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.qemu, self.device):
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def dial(self, port, timeout=20.0):
        """One attempt: a connected socket, or None when nobody listens or nothing answers in `timeout` seconds."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(self.uds)
            connection.sendall(b"CONNECT %d\n" % port)
            line = b""
            while not line.endswith(b"\n"):
                byte = connection.recv(1)
                if not byte:
                    connection.close()
                    return None
                line += byte
        except (ConnectionError, TimeoutError):
            connection.close()
            return None
        if not line.startswith(b"OK "):
            raise AssertionError(f"answer to CONNECT: {line!r}")
        connection.settimeout(20)
        return connection

    def connect(self, port, limit=30.0):
        """Tries every 10 ms until somebody listens."""
        end = time.monotonic() + limit
        while True:
            connection = self.dial(port, 2)
            if connection is not None:
                return connection
            if self.device.poll() is not None or self.qemu.poll() is not None:
                raise AssertionError(f"device ({self.device.poll()}) or QEMU ({self.qemu.poll()}) ended: {self.log()}")
            if time.monotonic() > end:
                raise TimeoutError(f"guest port {port}: nobody listens after {limit} s; {self.log()}")
            time.sleep(0.01)


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
