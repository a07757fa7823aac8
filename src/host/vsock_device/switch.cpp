#include "host/vsock_device/switch.h"

#include <algorithm>
#include <sys/epoll.h>
#include <utility>

namespace kata::vsock_device {
namespace {

// Packets of one pass over the guest's ring.
constexpr int kDrainBudget = 256;

// Copies the header out of the front of `pieces` and takes it off them. There are enough bytes.
HeaderBytes take_header(std::vector<iovec>& pieces) {
  HeaderBytes bytes;
  size_t done = 0;
  size_t index = 0;
  while (done < bytes.size()) {
    iovec& piece = pieces[index];
    const size_t length = std::min(piece.iov_len, bytes.size() - done);
    std::copy_n(static_cast<const std::byte*>(piece.iov_base), length, bytes.begin() + done);
    done += length;
    piece.iov_base = static_cast<std::byte*>(piece.iov_base) + length;
    piece.iov_len -= length;
    if (piece.iov_len == 0) ++index;
  }
  pieces.erase(pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(index));
  return bytes;
}

// Cuts `pieces` to `length` bytes in all.
void cut(std::vector<iovec>& pieces, size_t length) {
  size_t index = 0;
  for (; index < pieces.size() && length > 0; ++index) {
    pieces[index].iov_len = std::min(pieces[index].iov_len, length);
    length -= pieces[index].iov_len;
  }
  pieces.resize(index);
}

}  // namespace

Switch::Switch(uint32_t cid, HostSide& host, size_t max_streams)
    : cid_(cid), host_(host), max_streams_(max_streams) {}

Switch::~Switch() = default;

Stream& Switch::own(std::unique_ptr<Stream> stream) {
  Stream* raw = stream.get();
  streams_.emplace(raw, std::move(stream));
  host_.watch(*raw);
  return *raw;
}

void Switch::add_host_connection(UniqueFd fd) {
  if (free_streams() == 0) return;
  read_line(own(std::make_unique<Stream>(std::move(fd), Stream::State::kLine)));
}

void Switch::on_event(Stream& stream, uint32_t events) {
  if (stream.state() == Stream::State::kDone) return;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) stream.note_readable();
  if ((events & EPOLLOUT) != 0) stream.flush();
  const bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
  switch (stream.state()) {
    case Stream::State::kLine:
      read_line(stream);
      return;
    case Stream::State::kHeld:
    case Stream::State::kRequested:
      if (hung_up) stream.drop();
      break;
    default:
      if (hung_up) stream.note_hang_up();
      break;
  }
  settle(stream);
}

void Switch::read_line(Stream& stream) {
  const auto port = stream.read_line();
  if (!port) {
    stream.drop();
  } else if (*port) {
    stream.hold(**port);
    if (guest_up_) open_from_host(stream);
  }
  settle(stream);
}

void Switch::open_from_host(Stream& stream) {
  StreamKey key{.host_port = 0, .guest_port = stream.key().guest_port};
  do {
    key.host_port = next_port_++;
    if (next_port_ == 0xffffffffU) next_port_ = 1U << 30;
  } while (by_key_.contains(key));
  stream.request(key);
  by_key_[key] = &stream;
}

void Switch::guest_up() {
  guest_up_ = true;
  for (const auto& [stream, owner] : streams_) {
    if (stream->state() != Stream::State::kHeld) continue;
    open_from_host(*stream);
    settle(*stream);
  }
}

void Switch::guest_down() {
  guest_up_ = false;
  std::vector<Stream*> ended;
  for (const auto& [key, stream] : by_key_) ended.push_back(stream);
  for (Stream* stream : ended) {
    stream->drop();
    settle(*stream);
  }
  resets_.clear();
  closing_.clear();
}

void Switch::forget_key(const Stream& stream) {
  const auto found = by_key_.find(stream.key());
  if (found != by_key_.end() && found->second == &stream) by_key_.erase(found);
}

void Switch::settle(Stream& stream) {
  switch (stream.state()) {
    case Stream::State::kDone: {
      forget_key(stream);
      const auto found = streams_.find(&stream);
      if (found == streams_.end()) return;
      graveyard_.push_back(std::move(found->second));
      streams_.erase(found);
      return;
    }
    case Stream::State::kLingering:
      forget_key(stream);
      return;
    default:
      if (stream.queued || !stream.has_work()) return;
      stream.queued = true;
      ready_.push_back(&stream);
      return;
  }
}

void Switch::sweep() {
  if (graveyard_.empty()) return;
  std::erase_if(ready_, [](const Stream* stream) { return stream->state() == Stream::State::kDone; });
  graveyard_.clear();
}

void Switch::tick(TimePoint now) {
  now_ = now;
  while (!closing_.empty() && closing_.front().first <= now) {
    const auto found = by_key_.find(closing_.front().second);
    closing_.pop_front();
    if (found == by_key_.end() || found->second->state() != Stream::State::kClosing) continue;
    Stream& stream = *found->second;
    reset(stream.key(), kTypeStream);
    stream.drop();
    settle(stream);
  }
}

std::optional<TimePoint> Switch::next_expiry() const {
  if (closing_.empty()) return std::nullopt;
  return closing_.front().first;
}

std::expected<Switch::Progress, Error> Switch::drain(Virtqueue& tx) {
  Progress progress{.more = true};
  for (int budget = kDrainBudget; budget > 0 && !stalled(); --budget) {
    pieces_.clear();
    const auto chain = tx.pop(Access::kDeviceReads, pieces_);
    if (!chain) return std::unexpected(chain.error());
    if (!*chain) {
      if (tx.arm_kick()) continue;
      progress.more = false;
      break;
    }
    handle(pieces_, (*chain)->bytes);
    tx.push(**chain, 0);
  }
  progress.interrupt = tx.publish();
  return progress;
}

void Switch::handle(std::vector<iovec>& pieces, uint64_t bytes) {
  if (bytes < kHeaderSize) return;
  const PacketHeader header = decode(take_header(pieces));
  if (header.source_cid != cid_ || header.destination_cid != kHostCid) return;
  const StreamKey key{.host_port = header.destination_port, .guest_port = header.source_port};
  const auto found = by_key_.find(key);
  if (header.type != kTypeStream || found == by_key_.end()) {
    if (header.type == kTypeStream && header.operation == Operation::kRequest)
      open_from_guest(key, header);
    else if (header.operation != Operation::kReset)
      reset(key, header.type);
    return;
  }
  Stream& stream = *found->second;
  cut(pieces, header.length);
  const bool complete = bytes - kHeaderSize >= header.length;
  if (!complete || !stream.take(header, pieces)) {
    reset(key, kTypeStream);
    stream.drop();
  }
  settle(stream);
}

void Switch::open_from_guest(const StreamKey& key, const PacketHeader& request) {
  UniqueFd fd = free_streams() > 0 ? host_.connect(key.host_port) : UniqueFd();
  if (!fd) {
    reset(key, kTypeStream);
    return;
  }
  Stream& stream = own(std::make_unique<Stream>(std::move(fd), Stream::State::kHeld));
  stream.accept(key, request);
  by_key_[key] = &stream;
  settle(stream);
}

void Switch::reset(const StreamKey& key, uint16_t type) {
  resets_.push_back({.source_cid = kHostCid,
                     .destination_cid = cid_,
                     .source_port = key.host_port,
                     .destination_port = key.guest_port,
                     .type = type,
                     .operation = Operation::kReset});
}

}  // namespace kata::vsock_device
