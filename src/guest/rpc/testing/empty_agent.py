#!/usr/bin/env python3
"""The tests against an agent that answers empty success to everything: at least 95 % of them must fail.

Without KATA_AGENT_SERVER_ADDR: empty_agent.py TEST_PROGRAM... runs the check. With it: serves, as the fixture starts an agent.
"""

import os
import re
import socket
import struct
import subprocess
import sys
import threading

MUST_FAIL = 0.95
# A test that does not end has not passed either.
LIMIT_SECONDS = 12
# ttRPC: length, stream id, type, flags; a response without any field is success with an empty payload.
HEADER = struct.Struct(">IIBB")
RESPONSE = 2


def receive(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def answer(connection):
    try:
        while True:
            length, stream, _, _ = HEADER.unpack(receive(connection, HEADER.size))
            receive(connection, length)
            connection.sendall(HEADER.pack(0, stream, RESPONSE, 0))
    except (EOFError, OSError):
        connection.close()


def serve(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    print("agent listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def run(program, test, environment):
    """One process each: a test may rely on what an agent must answer, and wait or end badly without."""
    try:
        done = subprocess.run([program, f"--gtest_filter={test}"], capture_output=True, text=True, env=environment, timeout=LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "failed"
    if done.returncode != 0:
        return "failed"
    return "skipped" if "[  SKIPPED ]" in done.stdout else "passed"


def check(programs):
    environment = dict(os.environ, KATA_AGENT_PROGRAM=os.path.abspath(__file__))
    passed, failed, skipped = [], [], []
    for program in programs:
        names = subprocess.run([program, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
        for suite, body in re.findall(r"^(\w+\.)\n((?:  .*\n)+)", names, re.MULTILINE):
            for test in body.split():
                verdict = run(program, suite + test, environment)
                {"failed": failed, "passed": passed, "skipped": skipped}[verdict].append(suite + test)
    print(f"{len(failed)} failed as they must, {len(passed)} passed: {passed}, {len(skipped)} skipped")
    if not failed and not passed:
        return 0
    return 0 if len(failed) >= MUST_FAIL * (len(failed) + len(passed)) else 1


if __name__ == "__main__":
    address = os.environ.get("KATA_AGENT_SERVER_ADDR")
    if address:
        serve(address.removeprefix("unix://"))
    sys.exit(check(sys.argv[1:]))
