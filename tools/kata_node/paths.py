"""Where things lie: the work tree, its build output, the cache. The environment overrides: KATA_BIN, KATA_GUEST, KATA_CPP_CACHE."""

import os

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What the release build makes for the node and the guest.
PROGRAMS = ("containerd-shim-kata-v2", "kata-agent", "kata-vsock-device")


def binaries():
    return os.environ.get("KATA_BIN") or os.path.join(REPO, "build/release/bin")


def guest():
    return os.environ.get("KATA_GUEST") or os.path.join(REPO, "build/guest")


def cache():
    home_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("KATA_CPP_CACHE") or os.path.join(home_cache, "kata-cpp")
