#include "guest/device/node_numbers.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/error/error.h"

namespace kata::device {

NodeNumbers numbers_of(const struct stat& info) {
  return {.type = S_ISBLK(info.st_mode) ? "b" : "c",
          .major = static_cast<int64_t>(major(info.st_rdev)),
          .minor = static_cast<int64_t>(minor(info.st_rdev))};
}

NodeNumbers numbers_of_node(const std::string& node) {
  struct stat info{};
  if (::stat(node.c_str(), &info) != 0) throw_errno("looking at " + node);
  return numbers_of(info);
}

}  // namespace kata::device
