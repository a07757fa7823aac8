// Which asynchronous I/O the VMM can use here.
#pragma once

#include <functional>
#include <string>

namespace kata::device {

struct AioChoice {
  // "io_uring", "native" or "threads".
  std::string aio;
  // Why it is not the wanted one; empty if it is.
  std::string warning;
};

// `io_uring_problem` tells why this kernel has no io_uring, empty = it has; asked only when that is wanted.
AioChoice choose_aio(const std::string& wanted, bool cache_direct,
                     const std::function<std::string()>& io_uring_problem);

// Tries io_uring_setup(2).
std::string io_uring_problem();

}  // namespace kata::device
