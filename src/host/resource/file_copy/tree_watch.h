// Which of several trees of the node have changed, as inotify(7) tells.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "lib/async/awaitable.h"

namespace kata::file_copy {

// One inotify instance for all, made with the first watch. One thread.
class TreeWatch {
 public:
  using Tree = uint64_t;

  explicit TreeWatch(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // The tree's watches are on exactly these paths from now on (folders, or one file): what changes in them
  // after this call is told. A path that is gone is passed over. kNew when one of them was not watched
  // before: what changed in it before this call was not told. kResourceExhausted names the limit of the node
  // that is reached; what is watched then stays so.
  enum class Added { kNothing, kNew };
  Added set(Tree tree, const std::vector<std::string>& paths);
  void remove(Tree tree);
  [[nodiscard]] size_t watches() const { return owners_.size(); }

  // Returns with the trees that have changed, at least one. After an overflow of the kernel's queue: all.
  // Needs a watch before it.
  Awaitable<std::set<Tree>> changed();
  // Ends changed() with an error and all watches.
  void close();

 private:
  void open();
  void release(int watch, Tree tree);
  void note(const char* events, size_t size, std::set<Tree>& trees);

  asio::any_io_executor executor_;
  std::optional<asio::posix::stream_descriptor> descriptor_;
  // Watches by their number; trees may lie in each other.
  std::map<int, std::set<Tree>> owners_;
  std::map<Tree, std::set<int>> trees_;
};

}  // namespace kata::file_copy
