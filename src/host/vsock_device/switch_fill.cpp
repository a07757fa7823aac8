// The way to the guest: what is due goes into the buffers that it has put into its receive ring.
#include <algorithm>
#include <utility>

#include "host/vsock_device/switch.h"

namespace kata::vsock_device {
namespace {

// Turns of one pass: after so many the guest is told and other events are looked at.
constexpr int kFillBudget = 8;
// Buffers that one read of a socket fills. Linux puts buffers of 4 KiB there.
constexpr size_t kBatch = 16;
constexpr size_t kBatchBytes = 64 * 1024;
// Pieces of memory of one read.
constexpr size_t kBatchPieces = 512;

// Copies the header over the front of the pieces, which are large enough in all.
void write_header(std::span<const iovec> pieces, const PacketHeader& header) {
  const HeaderBytes bytes = encode(header);
  size_t done = 0;
  for (const iovec& piece : pieces) {
    const size_t length = std::min(piece.iov_len, bytes.size() - done);
    std::copy_n(bytes.begin() + done, length, static_cast<std::byte*>(piece.iov_base));
    done += length;
    if (done == bytes.size()) return;
  }
}

// Appends what lies behind the header, at most `limit` bytes, to `payload`; returns how many bytes that is.
size_t append_payload(std::span<const iovec> pieces, size_t limit, std::vector<iovec>& payload) {
  size_t skip = kHeaderSize;
  size_t total = 0;
  for (const iovec& piece : pieces) {
    const size_t skipped = std::min(skip, piece.iov_len);
    skip -= skipped;
    const size_t length = std::min(piece.iov_len - skipped, limit - total);
    if (length == 0) continue;
    payload.push_back({.iov_base = static_cast<std::byte*>(piece.iov_base) + skipped, .iov_len = length});
    total += length;
  }
  return total;
}

Error too_small(uint64_t bytes) {
  return {Code::kDataLoss,
          "virtqueue of the guest: a receive buffer of " + std::to_string(bytes) + " bytes holds no packet"};
}

}  // namespace

std::expected<Switch::Progress, Error> Switch::fill(Virtqueue& rx) {
  Progress progress;
  for (int turn = 0; turn < kFillBudget && (!resets_.empty() || !ready_.empty()); ++turn) {
    const auto sent = send_next(rx);
    if (!sent) return std::unexpected(sent.error());
    if (!*sent && !rx.arm_kick()) {
      progress.interrupt = rx.publish() || progress.interrupt;
      return progress;
    }
    progress.interrupt = rx.publish() || progress.interrupt;
  }
  progress.more = !resets_.empty() || !ready_.empty();
  return progress;
}

std::expected<bool, Error> Switch::send_next(Virtqueue& rx) {
  if (!resets_.empty()) return send_reset(rx);
  Stream& stream = *ready_.front();
  if (stream.state() == Stream::State::kDone || !stream.has_work()) {
    ready_.pop_front();
    stream.queued = false;
    return true;
  }
  auto sent = stream.control_first() ? send_control(rx, stream) : send_data(rx, stream);
  if (!sent || !*sent) return sent;
  // Whoever still has work goes to the end: nobody waits for a busy stream.
  ready_.pop_front();
  stream.queued = false;
  settle(stream);
  return true;
}

std::expected<std::optional<Chain>, Error> Switch::take_buffer(Virtqueue& rx) {
  pieces_.clear();
  auto chain = rx.pop(Access::kDeviceWrites, pieces_);
  if (chain && *chain && (*chain)->bytes < kHeaderSize) return std::unexpected(too_small((*chain)->bytes));
  return chain;
}

void Switch::finish_buffer(Virtqueue& rx, const Chain& chain, PacketHeader header) {
  header.destination_cid = cid_;
  write_header(pieces_, header);
  rx.push(chain, kHeaderSize);
}

std::expected<bool, Error> Switch::send_reset(Virtqueue& rx) {
  const auto chain = take_buffer(rx);
  if (!chain) return std::unexpected(chain.error());
  if (!*chain) return false;
  finish_buffer(rx, **chain, resets_.front());
  resets_.pop_front();
  return true;
}

std::expected<bool, Error> Switch::send_control(Virtqueue& rx, Stream& stream) {
  const auto chain = take_buffer(rx);
  if (!chain) return std::unexpected(chain.error());
  if (!*chain) return false;
  const std::optional<PacketHeader> header = stream.next_control();
  if (!header) {
    rx.unpop(1);
    return true;
  }
  finish_buffer(rx, **chain, *header);
  if (header->operation == Operation::kShutdown && stream.state() == Stream::State::kClosing)
    closing_.emplace_back(now_ + kCloseTimeout, stream.key());
  return true;
}

std::expected<size_t, Error> Switch::take_buffers(Virtqueue& rx, uint32_t credit) {
  pieces_.clear();
  payload_.clear();
  chains_.clear();
  const size_t wanted = std::min<size_t>(credit, kBatchBytes);
  size_t room = 0;
  while (chains_.size() < kBatch && room < wanted && payload_.size() < kBatchPieces) {
    const auto chain = rx.pop(Access::kDeviceWrites, pieces_);
    if (!chain) return std::unexpected(chain.error());
    if (!*chain) break;
    if ((*chain)->bytes <= kHeaderSize) return std::unexpected(too_small((*chain)->bytes));
    chains_.push_back(**chain);
    room +=
        append_payload(std::span(pieces_).subspan((*chain)->first, (*chain)->count), wanted - room, payload_);
  }
  return room;
}

std::expected<bool, Error> Switch::send_data(Virtqueue& rx, Stream& stream) {
  const auto room = take_buffers(rx, stream.credit());
  if (!room) return std::unexpected(room.error());
  if (chains_.empty()) return false;
  finish_buffers(rx, stream, stream.read(payload_));
  return true;
}

// Spreads the bytes that were read over the buffers, one packet each, and gives the other buffers back.
void Switch::finish_buffers(Virtqueue& rx, Stream& stream, size_t count) {
  size_t used = 0;
  for (const Chain& chain : chains_) {
    if (count == 0) break;
    const auto length = static_cast<uint32_t>(std::min<uint64_t>(count, chain.bytes - kHeaderSize));
    PacketHeader header = stream.data_header(length);
    header.destination_cid = cid_;
    write_header(std::span(pieces_).subspan(chain.first, chain.count), header);
    rx.push(chain, static_cast<uint32_t>(kHeaderSize + length));
    count -= length;
    ++used;
  }
  rx.unpop(static_cast<uint16_t>(chains_.size() - used));
}

}  // namespace kata::vsock_device
