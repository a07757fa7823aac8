#include "host/vsock_device/event_loop.h"

#include <cerrno>

#include "lib/error/error.h"

namespace kata::vsock_device {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw_errno("creating an epoll instance");
}

void EventLoop::add(int fd, uint32_t events, void* token) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = token;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("watching a descriptor");
}

void EventLoop::remove(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

std::span<const epoll_event> EventLoop::wait(int timeout_ms) {
  const int count = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms);
  if (count < 0 && errno != EINTR) throw_errno("waiting for events");
  return std::span(events_).first(count < 0 ? 0 : static_cast<size_t>(count));
}

}  // namespace kata::vsock_device
