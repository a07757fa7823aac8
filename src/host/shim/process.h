// What the shim's processes set up once: session, signals, log, files in the bundle.
#pragma once

#include <string>

#include "host/shim/flags.h"

namespace kata::shim {

// Ignores SIGPIPE, SIGINT and SIGTERM (systemd sends the latter to everything of containerd's unit), adopts
// orphans, and honours SCHED_CORE.
void set_up_process();

// Sends the log to the fifo `log` of the current directory, as JSON lines. Without a reader there, lines are
// dropped.
void set_up_log(const Flags& flags);

// A mount namespace of our own that still sees the host's mounts come and go. Throws Error.
void enter_private_mount_namespace();

// Own OOM score = the parent's + 1, so that the kernel takes a shim before its containerd. A failure is
// returned as text: it is no reason not to start.
std::string raise_oom_score();

// Gives back what only the start needed: free heap pages, and the mapping of program code that ran once. Code
// that runs again is mapped again from the page cache, some microseconds per 64 KiB.
void trim_memory();

}  // namespace kata::shim
