#include "guest/boot/modules.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::boot {
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

ModulePlan plan_modules(std::vector<std::string> paths) {
  const auto of_vsock = [](const std::string& path) {
    return path.find("vsock", path.rfind('/') + 1) != std::string::npos;
  };
  const auto cut = std::find_if(paths.rbegin(), paths.rend(), of_vsock).base();
  return {.first = {paths.begin(), cut}, .later = {cut, paths.end()}};
}

ModulePlan read_module_plan(const std::string& list_path) {
  if (::access(list_path.c_str(), R_OK) != 0) return {};
  return plan_modules(parse_module_list(read_file(list_path, size_t{1} << 20)));
}

void load_module(const std::string& path) {
  try {
    const UniqueFd file = open_file(path, O_RDONLY);
    if (::syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST)
      throw_errno("loading " + path);
    log::debug("kernel module loaded", {{"path", path}});
  } catch (const Error& error) {
    log::warning("kernel module not loaded", {{"error", error.message()}});
  }
}

}  // namespace kata::boot
