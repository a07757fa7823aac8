#include "host/device/aio.h"

#include <cerrno>
#include <cstring>
#include <linux/io_uring.h>
#include <sys/syscall.h>

#include <unistd.h>

#include "lib/fd/unique_fd.h"

namespace kata::device {

AioChoice choose_aio(const std::string& wanted, bool cache_direct,
                     const std::function<std::string()>& problem) {
  if (wanted == "native" && !cache_direct) {
    return {
        .aio = "threads",
        .warning = "block_device_aio = native needs block_device_cache_direct: disks are driven by threads"};
  }
  if (wanted == "io_uring") {
    if (const std::string reason = problem(); !reason.empty())
      return {.aio = "threads",
              .warning = "this kernel has no io_uring (" + reason + "): disks are driven by threads"};
  }
  return {.aio = wanted, .warning = {}};
}

std::string io_uring_problem() {
  io_uring_params parameters{};
  const UniqueFd ring(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters)));
  return ring ? std::string() : std::strerror(errno);
}

}  // namespace kata::device
