#include "guest/cgroup/files.h"

#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "guest/cgroup/parse.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::cgroup {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// A container may nest its own cgroups: as deep as the kernel's own default allows us to follow.
constexpr int kMaxDepth = 64;

void collect(const std::string& path, int depth, std::vector<std::string>& found) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (directory && depth < kMaxDepth) {
    while (const dirent* entry = ::readdir(directory.get())) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
        collect(path + "/" + entry->d_name, depth + 1, found);
    }
  }
  found.push_back(path);
}

}  // namespace

bool Folder::has(std::string_view name) const {
  return ::access(file(name).c_str(), F_OK) == 0;
}

void Folder::write(std::string_view name, std::string_view value) const {
  const std::string path = file(name);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    throw_errno("writing \"" + std::string(value) + "\" into " + path);
}

bool Folder::write_if_there(std::string_view name, std::string_view value) const {
  try {
    write(name, value);
    return true;
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT) return false;
    throw;
  }
}

std::string Folder::read(std::string_view name) const {
  return read_file(file(name), kMaxFile);
}

std::optional<std::string> Folder::read_if_there(std::string_view name) const {
  try {
    return read(name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

uint64_t Folder::number(std::string_view name) const {
  const auto text = read_if_there(name);
  return text ? parse_number(*text).value_or(0) : 0;
}

std::vector<pid_t> Folder::processes() const {
  std::vector<pid_t> pids;
  for (const std::string& path : tree()) {
    const auto text = Folder(path).read_if_there("cgroup.procs");
    if (!text) continue;
    for (const pid_t pid : parse_pids(*text)) pids.push_back(pid);
  }
  return pids;
}

std::vector<std::string> Folder::tree() const {
  std::vector<std::string> found;
  collect(path_, 0, found);
  return found;
}

}  // namespace kata::cgroup
