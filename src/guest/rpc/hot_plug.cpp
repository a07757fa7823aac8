#include "guest/rpc/hot_plug.h"

#include <charconv>
#include <cstdio>
#include <string_view>

#include <dirent.h>
#include <unistd.h>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::rpc {
namespace {

constexpr int kTries = 100;
constexpr std::chrono::milliseconds kPause{50};

// Folders "<prefix><number>" in `folder`.
std::vector<std::string> numbered(const std::string& folder, std::string_view prefix) {
  std::vector<std::string> paths;
  DIR* const stream = ::opendir(folder.c_str());
  if (stream == nullptr) return paths;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(prefix) && name.size() > prefix.size() &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string_view::npos) {
      paths.push_back(folder + "/" + std::string(name));
    }
  }
  ::closedir(stream);
  return paths;
}

// Writes 1 to the `online` file of those that say 0; at most `limit` of them.
uint32_t set_online(const std::vector<std::string>& paths, uint32_t limit) {
  uint32_t done = 0;
  for (const std::string& path : paths) {
    const std::string file = path + "/online";
    if (done >= limit) break;
    if (::access(file.c_str(), F_OK) != 0) continue;
    try {
      if (!read_file(file, 16).starts_with('0')) continue;
      write_existing(file, "1");
      ++done;
    } catch (const Error& error) {
      log::warning("not set online", {{"path", path}, {"error", error.message()}});
    }
  }
  return done;
}

}  // namespace

uint32_t count_cpu_list(std::string_view list) {
  uint32_t count = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view part = list.substr(0, comma);
    uint32_t low = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), low);
    if (error != std::errc{}) return count;
    uint32_t high = low;
    if (stop != part.data() + part.size() && *stop == '-')
      std::from_chars(stop + 1, part.data() + part.size(), high);
    if (high >= low && high < 65536) count += high - low + 1;
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return count;
}

Awaitable<> online_cpus(std::string system, uint32_t total) {
  for (int i = 0; i < kTries; ++i) {
    const uint32_t online = count_cpu_list(read_file(system + "/cpu/online", 4096));
    if (online >= total) co_return;
    if (online + set_online(numbered(system + "/cpu", "cpu"), total - online) >= total) co_return;
    co_await pause_for(kPause);
  }
  throw Error(Code::kDeadlineExceeded, "setting CPUs online: " + std::to_string(total) +
                                           " wanted, the guest has " +
                                           read_file(system + "/cpu/present", 4096));
}

void online_memory(const std::string& system) {
  set_online(numbered(system + "/memory", "memory"), UINT32_MAX);
}

void probe_memory(const std::string& system, const std::vector<uint64_t>& addresses) {
  const std::string probe = system + "/memory/probe";
  if (::access(probe.c_str(), F_OK) != 0)
    throw Error(Code::kUnimplemented, "probing memory: this guest's kernel has no " + probe);
  for (const uint64_t address : addresses) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
    write_existing(probe, text);
  }
}

}  // namespace kata::rpc
