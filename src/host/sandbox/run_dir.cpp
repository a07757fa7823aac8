#include "host/sandbox/run_dir.h"

#include <cerrno>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <utility>

#include "lib/error/error.h"

namespace kata::sandbox {

RunDir::RunDir(std::string sandbox_id, std::string root) : path_(std::move(root)) {
  path_.append("/").append(sandbox_id);
}

void RunDir::create() const {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  if (error) throw Error::from_errno(error.value(), "making the run folder above " + path_);
  if (::mkdir(path_.c_str(), 0700) != 0) throw_errno("making the run folder " + path_);
}

void RunDir::remove() const {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) throw Error::from_errno(error.value(), "removing the run folder " + path_);
}

bool valid_id(std::string_view id) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (id.empty() || id.size() > 128 || !alphanumeric(id.front())) return false;
  for (const char c : id) {
    if (!alphanumeric(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

}  // namespace kata::sandbox
