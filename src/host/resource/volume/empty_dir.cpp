#include "host/resource/volume/empty_dir.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <linux/magic.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::volume {
namespace {

constexpr Duration kFormatLimit = std::chrono::seconds(30);
constexpr const char* kImage = "/disk.img";

struct statfs look(const std::string& folder) {
  struct statfs info{};
  if (::statfs(folder.c_str(), &info) != 0) throw_errno("looking at emptyDir " + folder);
  return info;
}

// No journal, nothing reserved, few and small inodes, as the guest's agent would make it; the tables of a
// large sparse disk are not written.
Awaitable<> format(std::string path, uint32_t group) {
  Command command;
  command.argv = {"mke2fs",
                  "-q",
                  "-F",
                  "-t",
                  "ext4",
                  "-O",
                  "^has_journal",
                  "-m",
                  "0",
                  "-i",
                  "163840",
                  "-I",
                  "128",
                  "-E",
                  "lazy_itable_init=1,nodiscard,root_owner=0:" + std::to_string(group),
                  path};
  const auto child = ChildProcess::start(co_await asio::this_coro::executor, command);
  const ExitStatus status = co_await with_deadline(child->wait(), kFormatLimit, "mke2fs " + path);
  if (status.code != 0) throw Error(Code::kInternal, "mke2fs " + path + ": " + status.text());
}

}  // namespace

bool is_empty_dir(const std::string& source) {
  return std::filesystem::path(source).parent_path().filename() == "kubernetes.io~empty-dir";
}

std::optional<std::string> empty_dir_image(const oci::Mount& mount) {
  if (mount.type != "bind" || !is_empty_dir(mount.source)) return std::nullopt;
  struct statfs info{};
  if (::statfs(mount.source.c_str(), &info) != 0 || info.f_type == TMPFS_MAGIC) return std::nullopt;
  return mount.source + kImage;
}

Awaitable<> make_empty_dir_image(std::string path) {
  if (::access(path.c_str(), F_OK) == 0) co_return;
  const std::string folder = path.substr(0, path.rfind('/'));
  const struct statfs space = look(folder);
  struct stat owner{};
  if (::stat(folder.c_str(), &owner) != 0) throw_errno("looking at emptyDir " + folder);
  // Under another name until it is whole.
  const std::string part = path + ".part";
  std::exception_ptr failure;
  try {
    const UniqueFd file = open_file(part, O_CREAT | O_TRUNC | O_RDWR, 0600);
    const uint64_t size = static_cast<uint64_t>(space.f_blocks) * static_cast<uint64_t>(space.f_bsize);
    if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) throw_errno("making " + part);
    co_await format(part, owner.st_gid);
    if (::rename(part.c_str(), path.c_str()) != 0) throw_errno("renaming " + part);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  ::unlink(part.c_str());
  throw to_error(failure).within("emptyDir as a disk");
}

}  // namespace kata::volume
