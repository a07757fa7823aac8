// A guest that keeps copies as the agent does, in a map.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "host/resource/file_copy/guest_files.h"
#include "lib/error/error.h"

namespace kata::file_copy {

class FakeGuestFiles : public GuestFiles {
 public:
  struct Thing {
    uint32_t mode = 0, uid = 0, gid = 0;
    // Content, or target of a link.
    std::string data;
    // Counts the inodes that this name had.
    int inode = 0;
  };

  Awaitable<> put(agent::FileChunk chunk) override {
    if (before_put) before_put(chunk);
    if (fail) throw *fail;
    calls.push_back("put " + chunk.path);
    largest = std::max(largest, chunk.data.size());
    const std::string parent = chunk.path.substr(0, chunk.path.rfind('/'));
    if (const auto found = things.find(parent); found != things.end()) {
      found->second.uid = chunk.uid;
      found->second.gid = chunk.gid;
    }
    if (S_ISREG(chunk.mode)) {
      std::string& part = parts_[chunk.path];
      part.resize(chunk.offset);
      part += chunk.data;
      if (part.size() != chunk.file_size) co_return;
      chunk.data = std::move(part);
      parts_.erase(chunk.path);
    }
    const auto found = things.find(chunk.path);
    const bool same = found != things.end() && S_ISDIR(chunk.mode) && S_ISDIR(found->second.mode);
    const int inode = found == things.end() ? 1 : found->second.inode + (same ? 0 : 1);
    things[chunk.path] = {
        .mode = chunk.mode, .uid = chunk.uid, .gid = chunk.gid, .data = chunk.data, .inode = inode};
  }

  Awaitable<bool> rewrite(agent::FileChunk chunk) override {
    if (!ours) co_return false;
    calls.push_back("rewrite " + chunk.path);
    Thing& thing = things.at(chunk.path);
    thing.data.replace(chunk.offset, std::string::npos, chunk.data);
    thing.mode = chunk.mode;
    co_return true;
  }

  Awaitable<bool> remove(std::vector<std::string> paths) override {
    if (!ours) co_return false;
    for (const std::string& path : paths) {
      calls.push_back("remove " + path);
      std::erase_if(things, [&](const auto& entry) {
        return entry.first == path || entry.first.starts_with(path + "/");
      });
    }
    co_return true;
  }

  [[nodiscard]] std::string at(const std::string& path) const {
    const auto found = things.find(path);
    return found == things.end() ? "<none>" : found->second.data;
  }

  // Whether it has the calls of our own.
  bool ours = true;
  std::optional<Error> fail;
  std::function<void(const agent::FileChunk&)> before_put;
  std::vector<std::string> calls;
  std::map<std::string, Thing> things;
  size_t largest = 0;

 private:
  std::map<std::string, std::string> parts_;
};

}  // namespace kata::file_copy
