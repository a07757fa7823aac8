"""A client of the shim's own socket: ttRPC and protobuf as far as the task service needs them.

ctr and containerd check their callers' arguments themselves; what they would never send reaches a shim only this way.
"""

import json
import os
import socket
import struct


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(fields):
    """A message from {field number: int | str | bytes | list of them}; empty values are left out, as proto3 does."""
    out = b""
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value) if value else b""
            elif value:
                data = value.encode() if isinstance(value, str) else value
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def decode(data):
    """{field number: [int | bytes]} of a message with varints and strings only."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 2:
            size = number()
            found.setdefault(key >> 3, []).append(data[at:at + size])
            at += size
        else:
            found.setdefault(key >> 3, []).append(number())
    return found


CODES = {0: "OK", 1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
         8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE"}


class Task:
    """One connection; call() returns (code name, message, fields of the answer)."""

    def __init__(self, address, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(address.removeprefix("unix://"))
        self.stream = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, fields):
        self.stream += 2
        payload = encode({1: "containerd.task.v2.Task", 2: method, 3: fields if isinstance(fields, bytes) else encode(fields)})
        self.socket.sendall(struct.pack(">IIBB", len(payload), self.stream, 1, 0) + payload)
        return self.stream

    def receive(self):
        """The next answer that comes: (stream, code name, message, fields)."""
        size, stream, _, _ = struct.unpack(">IIBB", self._exactly(10))
        answer = decode(self._exactly(size))
        status = decode(answer.get(1, [b""])[0])
        code = CODES.get(status.get(1, [0])[0], str(status.get(1)))
        return stream, code, status.get(2, [b""])[0].decode(errors="replace"), decode(answer.get(2, [b""])[0])

    def call(self, method, fields):
        stream = self.send(method, fields)
        answered, *answer = self.receive()
        assert answered == stream
        return answer

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the shim closed the connection")
            data += piece
        return data


def process(*arguments):
    """An Any with an OCI process, for an exec."""
    spec = {"args": list(arguments), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    return any_of("types.containerd.io/opencontainers/runtime-spec/1/Process", json.dumps(spec))


def any_of(url, value):
    return encode({1: url, 2: value})


def address_of(bundle):
    """Of the shim that serves a bundle, as containerd of either version knows it."""
    try:
        with open(os.path.join(bundle, "bootstrap.json"), encoding="utf-8") as file:
            return json.load(file)["address"]
    except OSError:
        with open(os.path.join(bundle, "address"), encoding="utf-8") as file:
            return file.read().strip()
