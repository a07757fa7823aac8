#include "guest/boot/modules.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string_view>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::boot {
namespace {
constexpr size_t kMaxList = size_t{1} << 20;
}

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

std::vector<std::string> modules_for(std::string_view list, const std::vector<std::string>& devices) {
  std::vector<std::string> paths;
  for (const std::string& line : parse_module_list(list)) {
    const size_t space = line.find(' ');
    if (space != std::string::npos && std::ranges::find(devices, line.substr(0, space)) != devices.end())
      paths.push_back(line.substr(space + 1));
  }
  return paths;
}

std::vector<std::string> virtio_devices(const std::string& bus) {
  std::vector<std::string> devices;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(bus, error)) {
    try {
      // "0x0001"
      const unsigned long type = std::stoul(read_file(entry.path() / "device", 64), nullptr, 16);
      devices.push_back("virtio:" + std::to_string(type));
    } catch (const std::exception& failure) {
      log::warning("device passed over", {{"path", entry.path()}, {"error", failure.what()}});
    }
  }
  return devices;
}

void load_on_demand(const std::string& word, const std::string& list_path) {
  static std::set<std::string> done;
  if (!done.insert(word).second || ::access(list_path.c_str(), R_OK) != 0) return;
  for (const std::string& path : modules_for(read_file(list_path, kMaxList), {word})) load_module(path);
}

ModulePlan read_module_plan(const std::string& list_path) {
  if (::access(list_path.c_str(), R_OK) != 0) return {};
  return plan_modules(parse_module_list(read_file(list_path, kMaxList)));
}

std::vector<std::string> read_device_modules(const std::string& list_path) {
  if (::access(list_path.c_str(), R_OK) != 0) return {};
  return modules_for(read_file(list_path, kMaxList), virtio_devices("/sys/bus/virtio/devices"));
}

void load_module(const std::string& path) {
  // Lists share what their modules depend on; to find that out by finit_module costs reading the file.
  static std::set<std::string> loaded;
  if (loaded.contains(path)) return;
  try {
    const UniqueFd file = open_file(path, O_RDONLY);
    // linux/module.h, MODULE_INIT_COMPRESSED_FILE: the kernel unpacks it.
    constexpr int kCompressed = 4;
    const int flags = path.ends_with(".ko") ? 0 : kCompressed;
    if (::syscall(SYS_finit_module, file.get(), "", flags) != 0 && errno != EEXIST)
      throw_errno("loading " + path);
    loaded.insert(path);
    log::debug("kernel module loaded", {{"path", path}});
  } catch (const Error& error) {
    log::warning("kernel module not loaded", {{"error", error.message()}});
  }
}

}  // namespace kata::boot
