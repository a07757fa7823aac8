// A copy of a small folder that follows its original: what ConfigMaps and secrets need where file system
// events of the host do not arrive.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <sys/stat.h>

#include "guest/storage/storage.h"
#include "lib/fd/unique_fd.h"

namespace kata::storage {

// Reader of `source`, only writer of `target`. Both are looked up below their folder without following links:
// whoever can write there cannot lead a mirror elsewhere.
class Mirror {
 public:
  // `stage` is an empty folder on the file system of `target`, seen by nobody else: things get their content
  // there and are renamed into their place.
  Mirror(const std::string& source, const std::string& target, const std::string& stage, MirrorLimits limits);

  // Brings the copy up to date; false when there was nothing to do. Order: new folders and files, then links,
  // then removals, so that a reader who follows a link (the ..data of a ConfigMap) finds the old content or
  // the new one, whole. An error leaves what was done so far; the next call goes on. kResourceExhausted: the
  // source is beyond the limits.
  bool update();

 private:
  struct Entry {
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    uint64_t size = 0;
    ino_t inode = 0;
    int64_t modified = 0, changed = 0;
    std::string link;
    bool operator==(const Entry&) const = default;
  };
  // By path relative to the folder: parents come before what is in them.
  using Snapshot = std::map<std::string, Entry>;
  struct Scan;

  void scan(int folder, const std::string& prefix, int depth, Scan& scan) const;
  [[nodiscard]] Snapshot take() const;
  void make_place(const std::string& path, const Entry& entry);
  void put(const std::string& path, const Entry& entry);
  void copy_file(const std::string& path, const Entry& entry);
  void place(const std::string& path);
  void remove(const std::string& path, const Entry& entry);

  UniqueFd source_, target_, stage_;
  MirrorLimits limits_;
  Snapshot have_;
};

}  // namespace kata::storage
