"""A client of the shim's own socket: ttRPC and protobuf as far as the task service needs them.

ctr and containerd check their callers' arguments themselves; what they would never send reaches a shim only this way.
"""

import json
import os
import socket

from kata_node import wire


def encode(fields):
    """A message from {field number: int | str | bytes | list of them}; empty values are left out, as proto3 does."""
    return wire.message(*((number, [value for value in (values if isinstance(values, list) else [values]) if value])
                          for number, values in fields.items()))


CODES = {0: "OK", 1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
         8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE"}


class Task:
    """One connection; call() returns (code name, message, fields of the answer)."""

    def __init__(self, address, timeout=30):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(timeout)
        stream.connect(address.removeprefix("unix://"))
        self.connection = wire.Connection(stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, method, fields):
        return self.connection.send("containerd.task.v2.Task", method, fields if isinstance(fields, bytes) else encode(fields))

    def receive(self):
        """The next answer that comes: (stream, code name, message, fields)."""
        stream, code, text, answer = self.connection.receive()
        return stream, CODES.get(code, str(code)), text, wire.decode(answer)

    def call(self, method, fields):
        stream = self.send(method, fields)
        answered, *answer = self.receive()
        assert answered == stream
        return answer


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
