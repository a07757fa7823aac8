// Reading and writing the files of one cgroup folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace kata::cgroup {

constexpr size_t kMaxFile = size_t{4} << 20;

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  [[nodiscard]] bool has(std::string_view name) const;
  // Throws Error naming the file and the value.
  void write(std::string_view name, std::string_view value) const;
  // False where the file does not exist (the kernel was built without it); other failures throw.
  bool write_if_there(std::string_view name, std::string_view value) const;
  [[nodiscard]] std::string read(std::string_view name) const;
  // Nothing where the file does not exist or cannot be read.
  [[nodiscard]] std::optional<std::string> read_if_there(std::string_view name) const;
  // The number in a file of one number; "max" is UINT64_MAX; 0 where it is not there.
  [[nodiscard]] uint64_t number(std::string_view name) const;
  // The processes of this folder and of all below it.
  [[nodiscard]] std::vector<pid_t> processes() const;
  // Folders below, deepest first, this one last.
  [[nodiscard]] std::vector<std::string> tree() const;

 private:
  std::string path_;
};

}  // namespace kata::cgroup
