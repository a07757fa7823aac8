#include "lib/ttrpc/codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kata::ttrpc {
namespace {

void put_u32(char* out, uint32_t value) {
  out[0] = static_cast<char>(value >> 24);
  out[1] = static_cast<char>(value >> 16);
  out[2] = static_cast<char>(value >> 8);
  out[3] = static_cast<char>(value);
}

uint32_t get_u32(const char* in) {
  const auto byte = [in](int index) { return uint32_t{static_cast<uint8_t>(in[index])}; };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

}  // namespace

void encode_header(const FrameHeader& header, std::span<char, kHeaderSize> out) {
  put_u32(out.data(), header.length);
  put_u32(out.data() + 4, header.stream);
  out[8] = static_cast<char>(header.type);
  out[9] = static_cast<char>(header.flags);
}

FrameHeader decode_header(std::span<const char, kHeaderSize> in) {
  FrameHeader header;
  header.length = get_u32(in.data());
  header.stream = get_u32(in.data() + 4);
  header.type = static_cast<FrameType>(in[8]);
  header.flags = static_cast<uint8_t>(in[9]);
  return header;
}

FrameReader::FrameReader() : buffer_(std::make_unique_for_overwrite<char[]>(kBufferSize)) {}

std::array<std::span<char>, 2> FrameReader::prepare() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
    end_ -= std::exchange(begin_, 0);
  }
  const std::span<char> rest(buffer_.get() + end_, kBufferSize - end_);
  if (!current_ || current_->oversize() || filled_ == current_->data.size()) return {rest, {}};
  return {std::span<char>(current_->data).subspan(filled_), rest};
}

void FrameReader::commit(size_t count) {
  if (current_ && !current_->oversize()) {
    const size_t direct = std::min(count, current_->data.size() - filled_);
    filled_ += direct;
    count -= direct;
  }
  end_ += count;
}

bool FrameReader::take_header() {
  if (buffered() < kHeaderSize) return false;
  Frame frame;
  frame.header = decode_header(std::span<const char, kHeaderSize>(buffer_.get() + begin_, kHeaderSize));
  begin_ += kHeaderSize;
  filled_ = 0;
  if (!frame.oversize()) {
    // Left uninitialised: no page of it is touched before its bytes arrive, whatever length a peer claims.
    const size_t length = frame.header.length;
    frame.data.resize_and_overwrite(length, [length](char*, size_t) { return length; });
  }
  current_ = std::move(frame);
  return true;
}

void FrameReader::take_payload() {
  const size_t count = std::min(buffered(), current_->header.length - filled_);
  if (!current_->oversize() && count > 0)
    std::memcpy(current_->data.data() + filled_, buffer_.get() + begin_, count);
  begin_ += count;
  filled_ += count;
}

std::optional<Frame> FrameReader::next() {
  if (!current_ && !take_header()) return std::nullopt;
  take_payload();
  if (filled_ < current_->header.length) return std::nullopt;
  return std::exchange(current_, std::nullopt);
}

size_t FrameReader::feed(std::span<const char> bytes) {
  size_t copied = 0;
  for (const std::span<char> piece : prepare()) {
    const size_t count = std::min(piece.size(), bytes.size() - copied);
    if (count > 0) std::memcpy(piece.data(), bytes.data() + copied, count);
    copied += count;
  }
  commit(copied);
  return copied;
}

bool FrameReader::inside_frame() const {
  return current_.has_value() || buffered() > 0;
}

void OutQueue::push(OutFrame frame) {
  bytes_ += frame.size();
  frames_.push_back(std::move(frame));
}

size_t OutQueue::gather(std::array<std::span<const char>, kMaxPieces>& pieces) const {
  size_t used = 0;
  size_t skip = offset_;
  for (const OutFrame& frame : frames_) {
    for (const std::string* part : {&frame.head, &frame.body, &frame.tail}) {
      const size_t skipped = std::min(skip, part->size());
      skip -= skipped;
      if (skipped == part->size()) continue;
      if (used == pieces.size()) return used;
      pieces[used++] = std::span<const char>(*part).subspan(skipped);
    }
  }
  return used;
}

void OutQueue::consume(size_t count) {
  bytes_ -= count;
  offset_ += count;
  while (!frames_.empty() && offset_ >= frames_.front().size()) {
    offset_ -= frames_.front().size();
    frames_.pop_front();
  }
}

void OutQueue::drop_unsent(uint32_t stream) {
  auto first = frames_.begin();
  if (offset_ > 0) ++first;
  const auto kept = std::remove_if(first, frames_.end(), [&](const OutFrame& frame) {
    if (frame.stream != stream) return false;
    bytes_ -= frame.size();
    return true;
  });
  frames_.erase(kept, frames_.end());
}

void OutQueue::clear() {
  frames_.clear();
  bytes_ = offset_ = 0;
}

}  // namespace kata::ttrpc
