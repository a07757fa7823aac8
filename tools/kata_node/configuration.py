"""Writes a kata configuration for the binaries and the guest of this work tree."""

import os
import shutil

# Debian 12's QEMU package has the C virtiofsd, Debian 13 the Rust one of its own package.
VIRTIOFSD_PLACES = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")


def virtiofsd():
    return next((path for path in VIRTIOFSD_PLACES if os.access(path, os.X_OK)), VIRTIOFSD_PLACES[0])


def defaults(guest):
    """The keys of each table, as {table: {key: value}}; a test changes what it is about."""
    return {
        "hypervisor.qemu": {
            "path": shutil.which("qemu-system-x86_64") or "/usr/bin/qemu-system-x86_64",
            "kernel": os.path.join(guest, "vmlinux"),
            "initrd": os.path.join(guest, "kata-initrd.img"),
            "machine_type": "q35",
            "default_vcpus": 1,
            "default_memory": 256,
            "reclaim_guest_freed_memory": True,
            "shared_fs": "virtio-fs",
            "virtio_fs_daemon": virtiofsd(),
            "enable_annotations": ["default_memory", "default_vcpus", "kernel_params"],
        },
        "agent.kata": {"dial_timeout_ms": 10, "reconnect_timeout_ms": 30000, "create_container_timeout": 30},
        "runtime": {"name": "virt_container", "hypervisor_name": "qemu", "agent_name": "kata", "enable_debug": True,
                    "static_sandbox_resource_mgmt": True, "sandbox_cgroup_only": True},
    }


def _literal(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(value) if isinstance(value, (int, float)) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write(path, tables):
    with open(path, "w", encoding="utf-8") as file:
        for table, keys in tables.items():
            file.write(f"[{table}]\n" + "".join(f"{key} = {_literal(value)}\n" for key, value in keys.items()) + "\n")
    return path
