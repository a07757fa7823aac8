#include "host/shim/overhead.h"

#include <charconv>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxProcFile = 65536;
constexpr uint64_t kNanoseconds = 1'000'000'000;
// A pod has a handful; more would mean that something runs away.
constexpr size_t kMaxProcesses = 256;

std::string read_or_empty(const std::string& path) {
  try {
    return read_file(path, kMaxProcFile);
  } catch (const Error&) {
    return {};
  }
}

std::vector<pid_t> children(const std::string& folder) {
  std::vector<pid_t> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir((folder + "/task").c_str()), ::closedir);
  if (!tasks) return found;
  while (const dirent* const task = ::readdir(tasks.get())) {
    if (task->d_name[0] == '.') continue;
    std::istringstream pids(read_or_empty(folder + "/task/" + task->d_name + "/children"));
    for (pid_t pid = 0; pids >> pid;) found.push_back(pid);
  }
  return found;
}

// Fields 14 and 15 of /proc/<pid>/stat; the name in field 2 may hold anything, so the count starts behind it.
void add_times(sandbox::ContainerStats& sum, const std::string& stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user = 0, kernel = 0;
  if (!(fields >> user >> kernel)) return;
  const auto tick = kNanoseconds / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  sum.cpu_user += user * tick;
  sum.cpu_kernel += kernel * tick;
  sum.cpu_total += (user + kernel) * tick;
}

// Bytes of the first line of that key, which the kernel gives in kB.
uint64_t bytes_of(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value * 1024;
}

}  // namespace

sandbox::ContainerStats pod_usage(pid_t shim, const std::string& proc) {
  sandbox::ContainerStats sum;
  std::set<pid_t> seen;
  std::vector<pid_t> open = {shim};
  while (!open.empty() && seen.size() < kMaxProcesses) {
    const pid_t pid = open.back();
    open.pop_back();
    const std::string folder = proc + "/" + std::to_string(pid);
    const std::string stat = read_or_empty(folder + "/stat");
    if (stat.empty() || !seen.insert(pid).second) continue;
    ++sum.pids_current;
    add_times(sum, stat);
    const std::string shares = read_or_empty(folder + "/smaps_rollup");
    sum.memory.usage += bytes_of(shares, "\nPss:");
    sum.memory_stat["total_rss"] += bytes_of(shares, "\nPss_Anon:");
    for (const pid_t child : children(folder)) open.push_back(child);
  }
  return sum;
}

}  // namespace kata::shim
