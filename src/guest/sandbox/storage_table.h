// The storages of a sandbox, counted by mount point: the first user attaches, the last one detaches.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "guest/storage/storage.h"
#include "lib/async/awaitable.h"
#include "lib/async/event.h"

namespace kata::sandbox {

class StorageTable {
 public:
  explicit StorageTable(asio::any_io_executor executor);

  // Attaches what is not there yet, in order, and counts one user for each. On error what this call added is
  // given back. Returns the mount points that the caller releases later (without those that stay until the
  // sandbox ends).
  Awaitable<std::vector<std::string>> add(std::vector<storage::Storage> storages, storage::Context context);
  // One user less for each; unknown ones are passed over.
  Awaitable<> release(std::vector<std::string> mount_points);
  // Detaches everything, newest first.
  Awaitable<> clear();
  [[nodiscard]] size_t users(const std::string& mount_point) const;
  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    explicit Entry(const asio::any_io_executor& executor) : ready(executor), gone(executor) {}
    size_t users = 0;
    uint64_t order = 0;
    // Set when attaching has ended, well or not.
    Event ready;
    // Being detached; `gone` when that has ended and the mount point is free again.
    bool leaving = false;
    Event gone;
    storage::Attached attached;
  };

  Awaitable<> leave(std::string key, std::shared_ptr<Entry> entry);
  Awaitable<> add_one(const storage::Storage& storage, const storage::Context& context);

  asio::any_io_executor executor_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  uint64_t next_order_ = 0;
};

}  // namespace kata::sandbox
