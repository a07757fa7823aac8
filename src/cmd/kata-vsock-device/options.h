// Command line of kata-vsock-device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/log/log.h"

namespace kata::vsock_device {

struct Options {
  // vhost-user: a socket to listen on, or a descriptor: listening, or connected already.
  std::string socket_path;
  int socket_fd = -1;
  // Hybrid socket of the host programs: its path (names the sockets of guest connections too), and its
  // listening descriptor if the parent has bound it.
  std::string uds_path;
  int uds_fd = -1;
  uint32_t cid = 0;
  size_t max_streams = 1024;
  // Gets one byte once both sockets listen, then closed.
  int ready_fd = -1;
  int log_fd = 2;
  log::Level log_level = log::Level::kInfo;
  enum class Action { kRun, kHelp, kVersion };
  Action action = Action::kRun;
};

// Throws kInvalidArgument with what is wrong and what is expected.
Options parse_options(int argc, char** argv);
const char* usage();

}  // namespace kata::vsock_device
