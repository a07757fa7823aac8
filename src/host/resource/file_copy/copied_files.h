// The share of a guest without a shared file system: what its containers need of the node is copied and
// followed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/resource/file_copy/guest_files.h"
#include "host/resource/file_copy/snapshot.h"
#include "host/resource/file_copy/tree_copy.h"
#include "host/resource/file_copy/tree_watch.h"
#include "host/resource/share_fs/share.h"
#include "lib/async/blocking_pool.h"
#include "lib/async/event.h"
#include "lib/async/mutex.h"
#include "lib/async/task_group.h"

namespace kata::file_copy {

// One copy per source, whichever containers have it. Changes on the node reach the guest some 100 ms after
// the first of them, and no more often than copying them leaves half of the time free; changes in the guest
// stay there. One thread, and a thread of a pool for looks at the node's trees.
class CopiedFiles : public share_fs::Share {
 public:
  CopiedFiles(asio::any_io_executor executor, std::unique_ptr<GuestFiles> files, CopyLimits limits = {});

  Awaitable<> prepare() override;
  [[nodiscard]] std::optional<vmm::ShareSpec> spec() const override { return std::nullopt; }
  std::string share_rootfs(const std::string& container_id, const std::string& source) override;
  Awaitable<std::string> share_foreign_rootfs(std::string container_id, std::string source) override;
  void unshare_rootfs(const std::string&) override {}
  // Returns when the guest has all of it.
  Awaitable<std::optional<std::string>> share_path(share_fs::SharedPath path) override;
  Awaitable<> unshare_path(std::string guest_path) override;
  Awaitable<std::string> daemon_end() override;
  [[nodiscard]] pid_t pid() const override { return 0; }
  Awaitable<> release() override;

  // For tests: what the kernel watches.
  [[nodiscard]] size_t watches() const { return watch_.watches(); }

 private:
  struct Tree {
    Tree(const asio::any_io_executor& executor, TreeWatch::Tree number, TreeCopy tree)
        : id(number), copy(std::move(tree)), mutex(executor) {}
    const TreeWatch::Tree id;
    TreeCopy copy;
    // One look and copy at a time.
    AsyncMutex mutex;
    size_t users = 0;
    bool copied = false;
    // Changed since the last look.
    bool dirty = false;
    bool followed = false;
    bool gone = false;
    bool warned_writable = false;
    size_t special = 0;
  };
  using TreePtr = std::shared_ptr<Tree>;

  TreePtr find_or_make(const share_fs::SharedPath& path);
  Awaitable<> copy_first(TreePtr tree);
  Awaitable<> bring_up_to_date(TreePtr tree);
  Awaitable<Snapshot> look(TreePtr tree);
  bool watch(Tree& tree, const Snapshot& seen);
  Awaitable<> drop(TreePtr tree);
  Awaitable<> wait_for_changes();
  void mark(Tree& tree);
  Awaitable<> follow(TreePtr tree);

  asio::any_io_executor executor_;
  std::unique_ptr<GuestFiles> files_;
  CopyLimits limits_;
  BlockingPool pool_;
  TreeWatch watch_;
  bool can_watch_ = true;
  bool waiting_ = false;
  Event released_;
  std::map<std::string, TreePtr> by_source_;
  TreeWatch::Tree next_id_ = 1;
  TaskGroup tasks_;
};

}  // namespace kata::file_copy
