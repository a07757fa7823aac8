"""Rows about throughput: a container's stdout and stdin through containerd against raw vsock streams of the same guest."""

import os
import select
import socket
import subprocess
import time

from . import pod, stats

MIB = 256
_BLOCK = 65536
_SECONDS = 120
GOAL = (">=", 0.6)
_PORT = 5000
_HELPER = "/bench/vsock_pipe"


def build_helper(folder):
    """Compiles the guest's side of a raw stream, static, into a folder of its own; returns that folder."""
    target = os.path.join(folder, "guest-helper")
    os.makedirs(target, exist_ok=True)
    source = os.path.join(pod.REPO, "bench/guest/vsock_pipe.cpp")
    subprocess.run(["clang++-19", "-std=c++23", "-O2", "-static", "-s", "-o", os.path.join(target, "vsock_pipe"), source], check=True)
    return target


def flags(helper):
    """Flags of `ctr run` that put the helper into the container."""
    return ("--mount", f"type=bind,src={helper},dst=/bench,options=rbind:ro")


class _Listener:
    """Takes the one connection that the guest makes to a host port: with a hybrid socket that is `<socket>_<port>`."""

    def __init__(self, address, port):
        self._path = None if isinstance(address, int) else f"{address}_{port}"
        self._socket = socket.socket(socket.AF_UNIX if self._path else socket.AF_VSOCK, socket.SOCK_STREAM)
        self._socket.bind(self._path or (socket.VMADDR_CID_ANY, port))
        self._socket.listen(1)
        self._socket.settimeout(_SECONDS)

    def accept(self):
        stream, _ = self._socket.accept()
        stream.settimeout(_SECONDS)
        return stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        if self._path:
            os.unlink(self._path)


def _drain(fd, expected):
    """Reads to the end; returns the seconds from the first byte to the end. Both sides of a comparison use this very loop."""
    started, total = None, 0
    buffer = bytearray(1 << 20)
    while True:
        if not select.select([fd], [], [], _SECONDS)[0]:
            raise pod.BenchError(f"stream stopped after {total} of {expected} bytes")
        got = os.readv(fd, [buffer])
        if not got:
            break
        started = started or time.monotonic()
        total += got
    if total != expected:
        raise pod.BenchError(f"{total} bytes came instead of {expected}")
    return time.monotonic() - started


def _dd(mib):
    return ["dd", "if=/dev/zero", "bs=64k", f"count={mib * 16}"]


def _finish(child):
    _, err = child.communicate(timeout=_SECONDS)
    if child.returncode:
        raise pod.BenchError(f"ctr {' '.join(child.args[5:])} ended with {child.returncode}: {err.decode(errors='replace').strip()}")


def _container_out(sample, mib):
    with sample.subject.popen(sample.exec_words(*_dd(mib))) as child:
        took = _drain(child.stdout.fileno(), mib << 20)
        _finish(child)
    return took


def _raw_out(sample, port, mib, command):
    with _Listener(sample.guest_address, port) as listener, sample.subject.popen(sample.exec_words("sh", "-c", command)) as child:
        with listener.accept() as stream:
            took = _drain(stream.fileno(), mib << 20)
        _finish(child)
    return took


def stdout(sample, n, progress, mib=MIB):
    """dd to the container's stdout; the same dd piped into a raw stream; dd with the raw stream as its stdout."""
    own, piped, direct = [], [], []
    dd = " ".join(_dd(mib))
    for number in range(n):
        port = _PORT + 2 * number
        piped.append(_raw_out(sample, port, mib, f"{dd} 2>/dev/null | {_HELPER} out {port}"))
        direct.append(_raw_out(sample, port + 1, mib, f"{_HELPER} exec {port + 1} {dd} 2>/dev/null"))
        own.append(_container_out(sample, mib))
        progress(f"stdout {number + 1}/{n}")
    return [stats.rate_ratio("stdout.ratio", own, piped, mib, GOAL, f"{mib / stats.median(own):.0f} MiB/s; floor: the raw stream, MiB/s", may_exceed=True),
            stats.rate_ratio("stdout.direct_ratio", own, direct, mib, None, "against dd that writes into the raw stream itself")]


def _send(write, mib):
    block = bytes(_BLOCK)
    for _ in range(mib << 20 >> 16):
        left = memoryview(block)
        while left:
            left = left[write(left):]


def _read_word(pipe, word):
    line = b""
    while word not in line:
        if not select.select([pipe], [], [], _SECONDS)[0]:
            raise pod.BenchError(f"no '{word.decode()}' from the container within {_SECONDS} s, only {line!r}")
        piece = os.read(pipe.fileno(), 4096)
        if not piece:
            raise pod.BenchError(f"the container ended before '{word.decode()}', after {line!r}")
        line += piece


def _container_in(sample, mib):
    words = sample.exec_words("sh", "-c", "echo ready; dd of=/dev/null bs=64k 2>/dev/null; echo done")
    with sample.subject.popen(words, stdin=subprocess.PIPE) as child:
        _read_word(child.stdout, b"ready")
        started = time.monotonic()
        _send(lambda data: os.write(child.stdin.fileno(), data), mib)
        child.stdin.close()
        _read_word(child.stdout, b"done")
        took = time.monotonic() - started
        child.stdin = None
        _finish(child)
    return took


def _raw_in(sample, port, mib):
    command = f"{_HELPER} in {port} | dd of=/dev/null bs=64k 2>/dev/null; echo done"
    with _Listener(sample.guest_address, port) as listener, sample.subject.popen(sample.exec_words("sh", "-c", command)) as child:
        with listener.accept() as stream:
            started = time.monotonic()
            _send(stream.send, mib)
            stream.shutdown(socket.SHUT_WR)
            _read_word(child.stdout, b"done")
            took = time.monotonic() - started
        _finish(child)
    return took


def stdin(sample, n, progress, mib=MIB):
    own, raw = [], []
    for number in range(n):
        raw.append(_raw_in(sample, _PORT + 1000 + number, mib))
        own.append(_container_in(sample, mib))
        progress(f"stdin {number + 1}/{n}")
    return [stats.rate_ratio("stdin.ratio", own, raw, mib, GOAL, f"{mib / stats.median(own):.0f} MiB/s; floor: the raw stream, MiB/s", may_exceed=True)]
