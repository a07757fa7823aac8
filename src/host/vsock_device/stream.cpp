#include "host/vsock_device/stream.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>

namespace kata::vsock_device {
namespace {

constexpr size_t kLineLimit = 64;
// The guest is told of freed buffer space when this much has come together.
constexpr uint32_t kCreditStep = Stream::kBufferSize / 2;

// "CONNECT <port>" in any case, without the newline.
std::optional<uint32_t> parse_connect(std::string_view line) {
  constexpr std::string_view kVerb = "CONNECT ";
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.size() <= kVerb.size()) return std::nullopt;
  const bool verb = std::equal(kVerb.begin(), kVerb.end(), line.begin(), [](char expected, char given) {
    return expected == std::toupper(static_cast<unsigned char>(given));
  });
  if (!verb) return std::nullopt;
  const char* first = line.data() + kVerb.size();
  const char* last = line.data() + line.size();
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(first, last, port);
  if (error != std::errc() || end != last) return std::nullopt;
  return port;
}

}  // namespace

std::expected<std::optional<uint32_t>, Error> Stream::read_line() {
  std::array<char, kLineLimit> bytes;
  const ssize_t peeked = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (peeked < 0 && (errno == EAGAIN || errno == EINTR)) {
    readable_ = false;
    return std::nullopt;
  }
  if (peeked <= 0)
    return std::unexpected(Error(Code::kUnavailable, "host connection ended before its CONNECT line"));
  const std::string_view text(bytes.data(), static_cast<size_t>(peeked));
  const size_t length = text.find('\n');
  if (length == std::string_view::npos) {
    if (text.size() < kLineLimit) return std::nullopt;
    return std::unexpected(Error(Code::kInvalidArgument, "host connection without a CONNECT line"));
  }
  const std::optional<uint32_t> port = parse_connect(text.substr(0, length));
  if (!port)
    return std::unexpected(
        Error(Code::kInvalidArgument, "host connection whose first line is not CONNECT <port>"));
  // What follows the line belongs to the guest.
  if (::recv(fd_.get(), bytes.data(), length + 1, MSG_DONTWAIT) != static_cast<ssize_t>(length + 1))
    return std::unexpected(Error(Code::kUnavailable, "host connection whose CONNECT line vanished"));
  return port;
}

void Stream::hold(uint32_t guest_port) {
  key_.guest_port = guest_port;
  state_ = State::kHeld;
}

void Stream::request(const StreamKey& key) {
  key_ = key;
  state_ = State::kRequested;
  control_ |= kSendRequest;
}

void Stream::accept(const StreamKey& key, const PacketHeader& request) {
  key_ = key;
  state_ = State::kConnected;
  readable_ = true;
  note_credit(request);
  control_ |= kSendResponse;
}

bool Stream::take(const PacketHeader& packet, std::span<const iovec> payload) {
  note_credit(packet);
  switch (packet.operation) {
    case Operation::kResponse: {
      if (state_ != State::kRequested) return false;
      const std::string answer = "OK " + std::to_string(key_.host_port) + "\n";
      if (::send(fd_.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
          static_cast<ssize_t>(answer.size()))
        return false;
      state_ = State::kConnected;
      readable_ = true;
      return true;
    }
    case Operation::kReadWrite:
      return take_data(packet, payload);
    case Operation::kCreditUpdate:
      return state_ == State::kConnected || state_ == State::kClosing;
    case Operation::kCreditRequest:
      if (state_ != State::kConnected) return state_ == State::kClosing;
      control_ |= kSendCredit;
      return true;
    case Operation::kShutdown:
      if (state_ != State::kConnected) return false;
      take_shutdown(packet.flags & kShutdownBoth);
      return true;
    case Operation::kReset:
      // After an orderly shutdown the bytes on their way still belong to the host.
      if (guest_shutdown_ == kShutdownBoth && kept() > 0) {
        state_ = State::kLingering;
        control_ = 0;
      } else {
        drop();
      }
      return true;
    case Operation::kRequest:
      return false;
  }
  return false;
}

bool Stream::take_data(const PacketHeader& packet, std::span<const iovec> payload) {
  if (state_ != State::kConnected || (guest_shutdown_ & kShutdownSend) != 0) return false;
  if (packet.length > kBufferSize - std::min<size_t>(kept(), kBufferSize)) return false;
  if (host_deaf_) {
    forwarded(packet.length);
    return true;
  }
  const size_t taken = kept() == 0 ? write_some(payload) : 0;
  if (host_deaf_)
    forwarded(packet.length);
  else
    keep(payload, taken);
  return true;
}

void Stream::take_shutdown(uint32_t flags) {
  guest_shutdown_ |= flags;
  if ((guest_shutdown_ & kShutdownReceive) != 0) shut_host(SHUT_RD);
  if (kept() == 0) finish_guest_side();
}

// Everything the guest sent before its shutdown has reached the host.
void Stream::finish_guest_side() {
  if ((guest_shutdown_ & kShutdownSend) == 0) return;
  if (guest_shutdown_ == kShutdownBoth) {
    control_ = kSendReset;
    fd_.reset();
    return;
  }
  shut_host(SHUT_WR);
}

void Stream::shut_host(int how) {
  if (fd_) ::shutdown(fd_.get(), how);
}

size_t Stream::write_some(std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  const ssize_t count = fd_ ? ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
  if (count >= 0) {
    forwarded(static_cast<size_t>(count));
    return static_cast<size_t>(count);
  }
  if (fd_ && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)) return 0;
  // Nobody reads on the host any more: the guest's writer is told, its data dropped. What the host still has
  // to say is delivered.
  host_deaf_ = true;
  shutdown_flags_ |= kShutdownReceive;
  control_ |= kSendShutdown;
  return 0;
}

