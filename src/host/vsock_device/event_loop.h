// epoll for one thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <sys/epoll.h>

#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

class EventLoop {
 public:
  EventLoop();
  // `events` as for epoll_ctl(2); they are reported with `token`.
  void add(int fd, uint32_t events, void* token);
  void remove(int fd);
  // Waits at most `timeout_ms` (-1: no limit). The events stay valid until the next call; data.ptr is the
  // token.
  std::span<const epoll_event> wait(int timeout_ms);

 private:
  UniqueFd epoll_;
  std::array<epoll_event, 64> events_{};
};

}  // namespace kata::vsock_device
