// The packet handler: moves packets between the two rings of the guest and the sockets of the host.
//
// Works on virtqueues and descriptors that it is given; event loop, sockets' addresses and the vhost-user
// session are the caller's. Payload moves with one system call directly between guest memory and socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "host/vsock_device/packet.h"
#include "host/vsock_device/stream.h"
#include "host/vsock_device/virtqueue.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

using TimePoint = std::chrono::steady_clock::time_point;

// What the switch needs of the host.
class HostSide {
 public:
  virtual ~HostSide() = default;
  // A connected non-blocking socket to whoever listens for the guest on this port of the host; none if
  // nobody.
  virtual UniqueFd connect(uint32_t port) = 0;
  // From now on the events of stream.fd() are to be reported to Switch::on_event, edge-triggered, until it is
  // closed.
  virtual void watch(Stream& stream) = 0;
};

class Switch {
 public:
  // How long the guest may take to answer the end of a connection (as Linux does).
  static constexpr std::chrono::seconds kCloseTimeout{8};
  // RESET packets that wait for a buffer of the guest; when there are more, its packets wait too.
  static constexpr size_t kMaxResets = 128;

  // What a pass over a ring did.
  struct Progress {
    // The guest is to be interrupted.
    bool interrupt = false;
    // The pass ended before its work did: call again.
    bool more = false;
  };

  Switch(uint32_t cid, HostSide& host, size_t max_streams);
  ~Switch();
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

  // A host program has connected; it will send its CONNECT line. Refused (closed) when there are too many
  // streams.
  void add_host_connection(UniqueFd fd);
  // epoll_event.events of a watched stream, which may have ended meanwhile.
  void on_event(Stream& stream, uint32_t events);

  // The guest's driver runs: connections that waited for it are requested.
  void guest_up();
  // The guest's driver is gone: all its connections end. Connections that wait for a guest stay.
  void guest_down();

  // Handles packets of the guest. An error means a broken ring.
  std::expected<Progress, Error> drain(Virtqueue& tx);
  // Sends the guest what is due, as far as it has buffers.
  std::expected<Progress, Error> fill(Virtqueue& rx);
  // Whether packets of the guest have to wait until it has taken some of ours.
  [[nodiscard]] bool stalled() const { return resets_.size() >= kMaxResets; }

  // Sets the time and ends what has timed out.
  void tick(TimePoint now);
  // When tick() is next of use; none if never.
  [[nodiscard]] std::optional<TimePoint> next_expiry() const;
  // Frees ended streams: no event that was fetched before may be delivered after.
  void sweep();

  [[nodiscard]] size_t stream_count() const { return streams_.size(); }
  [[nodiscard]] size_t free_streams() const {
    return streams_.size() < max_streams_ ? max_streams_ - streams_.size() : 0;
  }

 private:
  void handle(std::vector<iovec>& pieces, uint64_t bytes);
  void open_from_guest(const StreamKey& key, const PacketHeader& request);
  void open_from_host(Stream& stream);
  void reset(const StreamKey& key, uint16_t type);
  void read_line(Stream& stream);
  // Draws the consequences of whatever just happened to the stream.
  void settle(Stream& stream);
  void forget_key(const Stream& stream);
  Stream& own(std::unique_ptr<Stream> stream);

  // One packet or one batch of data towards the guest. False: no buffer.
  std::expected<bool, Error> send_reset(Virtqueue& rx);
  std::expected<bool, Error> send_control(Virtqueue& rx, Stream& stream);
  std::expected<bool, Error> send_data(Virtqueue& rx, Stream& stream);
  std::expected<bool, Error> send_next(Virtqueue& rx);
  std::expected<std::optional<Chain>, Error> take_buffer(Virtqueue& rx);
  void finish_buffer(Virtqueue& rx, const Chain& chain, PacketHeader header);
  std::expected<size_t, Error> take_buffers(Virtqueue& rx, uint32_t credit);
  void finish_buffers(Virtqueue& rx, Stream& stream, size_t count);

  uint32_t cid_;
  HostSide& host_;
  size_t max_streams_;
  bool guest_up_ = false;
  TimePoint now_{};
  uint32_t next_port_ = 1U << 30;

  std::unordered_map<Stream*, std::unique_ptr<Stream>> streams_;
  std::map<StreamKey, Stream*> by_key_;
  std::deque<Stream*> ready_;
  std::deque<PacketHeader> resets_;
  std::deque<std::pair<TimePoint, StreamKey>> closing_;
  std::vector<std::unique_ptr<Stream>> graveyard_;

  // Kept between calls for their memory only.
  std::vector<iovec> pieces_;
  std::vector<iovec> payload_;
  std::vector<Chain> chains_;
};

}  // namespace kata::vsock_device
