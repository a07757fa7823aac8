// Takes away what the device does not need once it is set up.
#pragma once

namespace kata::vsock_device {

// Drops all capabilities, forbids gaining privileges by exec, and installs a seccomp filter that kills the
// process at any system call but those of the running device (sockets: Unix ones only). Does nothing to the
// filter in a build with sanitizers, which need more. Throws when a step fails.
void confine();

}  // namespace kata::vsock_device
