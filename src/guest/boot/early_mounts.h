// The file systems that pid 1 mounts before anything else works, and the cgroup hierarchies.
#pragma once

#include "guest/boot/agent_config.h"

namespace kata::boot {

// Puts a bind mount of the initramfs over itself and makes that the root. The kernel refuses pivot_root(2) to
// whoever's root is the first mount of all, so without it no container could leave the guest's root. Another
// root is left alone.
void leave_initramfs();

// /proc, /sys and /dev: what the command line and the kernel modules need. A mount that is there already
// (devtmpfs by the kernel, everything under an init system) counts as done. Throws Error naming the mount.
void mount_kernel_filesystems();

// /dev/pts, /dev/shm, /dev/mqueue, /run, /tmp, the links in /dev, and the cgroups.
void mount_working_filesystems(CgroupLayout layout);

// Sets the loopback interface up.
void bring_loopback_up();

}  // namespace kata::boot
