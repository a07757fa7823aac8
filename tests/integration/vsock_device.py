#!/usr/bin/env python3
"""kata-vsock-device with a real Linux guest under QEMU TCG. usage: tests/integration/vsock_device.py DEVICE

Exits 77 with the reason when QEMU or the guest's kernel is not here.
"""

import hashlib
import os
import socket
import struct
import sys
import tempfile
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "bench/vsock"))
sys.dont_write_bytecode = True
import lab  # noqa: E402


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            break
        data += part
    return bytes(data)


def read_to_end(connection):
    data = bytearray()
    while part := connection.recv(65536):
        data += part
    return bytes(data)


def held_connection(guest):
    """A connection made before the guest boots is answered by the guest: accepted or refused, at the first moment."""
    started = time.monotonic()
    connection = guest.dial(lab.ECHO, 120)
    waited = time.monotonic() - started
    check(waited > 0.1, f"answered after {waited:.3f} s, before there was a guest")
    if connection:
        connection.close()


def echo_whole(guest):
    data = os.urandom(3 << 20)
    connection = guest.connect(lab.ECHO)
    writer = threading.Thread(target=connection.sendall, args=(data,))
    writer.start()
    back = read_exactly(connection, len(data))
    writer.join()
    check(hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), "the echo differs from what was sent")
    connection.close()


def half_close(guest):
    connection = guest.connect(lab.SINK)
    connection.sendall(struct.pack("<Q", 0) + b"y" * 1_000_000)
    connection.shutdown(socket.SHUT_WR)
    check(read_to_end(connection) == struct.pack("<Q", 1_000_000), "the answer after a half close is lost or wrong")
    connection.close()


def guest_calls_host(guest):
    path = f"{guest.uds}_5000"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)
        connection = guest.connect(lab.CALL)
        connection.sendall(struct.pack("<I", 5000))
        peer = listener.accept()[0]
        peer.settimeout(20)
        connection.sendall(b"to the host")
        check(read_exactly(peer, 11) == b"to the host", "bytes from the guest's own connection")
        peer.sendall(b"to the guest")
        peer.shutdown(socket.SHUT_WR)
        check(read_to_end(connection) == b"to the guest", "bytes to the guest's own connection, then end of file")
        connection.sendall(b" and more")
        connection.shutdown(socket.SHUT_WR)
        check(read_to_end(peer) == b" and more", "the other direction stays open")
        peer.close()
        connection.close()
    os.unlink(path)
    connection = guest.connect(lab.CALL)
    connection.sendall(struct.pack("<I", 5001))
    check(read_to_end(connection) == b"no listener\n", "a port nobody listens on is refused")
    connection.close()


def many_streams(guest):
    connections = [guest.connect(lab.ECHO) for _ in range(300)]
    for number, connection in enumerate(connections):
        connection.sendall(struct.pack("<I", number) * 2500)
    for number, connection in enumerate(connections):
        check(read_exactly(connection, 10_000) == struct.pack("<I", number) * 2500, f"stream {number} is mixed up")
    for connection in connections:
        connection.close()


def stuck_stream_harms_nobody(guest):
    stuck = guest.connect(lab.SILENT)
    stuck.settimeout(0.5)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += stuck.send(b"z" * 65536)
    except TimeoutError:
        pass
    check(sent < 4 << 20, f"a guest that does not read took {sent} bytes")
    unread = guest.connect(lab.SOURCE)
    unread.sendall(struct.pack("<Q", 1 << 30))
    echo_whole(guest)
    unread.close()
    stuck.close()


def nothing_listens(guest):
    check(guest.dial(9999) is None, "a port nobody listens on is closed without a text")


def all_streams_end(guest):
    """Every connection of the tests before is closed: the device is back at its few descriptors."""
    folder = f"/proc/{guest.device.pid}/fd"
    lab.wait_until(lambda: len(os.listdir(folder)) < 24, 15, f"descriptors of ended streams ({len(os.listdir(folder))} open)")


def confined(guest):
    with open(f"/proc/{guest.device.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    check(status["Seccomp"].strip() == "2", "no seccomp filter")
    check(status["NoNewPrivs"].strip() == "1", "no_new_privs is not set")
    check(int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, "capabilities are left")


def ends_with_the_vm(guest):
    guest.connect(lab.OFF).close()
    guest.qemu.wait(20)
    check(guest.device.wait(2) == 0, f"exit code {guest.device.returncode}: {guest.log()}")
    check(not os.path.exists(guest.uds), "its socket is left behind")


def main(device):
    tests = (held_connection, confined, echo_whole, half_close, guest_calls_host, many_streams, stuck_stream_harms_nobody,
             nothing_listens, all_streams_end, ends_with_the_vm)
    with tempfile.TemporaryDirectory(prefix="kata-vsock-test-") as folder:
        kernel, initrd = lab.build_guest(folder)
        with lab.Guest(device, kernel, initrd) as guest:
            for test in tests:
                started = time.monotonic()
                try:
                    test(guest)
                except Exception as error:
                    print(f"FAIL {test.__name__}: {type(error).__name__}: {error}\n{guest.log()}")
                    return 1
                print(f"ok   {test.__name__} {time.monotonic() - started:.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except lab.Unavailable as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(77)
