// Block devices with a file system: waited for, then mounted.
#include <algorithm>
#include <sys/stat.h>

#include <fcntl.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::storage {
namespace {

constexpr std::chrono::minutes kMakeFilesystemLimit{5};

// mkfs.ext4 as the original calls it: no journal, nothing reserved, small inodes, few of them.
Awaitable<> make_filesystem(const std::string& node) {
  Command command;
  command.argv = {"mkfs.ext4", "-O", "^has_journal", "-m", "0", "-i", "163840", "-I", "128", "-F", node};
  const auto child = ChildProcess::start(co_await asio::this_coro::executor, command);
  const ExitStatus status = co_await with_deadline(child->wait(), kMakeFilesystemLimit, "mkfs.ext4 " + node);
  if (status.code != 0) throw Error(Code::kInternal, "mkfs.ext4 " + node + ": " + status.text());
}

void check_driver_options(const Storage& storage) {
  for (const std::string& option : storage.driver_options) {
    if (option.starts_with("encryption_key="))
      throw Error(Code::kUnimplemented, "storage driver option " + option + ": this guest has no data hub");
  }
}

}  // namespace

Awaitable<> attach_block(const Storage& storage, const Context& context, Attached& made) {
  check_driver_options(storage);
  const std::string node = co_await context.find_device(storage.driver, storage.source);
  const auto& driver_options = storage.driver_options;
  if (std::ranges::find(driver_options, "create_filesystem") != driver_options.end()) {
    if (storage.fstype != "ext4")
      throw Error(Code::kInvalidArgument, "storage driver option create_filesystem: fstype must be ext4");
    co_await make_filesystem(node);
  }
  if (storage.fstype == "bind") {
    // The container gets the device itself: a file to bind the node on.
    make_directories(storage.mount_point.substr(0, storage.mount_point.rfind('/')), made);
    open_file(storage.mount_point, O_CREAT | O_WRONLY | O_NOFOLLOW, 0644);
    std::vector<std::string> options = storage.options;
    options.emplace_back("bind");
    co_await mount_storage(storage, node, options, made);
    co_return;
  }
  make_directories(storage.mount_point, made);
  co_await mount_storage(storage, node, storage.options, made);
}

}  // namespace kata::storage
