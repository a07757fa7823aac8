// Control group files in memory, for tests.
#pragma once

#include <cerrno>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "host/resource/cgroup/node_files.h"
#include "lib/error/error.h"

namespace kata::node_cgroup {

// Every write is recorded as "path=value"; a file exists if it has been given, or if its folder was made and
// `new_files` names it.
class FakeNodeFiles final : public NodeFiles {
 public:
  std::map<std::string, std::string> files;
  std::set<std::string> folders;
  std::set<std::string> new_files = {"cpu.shares",  "cpu.cfs_quota_us", "cpu.cfs_period_us",
                                     "cpuset.cpus", "cpuset.mems",      "memory.limit_in_bytes",
                                     "cpu.weight",  "cpu.max",          "memory.max"};
  std::vector<std::string> writes, made, removed;
  // The next writes to a path that ends so fail, each with its errno.
  std::map<std::string, std::vector<int>> failures;
  std::set<std::string> busy;
  std::vector<pid_t> threads = {100};

  [[nodiscard]] bool exists(const std::string& path) const override {
    if (folders.contains(path) || files.contains(path)) return true;
    const size_t slash = path.rfind('/');
    return folders.contains(path.substr(0, slash)) && new_files.contains(path.substr(slash + 1));
  }
  bool make_folder(const std::string& path) override {
    fail_if_told(path);
    if (!folders.insert(path).second) return false;
    made.push_back(path);
    return true;
  }
  void remove_folder(const std::string& path) override {
    const bool has_child =
        folders.upper_bound(path) != folders.end() && folders.upper_bound(path)->starts_with(path + "/");
    if (busy.contains(path) || has_child) throw Error::from_errno(EBUSY, "removing cgroup " + path);
    if (folders.erase(path) != 0) removed.push_back(path);
  }
  void write(const std::string& path, const std::string& value) override {
    fail_if_told(path);
    writes.push_back(path + "=" + value);
    files[path] = value;
  }
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const override {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  }
  void delegate(const std::string& folder) override {
    std::istringstream names(read(folder + "/cgroup.controllers").value_or(""));
    for (std::string name; names >> name;) write(folder + "/cgroup.subtree_control", "+" + name);
  }
  [[nodiscard]] std::vector<pid_t> own_threads() const override { return threads; }

 private:
  void fail_if_told(const std::string& path) {
    for (auto& [suffix, errors] : failures) {
      if (!path.ends_with(suffix) || errors.empty()) continue;
      const int error = errors.front();
      errors.erase(errors.begin());
      throw Error::from_errno(error, "writing " + path).within("systemd").within("the cgroup manager");
    }
  }
};

}  // namespace kata::node_cgroup
