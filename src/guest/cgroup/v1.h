// cgroup v1: a folder of the same path in every mounted controller.
#pragma once

#include "guest/cgroup/cgroup_base.h"

namespace kata::cgroup {

// Controller name → its folder; co-mounted controllers (cpu, cpuacct) share one.
using V1Folders = std::map<std::string, Folder>;

class LegacyCgroup : public Cgroup {
 public:
  LegacyCgroup(asio::any_io_executor executor, const Hierarchy& hierarchy, const std::string& path);
  ~LegacyCgroup() override;

  void apply(const oci::Resources& resources) override;
  [[nodiscard]] int directory() const override { return -1; }
  [[nodiscard]] std::vector<std::string> entry_files() const override;
  [[nodiscard]] std::map<std::string, std::string> folders() const override;
  [[nodiscard]] std::vector<pid_t> processes() const override;
  Awaitable<> signal_all(int signal) override;
  Awaitable<> freeze() override;
  Awaitable<> thaw() override;
  [[nodiscard]] Stats stats() const override;
  Awaitable<> wait_oom() override;
  Awaitable<> remove() override;

 private:
  Awaitable<> set_freezer(std::string state);
  [[nodiscard]] uint64_t oom_kills() const override;
  [[nodiscard]] const Folder* folder(const std::string& controller) const;

  asio::any_io_executor executor_;
  std::string path_;
  V1Folders folders_;
  // Mount points, each once.
  std::set<std::string> mounts_;
  OwnedFolders owned_;
};

// v1_resources.cpp
void apply_v1(const V1Folders& folders, const oci::Resources& resources);
// v1_stats.cpp
Stats read_v1_stats(const V1Folders& folders);

}  // namespace kata::cgroup
