// watchable-bind: a ConfigMap's or secret's folder on the share, copied into the guest's memory and kept up
// to date, because changes on the host raise no file system events in the guest.
#include <algorithm>
#include <csignal>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <poll.h>
#include <unistd.h>

#include "guest/storage/handlers.h"
#include "guest/storage/mirror.h"
#include "guest/storage/mount_step.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::storage {
namespace {

constexpr int kRescanMs = 500;
// A burst of events is one change.
constexpr int kSettleMs = 20;
// An update holds old and new content side by side, and a folder may grow later.
MirrorLimits later(MirrorLimits limits) {
  return {.files = 4 * limits.files, .bytes = 8 * limits.bytes};
}
constexpr const char* kHome = "/run/kata-containers/sandbox/watchable";

void check_place(const std::string& mount_point) {
  const std::string folder = mount_point.substr(0, mount_point.rfind('/'));
  const std::string_view parent = std::string_view(folder).substr(folder.rfind('/') + 1);
  if (parent != "watchable")
    throw Error(Code::kInvalidArgument, "storage mount_point " + mount_point +
                                            ": watchable-bind mounts lie directly in a folder watchable");
}

struct Places {
  std::string home, target, stage;
};

Places places_of(const std::string& mount_point) {
  std::string name = mount_point;
  std::ranges::replace(name, '/', '-');
  // Two roots can hold the same name: the whole path is the key.
  const std::string home = std::string(kHome) + "/" + name.substr(name.size() > 200 ? name.size() - 200 : 0);
  return {.home = home, .target = home + "/data", .stage = home + "/stage"};
}

void fill(const std::string& source, const Places& places, MirrorLimits limits) {
  const std::string size = std::to_string(4 * later(limits).bytes);
  kernel::mount("watchable", places.home, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=" + size);
  if (::mkdir(places.target.c_str(), 0755) != 0 || ::mkdir(places.stage.c_str(), 0700) != 0)
    throw_errno("making the folders of a watched folder");
  struct stat info{};
  if (::stat(source.c_str(), &info) == 0) {
    if (::chown(places.target.c_str(), info.st_uid, info.st_gid) != 0 ||
        ::chmod(places.target.c_str(), info.st_mode & 07777) != 0)
      throw_errno("copying the owner and mode of " + source);
  }
  Mirror(source, places.target, places.stage, limits).update();
}

// Waits for an event where events come (the guest's own changes, other file systems), else for the next look.
void wait_for_change(int inotify) {
  pollfd poll{.fd = inotify, .events = POLLIN, .revents = 0};
  if (::poll(&poll, 1, kRescanMs) <= 0) return;
  ::poll(nullptr, 0, kSettleMs);
  alignas(inotify_event) char buffer[4096];
  while (::read(inotify, buffer, sizeof buffer) > 0) {
  }
}

// The body of the watching process: the share may hang, and with it only this process.
[[noreturn]] void watch(const std::string& source, const Places& places, MirrorLimits limits, pid_t agent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != agent) ::_exit(0);
  ::prctl(PR_SET_NAME, "kata-watchable");
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) ::signal(number, SIG_DFL);
  // None of the agent's descriptors: an end of a container's pipe held here would keep it open.
  log::set_sink(nullptr);
  ::close_range(3, ~0U, 0);
  const int inotify = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ::inotify_add_watch(inotify, source.c_str(),
                      IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_ATTRIB | IN_CLOSE_WRITE);
  Mirror mirror(source, places.target, places.stage, later(limits));
  for (;;) {
    try {
      mirror.update();
    } catch (const Error&) {
      // The source is changing or beyond the limits: what is there stays, the next look may be better.
    }
    wait_for_change(inotify);
  }
}

struct Watcher {
  std::shared_ptr<ChildProcess> process;
  ~Watcher() { process->signal(SIGKILL); }
};

Awaitable<> bind_source(const Storage& storage, const std::string& source,
                        const std::vector<std::string>& options, Attached& made) {
  std::vector<std::string> all = options;
  all.emplace_back("bind");
  co_await mount_storage(storage, source, all, made);
}

Awaitable<> undo_mounts(Attached& made, size_t from) {
  Attached part;
  part.mounts.assign(made.mounts.begin() + static_cast<std::ptrdiff_t>(from), made.mounts.end());
  made.mounts.resize(from);
  co_await detach(std::move(part), "watchable-bind");
}

}  // namespace

Awaitable<> attach_watchable(const Storage& storage, const Context& context, Attached& made) {
  check_place(storage.mount_point);
  struct stat info{};
  if (::stat(storage.source.c_str(), &info) != 0) throw_errno("watchable-bind source " + storage.source);
  // A single file: nothing to switch atomically.
  if (!S_ISDIR(info.st_mode)) co_return co_await attach_bind(storage, context, made);
  make_directories(storage.mount_point, made);
  const Places places = places_of(storage.mount_point);
  make_directories(places.home, made);
  const size_t before = made.mounts.size();
  made.mounts.push_back(places.home);
  bool too_large = false;
  try {
    auto body = [&] { fill(storage.source, places, context.watchable); };
    co_await run_in_child(std::move(body), kMountLimit, "storage watchable-bind");
  } catch (const Error& error) {
    if (error.code() != Code::kResourceExhausted) throw;
    too_large = true;
    log::info("watched folder is too large: bound instead",
              {{"source", storage.source}, {"reason", error.message()}});
  }
  if (too_large) {
    co_await undo_mounts(made, before);
    co_return co_await bind_source(storage, storage.source, storage.options, made);
  }
  co_await bind_source(storage, places.target, {"ro", "nosuid", "nodev"}, made);
  const pid_t agent = ::getpid();
  auto keeper = std::make_shared<Watcher>();
  keeper->process = ChildProcess::fork_and_run(
      co_await asio::this_coro::executor, [&] { watch(storage.source, places, context.watchable, agent); },
      -1);
  made.keeper = std::move(keeper);
}

}  // namespace kata::storage
