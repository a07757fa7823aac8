#include "host/vsock_device/device.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "host/vsock_device/listener.h"
#include "lib/log/log.h"

namespace kata::vsock_device {
namespace {

// How long the listener rests when the system has no descriptor for a connection.
constexpr int kAcceptPauseMs = 100;

}  // namespace

Device::Device(const DeviceConfig& config, UniqueFd vhost_user, UniqueFd uds)
    : config_(config),
      uds_(std::move(uds)),
      switch_(config.cid, *this, config.max_streams),
      session_(std::move(vhost_user), config.cid, *this) {
  loop_.add(session_.fd(), EPOLLIN, &session_token_);
  set_accepting(true);
}

void Device::run() {
  while (run_once(-1)) {
  }
}

bool Device::run_once(int limit_ms) {
  for (const epoll_event& event : loop_.wait(timeout(limit_ms))) {
    dispatch(event);
    if (!connected_) return false;
  }
  switch_.tick(std::chrono::steady_clock::now());
  pump();
  switch_.sweep();
  if (!accepting_ && switch_.free_streams() > 0) set_accepting(true);
  return true;
}

int Device::timeout(int limit_ms) const {
  if (unfinished_) return 0;
  const auto earlier = [&](int candidate) {
    if (limit_ms < 0 || candidate < limit_ms) limit_ms = candidate;
  };
  if (!accepting_ && switch_.free_streams() > 0) earlier(kAcceptPauseMs);
  if (const auto expiry = switch_.next_expiry()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*expiry - std::chrono::steady_clock::now()).count();
    earlier(static_cast<int>(std::clamp<long long>(left, 0, 60'000)));
  }
  return limit_ms;
}

void Device::dispatch(const epoll_event& event) {
  if (event.data.ptr == &session_token_) {
    on_session();
  } else if (event.data.ptr == &listener_token_) {
    on_listener();
  } else if (event.data.ptr != &kick_token_) {
    switch_.on_event(*static_cast<Stream*>(event.data.ptr), event.events);
  }
}

void Device::on_session() {
  connected_ = session_.handle_message();
  follow_guest();
}

void Device::on_listener() {
  while (switch_.free_streams() > 0) {
    UniqueFd fd = accept_connection(uds_.get());
    if (fd) {
      switch_.add_host_connection(std::move(fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) set_accepting(false);
    return;
  }
  // The rest waits in the listener's queue until a stream ends.
  set_accepting(false);
}

void Device::set_accepting(bool wanted) {
  if (wanted == accepting_) return;
  accepting_ = wanted;
  if (wanted)
    loop_.add(uds_.get(), EPOLLIN, &listener_token_);
  else
    loop_.remove(uds_.get());
}

UniqueFd Device::connect(uint32_t port) {
  return connect_unix(config_.uds_path + "_" + std::to_string(port));
}

void Device::watch(Stream& stream) {
  loop_.add(stream.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &stream);
}

// Edge-triggered: each kick is one event, and the counter need not be read.
void Device::ring_started(RingRole role, int kick) {
  if (role != RingRole::kEvent) loop_.add(kick, EPOLLIN | EPOLLET, &kick_token_);
}

void Device::ring_stopped(RingRole role, int kick) {
  if (role != RingRole::kEvent) loop_.remove(kick);
}

void Device::follow_guest() {
  const bool up =
      session_.ring(RingRole::kReceive) != nullptr && session_.ring(RingRole::kTransmit) != nullptr;
  if (up == guest_up_) return;
  guest_up_ = up;
  log::info(up ? "guest driver is up" : "guest driver is down");
  if (up)
    switch_.guest_up();
  else
    switch_.guest_down();
}

void Device::pump() {
  unfinished_ = false;
  if (!guest_up_) return;
  const bool more_to_take = pump_transmit();
  if (!guest_up_) return;
  const bool more_to_give = pump_receive();
  unfinished_ = guest_up_ && (more_to_give || (more_to_take && !switch_.stalled()));
}

bool Device::pump_transmit() {
  return conclude(RingRole::kTransmit, switch_.drain(*session_.ring(RingRole::kTransmit)));
}

bool Device::pump_receive() {
  return conclude(RingRole::kReceive, switch_.fill(*session_.ring(RingRole::kReceive)));
}

bool Device::conclude(RingRole role, const std::expected<Switch::Progress, Error>& progress) {
  if (!progress) {
    log::error("virtqueue stopped", {{"reason", progress.error().message()}});
    session_.fail(role);
    follow_guest();
    return false;
  }
  if (progress->interrupt) session_.call(role);
  return progress->more;
}

}  // namespace kata::vsock_device
