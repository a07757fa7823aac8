// One copy in the guest of a file or folder of the node.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/resource/file_copy/guest_files.h"
#include "host/resource/file_copy/snapshot.h"
#include "lib/async/awaitable.h"

namespace kata::file_copy {

// Knows what the guest has been told. What the guest makes or changes in its copy by itself is left alone
// until the node's file of that name changes.
class TreeCopy {
 public:
  // `files` outlives it. A chunk of 1 MiB is well within a message (4 MiB).
  TreeCopy(std::string source, std::string target, GuestFiles& files, uint64_t chunk_size = uint64_t{1} << 20)
      : source_(std::move(source)), target_(std::move(target)), files_(&files), chunk_size_(chunk_size) {}

  // Says the difference between what the guest has and `wanted`. Order: what changed its type goes, then
  // folders and files, then links, then removals: whoever follows a link (the ..data of a ConfigMap) finds
  // the old content or the new one, whole. kUnsettled: something changed while it was copied; look again. An
  // error leaves what was done so far; the next call goes on.
  enum class Outcome { kSettled, kUnsettled };
  Awaitable<Outcome> update(const Snapshot& wanted);

  // Takes the whole copy away.
  Awaitable<> remove();

  // Nothing of the source could be copied.
  [[nodiscard]] bool empty() const { return have_.empty(); }
  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] const std::string& target() const { return target_; }

 private:
  [[nodiscard]] std::string guest_path(const std::string& path) const {
    return path.empty() ? target_ : target_ + "/" + path;
  }
  Awaitable<> put_all(const Snapshot& wanted);
  Awaitable<> put_file(int root, const std::string& path, const Entry& entry);
  Awaitable<bool> send_content(int file, const std::string& path, const Entry& entry);
  Awaitable<> send(const std::string& path, agent::FileChunk chunk);
  Awaitable<> put_folder(const std::string& path, const Entry& entry);
  Awaitable<> restore_owners();
  Awaitable<> remove_paths(std::vector<std::string> paths);
  void forget(const std::string& path);
  [[nodiscard]] std::vector<std::string> superfluous(const Snapshot& wanted) const;

  std::string source_, target_;
  GuestFiles* files_;
  uint64_t chunk_size_;
  std::map<std::string, Entry> have_;
  // Folders whose owner was changed by what was put into them (CopyFile does that).
  std::set<std::string> disturbed_;
  bool unsettled_ = false;
  bool can_rewrite_ = true;
  bool can_remove_ = true;
};

}  // namespace kata::file_copy
