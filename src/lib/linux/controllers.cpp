#include "lib/linux/controllers.h"

#include <algorithm>
#include <vector>

#include "lib/fd/io.h"

namespace kata::kernel {
namespace {

constexpr size_t kLimit = 4096;

std::vector<std::string> words(const std::string& text) {
  constexpr const char* kSpace = " \n";
  std::vector<std::string> found;
  for (size_t at = text.find_first_not_of(kSpace); at != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    found.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpace, end);
  }
  return found;
}

}  // namespace

void delegate_controllers(const std::string& folder,
                          const std::function<void(std::string_view controller, const Error&)>& refused) {
  const std::string file = folder + "/cgroup.subtree_control";
  const std::vector<std::string> enabled = words(read_file(file, kLimit));
  std::vector<std::string> missing;
  std::string all;
  for (const std::string& name : words(read_file(folder + "/cgroup.controllers", kLimit))) {
    if (std::ranges::find(enabled, name) != enabled.end()) continue;
    all += (all.empty() ? "+" : " +") + name;
    missing.push_back(name);
  }
  if (missing.empty()) return;
  try {
    write_existing(file, all);
    return;
  } catch (const Error& error) {
    if (missing.size() == 1) return refused(missing.front(), error);
  }
  for (const std::string& name : missing) {
    try {
      write_existing(file, "+" + name);
    } catch (const Error& error) {
      refused(name, error);
    }
  }
}

}  // namespace kata::kernel
