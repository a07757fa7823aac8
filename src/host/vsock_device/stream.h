// One connection between a port of the guest and a Unix socket on the host: state, credit both ways, half
// close. Knows nothing of rings: the switch asks it what to send and hands it what came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <sys/uio.h>
#include <utility>
#include <vector>

#include "host/vsock_device/packet.h"
#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

// A connection of one VM: the guest's context id is always the same.
struct StreamKey {
  uint32_t host_port = 0;
  uint32_t guest_port = 0;
  auto operator<=>(const StreamKey&) const = default;
};

class Stream {
 public:
  // Receive buffer that the guest is told of, bytes: the most that is kept for a host reader that is slower
  // than the guest.
  static constexpr uint32_t kBufferSize = 256 * 1024;

  enum class State {
    // Host side: the "CONNECT <port>" line has not come yet.
    kLine,
    // Host side: waits until the guest's driver is up.
    kHeld,
    // REQUEST is sent or about to be.
    kRequested,
    kConnected,
    // The host side is gone; the guest was told and has not answered yet.
    kClosing,
    // The guest is gone; bytes it sent before are on their way to the host.
    kLingering,
    // Nothing left to do.
    kDone,
  };

  // A non-blocking connected socket. The name of the connection comes with request() or accept().
  Stream(UniqueFd fd, State state) : fd_(std::move(fd)), state_(state) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const StreamKey& key() const { return key_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  // kLine: the port once the line is complete, none while it is not. An error ends the stream: bad line or
  // end of file.
  std::expected<std::optional<uint32_t>, Error> read_line();
  // kLine → kHeld.
  void hold(uint32_t guest_port);
  // kHeld → kRequested, under the connection's final name.
  void request(const StreamKey& key);
  // A connection that the guest asked for and the host took: answers RESPONSE.
  void accept(const StreamKey& key, const PacketHeader& request);

  // What epoll says of the socket; sticky until a call says EAGAIN.
  void note_readable() { readable_ = true; }
  // Both directions of the socket are shut.
  void note_hang_up();
  // Bytes that wait for the host go out as far as it takes them.
  void flush();

  // A packet of the guest for this connection. False when it breaks the protocol: reset the connection.
  [[nodiscard]] bool take(const PacketHeader& header, std::span<const iovec> payload);

  // A packet without payload that is due, with its flags cleared; none when there is none.
  std::optional<PacketHeader> next_control();
  // Whether the guest is due a packet: control, or data that the socket may have and the guest has room for.
  [[nodiscard]] bool has_work() const { return control_ != 0 || can_read(); }
  [[nodiscard]] bool can_read() const;
  // Whether the control packet that is due must not wait for data (which carries the credit along).
  [[nodiscard]] bool control_first() const {
    return (control_ & ~kSendCredit) != 0 || (control_ != 0 && !can_read());
  }
  // Bytes that the guest has room for.
  [[nodiscard]] uint32_t credit() const;
  // Reads data for the guest into its own buffers. 0: nothing now (has_work() has changed).
  size_t read(std::span<const iovec> pieces);
  // The header of a data packet of `length` bytes, counted against the credit.
  PacketHeader data_header(uint32_t length);

  // Ends the connection at once, without a word to anybody.
  void drop();

  // The switch's mark: stands in its queue of streams with work.
  bool queued = false;

 private:
  enum Control : uint8_t {
    kSendRequest = 1,
    kSendResponse = 2,
    kSendShutdown = 4,
    kSendCredit = 8,
    kSendReset = 16,
  };
  [[nodiscard]] PacketHeader header(Operation operation);
  void note_credit(const PacketHeader& header);
  [[nodiscard]] bool take_data(const PacketHeader& header, std::span<const iovec> payload);
  void take_shutdown(uint32_t flags);
  // Hands bytes to the socket; returns how many it took. Notices a host that does not read any more.
  size_t write_some(std::span<const iovec> pieces);
  void keep(std::span<const iovec> pieces, size_t skip);
  void forwarded(size_t bytes);
  void end_of_host();
  void shut_host(int how);
  void finish_guest_side();
  [[nodiscard]] size_t kept() const { return kept_.size() - kept_start_; }

  UniqueFd fd_;
  State state_;
  StreamKey key_;
  uint8_t control_ = 0;
  uint32_t shutdown_flags_ = 0;

  bool readable_ = false;
  bool hung_up_ = false;
  // Host to guest: end of file seen, nothing more to send.
  bool host_ended_ = false;
  // The host does not read any more: what the guest sends is dropped.
  bool host_deaf_ = false;
  // Flags of the guest's SHUTDOWN packets so far.
  uint32_t guest_shutdown_ = 0;

  // Guest to host: bytes the socket took, the count the guest knows, bytes that wait for the socket.
  uint32_t forwarded_ = 0;
  uint32_t announced_ = 0;
  std::vector<std::byte> kept_;
  size_t kept_start_ = 0;

  // Host to guest: bytes sent, and what the guest said of its buffer.
  uint32_t sent_ = 0;
  uint32_t peer_buffer_ = 0;
  uint32_t peer_forwarded_ = 0;
};

}  // namespace kata::vsock_device