void Stream::keep(std::span<const iovec> pieces, size_t skip) {
  for (const iovec& piece : pieces) {
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    const auto* data = static_cast<const std::byte*>(piece.iov_base);
    kept_.insert(kept_.end(), data + skip, data + piece.iov_len);
    skip = 0;
  }
}

void Stream::flush() {
  if (kept() == 0) return;
  const iovec piece{.iov_base = kept_.data() + kept_start_, .iov_len = kept()};
  kept_start_ += write_some(std::span(&piece, 1));
  if (host_deaf_) {
    forwarded(kept());
    kept_start_ = kept_.size();
  }
  if (kept() > 0) return;
  kept_ = {};
  kept_start_ = 0;
  if (state_ == State::kLingering)
    drop();
  else
    finish_guest_side();
}

void Stream::forwarded(size_t bytes) {
  forwarded_ += static_cast<uint32_t>(bytes);
  if (state_ == State::kConnected && forwarded_ - announced_ >= kCreditStep) control_ |= kSendCredit;
}

void Stream::note_credit(const PacketHeader& packet) {
  peer_buffer_ = packet.buffer_size;
  peer_forwarded_ = packet.forwarded;
}

uint32_t Stream::credit() const {
  const uint32_t in_flight = sent_ - peer_forwarded_;
  return in_flight >= peer_buffer_ ? 0 : peer_buffer_ - in_flight;
}

bool Stream::can_read() const {
  return state_ == State::kConnected && readable_ && !host_ended_ && fd_ &&
         (guest_shutdown_ & kShutdownReceive) == 0 && credit() > 0;
}

size_t Stream::read(std::span<const iovec> pieces) {
  const ssize_t count = ::readv(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
  if (count > 0) return static_cast<size_t>(count);
  if (count < 0 && errno == EINTR) return 0;
  if (count < 0 && errno == EAGAIN)
    readable_ = false;
  else
    end_of_host();
  return 0;
}

// The host will send no more. Whether it has closed altogether is known from the hang-up, which may still
// come.
void Stream::end_of_host() {
  host_ended_ = true;
  shutdown_flags_ |= hung_up_ ? kShutdownBoth : kShutdownSend;
  control_ |= kSendShutdown;
}

void Stream::note_hang_up() {
  hung_up_ = true;
  const bool nothing_to_read = host_ended_ || (guest_shutdown_ & kShutdownReceive) != 0;
  if (state_ != State::kConnected || !fd_ || !nothing_to_read || shutdown_flags_ == kShutdownBoth) return;
  shutdown_flags_ = kShutdownBoth;
  control_ |= kSendShutdown;
}

std::optional<PacketHeader> Stream::next_control() {
  const auto due = [this](Control bit) {
    const bool set = (control_ & bit) != 0;
    control_ = static_cast<uint8_t>(control_ & ~bit);
    return set;
  };
  if (due(kSendReset)) {
    const PacketHeader result = header(Operation::kReset);
    drop();
    return result;
  }
  if (due(kSendRequest)) return header(Operation::kRequest);
  if (due(kSendResponse)) return header(Operation::kResponse);
  if (due(kSendShutdown)) {
    PacketHeader result = header(Operation::kShutdown);
    result.flags = shutdown_flags_;
    if (shutdown_flags_ == kShutdownBoth) {
      state_ = State::kClosing;
      fd_.reset();
    }
    return result;
  }
  if (due(kSendCredit)) return header(Operation::kCreditUpdate);
  return std::nullopt;
}

PacketHeader Stream::header(Operation operation) {
  announced_ = forwarded_;
  control_ = static_cast<uint8_t>(control_ & ~kSendCredit);
  return {.source_cid = kHostCid,
          .source_port = key_.host_port,
          .destination_port = key_.guest_port,
          .operation = operation,
          .buffer_size = kBufferSize,
          .forwarded = forwarded_};
}

PacketHeader Stream::data_header(uint32_t length) {
  PacketHeader result = header(Operation::kReadWrite);
  result.length = length;
  sent_ += length;
  return result;
}

void Stream::drop() {
  fd_.reset();
  kept_ = {};
  kept_start_ = 0;
  control_ = 0;
  state_ = State::kDone;
}

}  // namespace kata::vsock_device
