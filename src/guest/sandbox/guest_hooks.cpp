#include "guest/sandbox/guest_hooks.h"

#include <algorithm>
#include <sys/stat.h>

#include <dirent.h>

namespace kata::sandbox {
namespace {

constexpr size_t kMaxHooks = 256;

std::vector<oci::Hook> scan(const std::string& folder, const std::string& kind) {
  std::vector<oci::Hook> hooks;
  const std::string path = folder + "/" + kind;
  DIR* const stream = ::opendir(path.c_str());
  if (stream == nullptr) return hooks;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    const std::string file = path + "/" + name;
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0) continue;
    if (hooks.size() < kMaxHooks)
      hooks.push_back({.path = file, .args = {name, kind}, .env = {}, .timeout = 0});
  }
  ::closedir(stream);
  std::ranges::sort(hooks, {}, &oci::Hook::path);
  return hooks;
}

void append(const std::vector<oci::Hook>& from, std::vector<oci::Hook>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

GuestHooks scan_guest_hooks(const std::string& folder) {
  if (folder.empty()) return {};
  return {.prestart = scan(folder, "prestart"),
          .poststart = scan(folder, "poststart"),
          .poststop = scan(folder, "poststop")};
}

void append_guest_hooks(const GuestHooks& guest, oci::Hooks& hooks) {
  append(guest.prestart, hooks.prestart);
  append(guest.poststart, hooks.poststart);
  append(guest.poststop, hooks.poststop);
}

}  // namespace kata::sandbox
