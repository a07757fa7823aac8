"""Rows about the ways of a pod's data beside disks: TCP through its tap, small files on its share; each beside a bare QEMU."""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading

from . import bare, floor, pod

GOAL = (">=", 0.95)
FILES = 5000
TCP_SECONDS = 2
_SHARED_MEMORY = ("-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-machine", "memory-backend=mem")
_POD, _NODE = "10.76.1.2", "10.76.1.1"


def _qemu_of(subject):
    with subject.pod() as sample:
        return pod.command_line(sample.process("^qemu-system")), pod.command_line(sample.process("^virtiofsd"))


def files(subject, n, progress):
    """Small files of a volume ÷ the same on a bare virtiofsd with the pod's flags."""
    helper = bare.build_helper(subject.folder, "work")
    qemu, daemon = _qemu_of(subject)
    source = floor.shared_folder(daemon)
    device = next(word for word in qemu if word.startswith("vhost-user-fs"))
    queue = next((word for word in device.split(",") if word.startswith("queue-size=")), "queue-size=1024")
    guest = bare.BareGuest(subject.folder, os.path.join(helper, "work"), qemu, ["virtiofs"], f"/work files /mnt {FILES}",
                           ["/bin/busybox mount -t virtiofs bench /mnt"])
    own, raw = [], []
    for number in range(n):
        with tempfile.TemporaryDirectory(dir=subject.folder) as folder, contextlib.ExitStack() as stack:
            share = os.path.join(folder, "share")
            os.mkdir(share)
            path, sockets = os.path.join(folder, "fs.sock"), []
            moved = [word.replace(source, share).replace(floor.socket_of(qemu, "vhost-user-fs"), path) for word in daemon]
            child = floor.start_helper(moved, path, sockets)
            stack.callback(lambda: pod.end([child]))
            stack.callback(lambda: [one.close() for one in sockets])
            raw.append(guest.run("-chardev", f"socket,id=fs,path={path}", "-device",
                                 f"vhost-user-fs-pci,chardev=fs,tag=bench,{queue}", memory=_SHARED_MEMORY))
            flags = ("--rm", "--mount", f"type=bind,src={helper},dst=/bench,options=rbind:ro", "--mount",
                     f"type=bind,src={share},dst=/data,options=rbind:rw")
            own.append(bare.parse(subject.run("/bench/work", "files", "/data", str(FILES), flags=flags)[2].decode()))
        progress(f"small files {number + 1}/{n}")
    return [bare.ratio("share.ratio", [a for a, _ in own], [a for a, _ in raw], "files a second", GOAL)]


class _Peer:
    """A pod's network namespace with a veth to the node's own, and a TCP peer at the node's end."""

    def __init__(self, name):
        self.netns, self._link = name, f"kb{os.getpid() % 100000}"

    def _ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def _inside(self, *words):
        subprocess.run(["ip", "netns", "exec", self.netns, *words], check=True)

    def __enter__(self):
        self._ip("netns", "add", self.netns)
        try:
            self._ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
            self._ip("addr", "add", _NODE + "/24", "dev", self._link)
            self._ip("link", "set", self._link, "up")
            self._inside("ip", "addr", "add", _POD + "/24", "dev", "eth0")
            self._inside("ip", "link", "set", "eth0", "up")
            self._server = socket.create_server((_NODE, 0))
        except BaseException:
            self._remove()
            raise
        threading.Thread(target=self._serve, daemon=True).start()
        self.port = self._server.getsockname()[1]
        return self

    def __exit__(self, *_):
        self._server.close()
        self._remove()

    def _remove(self):
        # The other end of the veth goes with the namespace, but not at once.
        subprocess.run(["ip", "link", "del", self._link], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "netns", "del", self.netns], check=False)

    def _serve(self):
        """Takes all of one connection, sends on the next one until the guest closes it, and so on."""
        buffer = bytearray(1 << 20)
        while True:
            try:
                with self._server.accept()[0] as first:
                    while first.recv_into(buffer):
                        pass
                with self._server.accept()[0] as second:
                    while True:
                        second.sendall(buffer)
            except (ConnectionResetError, BrokenPipeError):
                continue
            except OSError:
                return  # the listener is closed

    @contextlib.contextmanager
    def wired_tap(self):
        """A tap wired to the pod's link as the shim does it; its MAC is the link's."""
        self._inside("ip", "tuntap", "add", "bare0", "mode", "tap")
        try:
            self._inside("ip", "link", "set", "bare0", "up")
            for link, other in (("eth0", "bare0"), ("bare0", "eth0")):
                self._inside("tc", "qdisc", "add", "dev", link, "ingress")
                self._inside("tc", "filter", "add", "dev", link, "parent", "ffff:", "protocol", "all", "u32", "match", "u8", "0", "0", "action",
                             "mirred", "egress", "redirect", "dev", other)
            listing = subprocess.run(["ip", "netns", "exec", self.netns, "cat", "/sys/class/net/eth0/address"], stdout=subprocess.PIPE, text=True,
                                     check=True)
            yield listing.stdout.strip()
        finally:
            subprocess.run(["ip", "netns", "exec", self.netns, "tc", "qdisc", "del", "dev", "eth0", "ingress"], check=False)
            subprocess.run(["ip", "netns", "exec", self.netns, "ip", "link", "del", "bare0"], check=False)


def tcp(subject, n, progress):
    """TCP between guest and node ÷ the same from a bare QEMU on a tap that is wired the same way."""
    helper = bare.build_helper(subject.folder, "work")
    qemu, _ = _qemu_of(subject)
    own, raw = [], []
    with _Peer(f"{subject.prefix}-tcp") as peer:
        guest = bare.BareGuest(subject.folder, os.path.join(helper, "work"), qemu, ["virtio_net"],
                               f"/work tcp {_NODE} {peer.port} {TCP_SECONDS}",
                               [f"/bin/busybox ip addr add {_POD}/24 dev eth0", "/bin/busybox ip link set eth0 up"])
        flags = ("--rm", "--with-ns", f"network:/run/netns/{peer.netns}", "--mount", f"type=bind,src={helper},dst=/bench,options=rbind:ro")
        vhost = ",vhost=on" if os.path.exists("/dev/vhost-net") else ""
        for number in range(n):
            with peer.wired_tap() as mac:
                raw.append(guest.run("-netdev", f"tap,id=n,ifname=bare0,script=no,downscript=no{vhost}", "-device",
                                     f"virtio-net-pci,netdev=n,mac={mac},disable-legacy=on,romfile=",
                                     wrapper=("ip", "netns", "exec", peer.netns)))
            own.append(bare.parse(subject.run("/bench/work", "tcp", _NODE, str(peer.port), str(TCP_SECONDS), flags=flags)[2].decode()))
            progress(f"TCP through the tap {number + 1}/{n}")
    both = [[sent + received for sent, received in figures] for figures in (own, raw)]
    return [bare.ratio("tcp.ratio", *both, "MB/s sent and received", GOAL)]
