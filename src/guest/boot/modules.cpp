#include "guest/boot/modules.h"

#include <cerrno>
#include <string_view>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::boot {
namespace {

void load_module(const std::string& path) {
  const UniqueFd file = open_file(path, O_RDONLY);
  if (::syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST)
    throw_errno("loading module " + path);
}

}  // namespace

std::vector<std::string> parse_module_list(std::string_view text) {
  std::vector<std::string> paths;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (!line.empty() && line.front() != '#') paths.emplace_back(line);
  }
  return paths;
}

int load_listed_modules(const std::string& list_path) {
  if (::access(list_path.c_str(), R_OK) != 0) return 0;
  int loaded = 0;
  for (const std::string& path : parse_module_list(read_file(list_path, size_t{1} << 20))) {
    try {
      load_module(path);
      ++loaded;
    } catch (const Error& error) {
      log::warning("kernel module not loaded", {{"error", error.message()}});
    }
  }
  return loaded;
}

}  // namespace kata::boot
