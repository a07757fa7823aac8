"""Runs a command with its output in a log file, telling every 30 seconds how long it has taken, and the end in one line."""

import os
import subprocess
import sys
import time


class Log:
    """Numbered logs of one run, kept in build/check so that a failure can be read again."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.durations = []

    def run(self, text, command, cwd, environment=None, limit=3600, quiet_failure=False):
        """Returns (exit status, output). A command over its `limit` in seconds is ended; its status is then 124."""
        path = os.path.join(self.folder, "".join(c if c.isalnum() else "-" for c in text) + ".log")
        started = time.monotonic()
        print(f"== {text}", flush=True)
        with open(path, "wb") as log:
            child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.STDOUT)
            try:
                status = self._wait(child, text, path, started, limit)
            except BaseException:
                child.terminate()
                child.wait()
                raise
        took = time.monotonic() - started
        self.durations.append((took, text))
        with open(path, encoding="utf-8", errors="replace") as log:
            output = log.read()
        if status and not quiet_failure:
            print("\n".join(output.rstrip().split("\n")[-60:]))
        print(f"   {'ok' if status == 0 else f'exit status {status}'} after {took:.1f} s (log {path})", flush=True)
        return status, output

    @staticmethod
    def _wait(child, text, path, started, limit):
        while True:
            try:
                return child.wait(30)
            except subprocess.TimeoutExpired:
                took = time.monotonic() - started
                if took > limit:
                    child.terminate()
                    try:
                        child.wait(10)
                    except subprocess.TimeoutExpired:
                        child.kill()
                        child.wait()
                    print(f"   ended: over its limit of {limit} s", file=sys.stderr)
                    return 124
                with open(path, "rb") as log:
                    log.seek(max(0, os.path.getsize(path) - 200))
                    last = log.read().decode("utf-8", "replace").strip().split("\n")[-1]
                print(f"   {text}: {took:.0f} s so far: {last[:100]}", flush=True)
