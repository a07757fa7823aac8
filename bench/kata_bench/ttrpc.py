"""A client of the guest agent that is as small as can be: ttRPC over the pod's hybrid vsock socket, messages encoded by field number.

Used as the floor of what goes through containerd and the shim, and to look into the guest.
"""

import socket

from kata_node.wire import Connection, fields, message

AGENT_PORT = 1024


class RpcError(Exception):
    """The agent answered with an error status, or not at all."""


def connect(address, port, timeout):
    """A connected stream to a guest port, or None if nobody listens there (yet).

    `address`: path of a hybrid socket, or the guest's CID where the host's kernel has vhost-vsock.
    """
    stream = socket.socket(socket.AF_VSOCK if isinstance(address, int) else socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        if isinstance(address, int):
            stream.connect((address, port))
            return stream
        stream.connect(address)
        stream.sendall(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            byte = stream.recv(1)
            if not byte:
                raise ConnectionError("closed before OK")
            line += byte
        if line.startswith(b"OK"):
            return stream
    except OSError:
        pass
    stream.close()
    return None


class Agent:
    """One connection; calls one at a time. Close it, or use it as a context manager."""

    def __init__(self, address, timeout=30):
        stream = connect(address, AGENT_PORT, timeout)
        if not stream:
            raise RpcError(f"no agent answers through {address}")
        self._connection = Connection(stream)

    def call(self, method, payload=b"", service="grpc.AgentService"):
        """Returns the fields of the answer."""
        sent, answered = self._connection.send(service, method, payload, 30_000_000_000), None
        while answered != sent:
            try:
                answered, code, text, answer = self._connection.receive()
            except ConnectionError as error:
                raise RpcError(str(error)) from error
        if code:
            raise RpcError(f"{method}: code {code}: {text}")
        return fields(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


# --- messages of the agent's API that the measurements use (agent.proto, oci.proto) ------------------------------------------

_CAPABILITIES = ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYSLOG"]


def process(*args):
    """OCI process of root in /, with what it takes to read other processes' files."""
    capabilities = message(*[(number, _CAPABILITIES) for number in (1, 2, 4)])
    return message((3, message((1, 0))), (4, list(args)), (5, ["PATH=/bin:/usr/bin"]), (6, "/"), (7, capabilities))


def execute(agent, container, exec_id, *args):
    """ExecProcess, then WaitProcess; returns the exit status."""
    agent.call("ExecProcess", message((1, container), (2, exec_id), (4, process(*args))))
    return agent.call("WaitProcess", message((1, container), (2, exec_id))).get(1, 0)


def output_in_guest(agent, rootfs, command, name):
    """What a program prints in a container of its own that has the guest's /proc by a bind mount."""
    mount = message((1, "/proc"), (2, "/proc"), (3, "bind"), (4, ["rbind", "ro"]))
    namespaces = [message((1, kind)) for kind in ("mount", "ipc", "uts")]
    spec = message((1, "1.0.2"), (2, process(*command)), (3, message((1, rootfs), (2, 0))), (5, mount),
                   (8, message((5, f"/{name}"), (6, namespaces))))
    agent.call("CreateContainer", message((1, name), (2, name), (6, spec)))
    try:
        agent.call("StartContainer", message((1, name)))
        data = b""
        while True:
            try:
                piece = agent.call("ReadStdout", message((1, name), (2, name), (3, 32768))).get(1, b"")
            except RpcError:
                break  # the end of the stream is an error by contract
            if not piece:
                break
            data += piece
        agent.call("WaitProcess", message((1, name), (2, name)))
        return data.decode(errors="replace")
    finally:
        agent.call("RemoveContainer", message((1, name)))
