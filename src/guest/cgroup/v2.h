// cgroup v2: one folder in the unified hierarchy.
#pragma once

#include "guest/cgroup/cgroup_base.h"
#include "guest/cgroup/device_filter.h"

namespace kata::cgroup {

class UnifiedCgroup : public Cgroup {
 public:
  UnifiedCgroup(asio::any_io_executor executor, const Hierarchy& hierarchy, const std::string& path);
  ~UnifiedCgroup() override;

  void apply(const oci::Resources& resources) override;
  [[nodiscard]] int directory() const override { return directory_.get(); }
  [[nodiscard]] std::vector<std::string> entry_files() const override { return {}; }
  [[nodiscard]] std::map<std::string, std::string> folders() const override { return {{"", folder_.path()}}; }
  [[nodiscard]] std::vector<pid_t> processes() const override { return folder_.processes(); }
  Awaitable<> signal_all(int signal) override;
  Awaitable<> freeze() override;
  Awaitable<> thaw() override;
  [[nodiscard]] Stats stats() const override;
  Awaitable<> wait_oom() override;
  Awaitable<> remove() override;

 private:
  Awaitable<> set_frozen(bool frozen);
  // Until `key` of cgroup.events is `value`.
  Awaitable<> wait_event(std::string key, uint64_t value);
  [[nodiscard]] uint64_t oom_kills() const override;

  asio::any_io_executor executor_;
  Folder folder_;
  OwnedFolders owned_;
  UniqueFd directory_;
  DeviceFilter filter_;
};

// v2_resources.cpp: the OCI values in the units of v2.
void apply_v2(const Folder& folder, const oci::Resources& resources);
// v2_stats.cpp
Stats read_v2_stats(const Folder& folder);

}  // namespace kata::cgroup
