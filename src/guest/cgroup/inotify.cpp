#include "guest/cgroup/inotify.h"

#include <array>
#include <sys/inotify.h>

#include <boost/asio/buffer.hpp>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::cgroup {
namespace {

UniqueFd watch(const std::string& path) {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd || ::inotify_add_watch(fd.get(), path.c_str(), IN_MODIFY) < 0) throw_errno("watching " + path);
  return fd;
}

}  // namespace

FileWatch::FileWatch(const asio::any_io_executor& executor, const std::string& path)
    : descriptor_(executor, watch(path).release()) {}

Awaitable<> FileWatch::wait() {
  // Room for several events: they only wake.
  std::array<char, 512> events;
  co_await descriptor_.async_read_some(asio::buffer(events), asio::use_awaitable);
}

}  // namespace kata::cgroup
