#include "host/resource/share_fs/share_fs.h"

#include <algorithm>
#include <sys/stat.h>
#include <utility>

#include <unistd.h>

#include <boost/asio/cancellation_state.hpp>

#include "host/resource/share_fs/daemon.h"
#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::share_fs {
namespace {

// A bind mount takes microseconds; only a file system that hangs comes near this.
constexpr Duration kBindLimit = std::chrono::seconds(10);

std::string guest_path(const std::string& name) {
  return std::string(kGuestMountPoint) + "passthrough/" + name;
}

std::string rootfs_name(const std::string& container_id) {
  if (!is_file_name(container_id))
    throw Error(Code::kInvalidArgument, "container id \"" + container_id + "\" is no file name");
  return container_id + "/rootfs";
}

Teardown::Sink warn() {
  return [](std::string_view warning) { log::warning(warning); };
}

}  // namespace

ShareFs::ShareFs(asio::any_io_executor executor, ShareFsConfig config)
    : executor_(std::move(executor)), config_(std::move(config)), tree_(config_.base, config_.sandbox_id) {}

ShareFs::~ShareFs() {
  // Last resort: owners release first.
  if (daemon_) daemon_->kill();
}

std::optional<vmm::ShareSpec> ShareFs::spec() const {
  return vmm::ShareSpec{
      .tag = std::string(kMountTag), .socket = socket_path(), .queue_size = config_.queue_size};
}

Awaitable<> ShareFs::prepare() {
  const std::string context = "preparing the shared folder of sandbox " + config_.sandbox_id;
  if (state_ != State::kNew) throw Error(Code::kFailedPrecondition, context + ": it was prepared before");
  state_ = State::kPrepared;
  std::exception_ptr failure;
  try {
    tree_.create();
    co_await start_daemon();
    co_await bind_sandbox_mounts();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    // Cleaning up comes to its end even when the preparation was given up from outside.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const Error error = to_error(failure);
    // A folder that was there before is somebody else's.
    if (error.code() == Code::kAlreadyExists) {
      state_ = State::kReleased;
    } else {
      co_await release();
    }
    throw error.within(context);
  }
}

Awaitable<> ShareFs::start_daemon() {
  VirtiofsdOptions options;
  options.program = find_virtiofsd(config_.daemon, config_.daemon_places);
  options.shared_dir = tree_.exported();
  options.cache = config_.cache;
  options.extra_args = config_.extra_args;
  options.nofile = nofile_limit();
  if (config_.debug) options.verbosity = VirtiofsdOptions::Verbosity::kDebug;
  const UniqueFd listener = listen_on(socket_path());
  options.listen_fd = listener.get();
  const Flavour flavour = co_await detect_flavour(options.program);
  auto child = start_virtiofsd(executor_, flavour, options, config_.cgroup_procs);
  daemon_ = std::make_shared<VirtiofsdProcess>(executor_, std::move(child), options.verbosity);
  daemon_->watch();
  // With our copy of the socket closed, whoever connects to a dead virtiofsd is refused instead of waiting
  // for ever.
}

Awaitable<> ShareFs::bind_sandbox_mounts() {
  for (const ShareFsConfig::SandboxMount& mount : config_.sandbox_mounts) {
    const std::string name = "sandbox-mounts" + mount.source.substr(mount.source.rfind('/'));
    auto work = [tree = tree_, mount, name] {
      tree.bind(mount.source, name, mount.access, ShareTree::View::kOuter);
    };
    co_await run_in_child(std::move(work), kBindLimit, "sandbox_bind_mounts");
  }
}

std::string ShareFs::share_rootfs(const std::string& container_id, const std::string& source) {
  const std::string name = rootfs_name(container_id);
  with_context("sharing the rootfs of container " + container_id,
               [&] { tree_.bind(source, name, ShareTree::Access::kReadWrite); });
  return guest_path(name);
}

Awaitable<std::string> ShareFs::share_foreign_rootfs(std::string container_id, std::string source) {
  const std::string name = rootfs_name(container_id);
  auto work = [tree = tree_, source, name] {
    tree.bind(source, name, ShareTree::Access::kReadWrite, ShareTree::View::kOuter);
  };
  co_await run_in_child(std::move(work), kBindLimit, "sharing the rootfs of container " + container_id);
  co_return guest_path(name);
}

void ShareFs::unshare_rootfs(const std::string& container_id) {
  tree_.unbind(rootfs_name(container_id));
}

Awaitable<std::optional<std::string>> ShareFs::share_path(SharedPath path) {
  const std::string source = std::move(path.source);
  const ShareTree::Access access = path.access;
  const std::string key = (access == ShareTree::Access::kReadOnly ? "ro " : "rw ") + source;
  if (const auto known = paths_.find(key); known != paths_.end()) {
    ++known->second.users;
    co_return guest_path(known->second.name);
  }
  const std::string name = unique_name("sandbox", 8, source);
  // The child has this process's mount namespace, so that its mounts are ours.
  auto work = [tree = tree_, source, name, access] {
    tree.bind(source, name, access, ShareTree::View::kOuter);
  };
  co_await run_in_child(std::move(work), kBindLimit, "sharing " + source + " with the guest");
  const auto [entry, added] = paths_.try_emplace(key, Shared{.name = name, .users = 0});
  ++entry->second.users;
  // Two calls for one source at a time: the second mount is not needed.
  if (!added) tree_.unbind(name);
  co_return guest_path(entry->second.name);
}

Awaitable<> ShareFs::unshare_path(std::string path) {
  const auto found = std::ranges::find_if(
      paths_, [&path](const auto& entry) { return guest_path(entry.second.name) == path; });
  if (found == paths_.end() || --found->second.users > 0) co_return;
  const std::string name = found->second.name;
  paths_.erase(found);
  auto work = [tree = tree_, name] { tree.unbind(name); };
  co_await run_in_child(std::move(work), kBindLimit, "taking " + path + " out of the share");
}

Awaitable<std::string> ShareFs::daemon_end() {
  const auto daemon = daemon_;
  if (!daemon) throw Error(Code::kFailedPrecondition, "watching a virtiofsd that was not started");
  co_return co_await daemon->end();
}

pid_t ShareFs::pid() const {
  return daemon_ ? daemon_->pid() : 0;
}

Awaitable<> ShareFs::release() {
  if (state_ != State::kPrepared) co_return;
  state_ = State::kReleased;
  Teardown teardown("shared folder of sandbox " + config_.sandbox_id, warn());
  if (const auto daemon = daemon_) {
    std::exception_ptr failure;
    try {
      co_await daemon->stop();
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) teardown.failed("ending virtiofsd", to_error(failure).message());
  }
  teardown.step("removing the socket", [this] {
    if (::unlink(socket_path().c_str()) != 0 && errno != ENOENT) throw_errno("removing " + socket_path());
  });
  tree_.remove(teardown);
  paths_.clear();
}

void ShareFs::clean_up(std::string_view sandbox_id, Teardown& teardown, std::string_view base) {
  teardown.step("cleaning the shared folder", [&] { ShareTree(base, sandbox_id).remove(teardown); });
}

}  // namespace kata::share_fs
