"""Protobuf and ttRPC on the wire, as far as tests and measurements need them: fields by number, no generated code."""

import struct

_REQUEST, _RESPONSE = 1, 2
_WIRE_VARINT, _WIRE_BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*fields):
    """Encodes (number, value) pairs: int → varint, str or bytes → length-delimited; lists repeat the field."""
    out = b""
    for number, value in fields:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                out += varint(number << 3 | _WIRE_VARINT) + varint(item)
            else:
                data = item.encode() if isinstance(item, str) else item
                out += varint(number << 3 | _WIRE_BYTES) + varint(len(data)) + data
    return out


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def decode(data):
    """{number: [values]} of a message of varints, fixed numbers and length-delimited fields."""
    found, at = {}, 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _WIRE_VARINT:
            value, at = _read_varint(data, at)
        else:
            length = _FIXED.get(kind)
            if length is None:
                length, at = _read_varint(data, at)
            value, at = data[at:at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


def fields(data):
    """{number: last value}."""
    return {number: values[-1] for number, values in decode(data).items()}


class Connection:
    """The client's end of a ttRPC connection over a connected socket, which it owns."""

    def __init__(self, stream):
        self.stream = stream
        self._id = -1

    def send(self, service, method, payload, timeout_nanos=0):
        """Sends a request; returns the id that its answer will have."""
        self._id += 2
        head = [(1, service), (2, method), (3, payload)]
        request = message(*head, *([(4, timeout_nanos)] if timeout_nanos else []))
        self.stream.sendall(struct.pack(">IIBB", len(request), self._id, _REQUEST, 0) + request)
        return self._id

    def receive(self):
        """The next answer that comes: (id, status code, message, payload). ConnectionError when the other side has closed."""
        while True:
            length, answered, kind, _ = struct.unpack(">IIBB", self._exactly(10))
            data = self._exactly(length)
            if kind == _RESPONSE:
                break
        answer = fields(data)
        status = fields(answer.get(1, b""))
        return answered, status.get(1, 0), status.get(2, b"").decode(errors="replace"), answer.get(2, b"")

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            piece = self.stream.recv(length - len(data))
            if not piece:
                raise ConnectionError("the other side closed the connection")
            data += piece
        return data

    def close(self):
        self.stream.close()
