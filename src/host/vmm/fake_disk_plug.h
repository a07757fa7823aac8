// Plugs nothing: remembers what it was asked for.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "host/vmm/disk_plug.h"
#include "lib/error/error.h"

namespace kata::vmm {

class FakeDiskPlug final : public DiskPlug {
 public:
  // The next call of this kind ("add", "remove", "resize", "controller") throws it.
  void fail_next(const std::string& call, Error error) { failures_.insert_or_assign(call, std::move(error)); }
  [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }
  [[nodiscard]] const std::map<std::string, DiskSpec>& disks() const { return disks_; }

  Awaitable<> add_disk(DiskSpec disk) override {
    begin("add", disk.id);
    struct stat info{};
    for (const int fd : disk.files) {
      if (::fstat(fd, &info) != 0) throw Error(Code::kInternal, "a file of disk " + disk.id + " is not open");
    }
    const std::string id = disk.id;
    disks_.insert_or_assign(id, std::move(disk));
    co_return;
  }
  Awaitable<> add_controller(ScsiControllerSpec controller) override {
    begin("controller", controller.id);
    co_return;
  }
  Awaitable<> resize_disk(std::string id, uint64_t bytes) override {
    begin("resize", id + " " + std::to_string(bytes));
    co_return;
  }
  Awaitable<> remove_disk(std::string id) override {
    begin("remove", id);
    disks_.erase(id);
    co_return;
  }

 private:
  void begin(const std::string& call, const std::string& id) {
    calls_.push_back(call + " " + id);
    if (auto failure = failures_.extract(call)) throw Error(std::move(failure.mapped()));
  }

  std::vector<std::string> calls_;
  std::map<std::string, DiskSpec> disks_;
  std::map<std::string, Error> failures_;
};

}  // namespace kata::vmm
