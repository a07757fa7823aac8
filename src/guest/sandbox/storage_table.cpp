#include "guest/sandbox/storage_table.h"

#include <algorithm>
#include <ranges>

#include "guest/storage/layer_group.h"
#include "lib/error/error.h"

namespace kata::sandbox {

StorageTable::StorageTable(asio::any_io_executor executor) : executor_(std::move(executor)) {}

Awaitable<> StorageTable::add_one(const storage::Storage& storage, const storage::Context& context) {
  const std::string& key = storage.mount_point;
  for (;;) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) break;
    const auto entry = found->second;
    if (entry->leaving) {
      co_await entry->gone.wait();
      continue;
    }
    if (entry->ready.is_set()) {
      ++entry->users;
      co_return;
    }
    // Somebody else is attaching it right now; then look again, since that can fail or be given back at once.
    co_await entry->ready.wait();
  }
  const auto entry = std::make_shared<Entry>(executor_);
  entry->order = next_order_++;
  entries_[key] = entry;
  std::exception_ptr failure;
  try {
    entry->attached = co_await storage::attach(storage, context);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    entries_.erase(key);
    entry->ready.set();
    std::rethrow_exception(failure);
  }
  entry->users = 1;
  entry->ready.set();
}

Awaitable<std::vector<std::string>> StorageTable::add(std::vector<storage::Storage> storages,
                                                      storage::Context context) {
  storages = storage::group_layers(std::move(storages));
  std::vector<std::string> added;
  std::vector<std::string> kept;
  std::exception_ptr failure;
  try {
    for (const storage::Storage& storage : storages) {
      co_await add_one(storage, context);
      added.push_back(storage.mount_point);
      if (!storage.shared) kept.push_back(storage.mount_point);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await release(std::move(added));
    std::rethrow_exception(failure);
  }
  co_return kept;
}

Awaitable<> StorageTable::leave(std::string key, std::shared_ptr<Entry> entry) {
  entry->leaving = true;
  entry->users = 0;
  co_await storage::detach(std::move(entry->attached), key);
  entries_.erase(key);
  entry->gone.set();
}

Awaitable<> StorageTable::release(std::vector<std::string> mount_points) {
  for (const std::string& key : std::views::reverse(mount_points)) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) continue;
    const auto entry = found->second;
    if (!entry->ready.is_set() || entry->leaving || --entry->users > 0) continue;
    co_await leave(key, entry);
  }
}

Awaitable<> StorageTable::clear() {
  std::vector<std::pair<std::string, std::shared_ptr<Entry>>> all(entries_.begin(), entries_.end());
  std::ranges::sort(all, [](const auto& a, const auto& b) { return a.second->order > b.second->order; });
  for (const auto& [key, entry] : all) {
    if (entry->leaving) {
      co_await entry->gone.wait();
    } else {
      co_await leave(key, entry);
    }
  }
}

size_t StorageTable::users(const std::string& mount_point) const {
  const auto found = entries_.find(mount_point);
  return found == entries_.end() ? 0 : found->second->users;
}

}  // namespace kata::sandbox
