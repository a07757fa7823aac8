"""The time that a bare QEMU needs to bring the same kernel to its first program: what no runtime on this machine can beat.

The program is a few instructions that end QEMU through its debug-exit port, so that no console and no device is part of it.
"""

import os
import subprocess
import sys
import time

from . import paths

# Kept in step with what the QEMU driver puts on the command line under TCG.
KERNEL_PARAMETERS = ("panic=-1 quiet nokaslr mitigations=off no_timer_check tsc=reliable cryptomgr.notests random.trust_cpu=on "
                     "rcupdate.rcu_expedited=1 initcall_blacklist=jent_mod_init,load_system_certificate_list,trace_eval_init")

_INIT = """.globl _start
_start:
 mov $173, %eax     # ioperm(0xf4, 8, 1)
 mov $0xf4, %edi
 mov $8, %esi
 mov $1, %edx
 syscall
 mov $1, %eax
 outb %al, $0xf4    # isa-debug-exit: QEMU ends with status 3
wait: jmp wait
"""


def prepare(folder):
    """Builds an initrd whose /init ends QEMU at once; returns its path."""
    source, program = os.path.join(folder, "floor.s"), os.path.join(folder, "floor")
    with open(source, "w", encoding="ascii") as file:
        file.write(_INIT)
    subprocess.run(["clang-19", "-nostdlib", "-static", "-o", program, source], check=True)
    out = os.path.join(folder, "floor-guest")
    subprocess.run([sys.executable, os.path.join(paths.REPO, "image/build"), "--agent", program, "--out", out, "--initrd-only"], check=True,
                   stdout=subprocess.DEVNULL)
    return os.path.join(out, "kata-initrd.img")


def measure(initrd, kernel=None, memory="256M"):
    """Returns the seconds from the start of QEMU to the guest's first program, or None if it did not get there."""
    kernel = kernel or os.path.join(paths.guest(), "vmlinux")
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", memory, "-nodefaults", "-no-user-config",
               "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", KERNEL_PARAMETERS,
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    started = time.monotonic()
    try:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
                                check=False).returncode
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - started if status == 3 else None
