"""The streams of the CRI (exec, attach, port-forward): a WebSocket client (RFC 6455) for the channel protocol of a kubelet's streaming server.

Each binary frame begins with the number of its channel. Exec and attach: 0 stdin, 1 stdout, 2 stderr, 3 the status as JSON, 4 the size of the
terminal as JSON. Port-forward: two channels a port, data and error; the first frame of each is the port's number.
"""

import base64
import json
import os
import socket
import struct
import urllib.parse

STDIN, STDOUT, STDERR, STATUS, SIZE = range(5)
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10


class StreamError(Exception):
    """The server refused or broke the connection."""


class Stream:
    """One connection. `taken` holds the bytes of each channel that nobody has waited for yet."""

    def __init__(self, url, protocol="v4.channel.k8s.io", seconds=20):
        parts = urllib.parse.urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=seconds)
        self._buffer = b""
        self.taken = {}
        self.closed = False
        key = base64.b64encode(os.urandom(16)).decode()
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise StreamError(head.decode(errors="replace"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()
        self.closed = True

    def _fill(self):
        part = self._socket.recv(65536)
        if not part:
            self.closed = True
            raise StreamError("the server closed the connection")
        self._buffer += part

    def _exactly(self, size):
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _frame(self):
        first, second = self._exactly(2)
        size = second & 127
        if size == 126:
            size = struct.unpack(">H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._exactly(8))[0]
        return first & 15, self._exactly(size)

    def _send_frame(self, kind, data):
        mask = os.urandom(4)
        size = struct.pack(">BB", 128 | kind, 128 | len(data)) if len(data) < 126 else \
            struct.pack(">BBH", 128 | kind, 128 | 126, len(data)) if len(data) < 65536 else struct.pack(">BBQ", 128 | kind, 128 | 127, len(data))
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(data))
        self._socket.sendall(size + mask + masked)

    def send(self, channel, data):
        data = data.encode() if isinstance(data, str) else data
        self._send_frame(_BINARY, bytes([channel]) + data)

    def resize(self, width, height):
        self.send(SIZE, json.dumps({"Width": width, "Height": height}))

    def step(self):
        """Takes one frame; False at the end of the connection."""
        try:
            kind, data = self._frame()
        except (StreamError, ConnectionResetError):
            self.closed = True
            return False
        if kind == _CLOSE:
            self.closed = True
        elif kind == _PING:
            self._send_frame(_PONG, data)
        elif kind != _PONG and data:
            self.taken[data[0]] = self.taken.get(data[0], b"") + data[1:]
        return not self.closed

    def wait_for(self, channel, text):
        """Reads until `text` came on the channel; returns what came up to it."""
        text = text.encode() if isinstance(text, str) else text
        while text not in self.taken.get(channel, b""):
            if not self.step():
                raise StreamError(f"the connection ended before {text!r} came: {self.taken}")
        before, found, self.taken[channel] = self.taken[channel].partition(text)
        return before + found

    def rest(self):
        """Reads to the end; returns {channel: bytes}."""
        while self.step():
            pass
        return self.taken

    def status(self):
        """Reads to the end; the exit code by the status channel, 0 without one."""
        text = self.rest().get(STATUS, b"")
        if not text:
            return 0
        status = json.loads(text)
        if status.get("status") == "Success":
            return 0
        for cause in status.get("details", {}).get("causes", []):
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise StreamError(status.get("message", str(status)))
