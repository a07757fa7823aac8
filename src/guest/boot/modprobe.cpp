#include "guest/boot/modprobe.h"

#include <algorithm>
#include <exception>

#include <unistd.h>

#include "guest/boot/modules.h"
#include "lib/fd/io.h"

namespace kata::boot {
namespace {

constexpr size_t kMaxList = size_t{4} << 20;

void write_as_kernel(std::string& name) {
  std::ranges::replace(name, '-', '_');
}

bool is_loaded(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  name.resize(std::min(name.find(".ko"), name.size()));
  write_as_kernel(name);
  return ::access(("/sys/module/" + name).c_str(), F_OK) == 0;
}

}  // namespace

std::vector<std::string> modules_requested(std::string_view list, std::string word) {
  write_as_kernel(word);
  return modules_for(list, {word});
}

bool is_modprobe(int argc, const char* const* argv) {
  if (argc < 1) return false;
  const std::string_view name = argv[0];
  return name.substr(name.rfind('/') + 1) == "modprobe";
}

int run_modprobe(int argc, const char* const* argv) {
  if (argc < 2) return 1;
  try {
    const auto paths = modules_requested(read_file(kRequestList, kMaxList), argv[argc - 1]);
    for (const std::string& path : paths) {
      if (!is_loaded(path)) load_module(path);
    }
    return paths.empty() ? 1 : 0;
  } catch (const std::exception&) {
    // Nobody reads what the kernel's helper writes.
    return 1;
  }
}

}  // namespace kata::boot
