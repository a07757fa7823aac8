// The frame layer of ttRPC, without I/O (facts: ttrpc-wire, section 1): header, incoming frames, outgoing
// queue.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace kata::ttrpc {

// Every frame starts with length (4 bytes, payload only), stream id (4), type (1), flags (1); big-endian.
inline constexpr size_t kHeaderSize = 10;
inline constexpr size_t kMaxDataLength = size_t{4} << 20;

// Other values can arrive from the wire.
enum class FrameType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

// The sender will send no more on this stream.
inline constexpr uint8_t kFlagRemoteClosed = 0x01;
// On a Request: Data frames of the sender follow.
inline constexpr uint8_t kFlagRemoteOpen = 0x02;
// The frame carries no message, which differs from an empty message.
inline constexpr uint8_t kFlagNoData = 0x04;

struct FrameHeader {
  uint32_t length = 0;
  uint32_t stream = 0;
  FrameType type = FrameType::kRequest;
  uint8_t flags = 0;
  bool operator==(const FrameHeader&) const = default;
};

void encode_header(const FrameHeader& header, std::span<char, kHeaderSize> out);
FrameHeader decode_header(std::span<const char, kHeaderSize> in);

struct Frame {
  FrameHeader header;
  // Empty when the frame is oversize: its payload was skipped.
  std::string data;
  [[nodiscard]] bool oversize() const { return header.length > kMaxDataLength; }
};

// Cuts the bytes of a connection into frames. The caller reads into what prepare() offers, so that a large
// payload lands in its own string without passing a buffer; the payload of an oversize frame is skipped
// without being kept. Memory: one small buffer and at most one unfinished frame.
class FrameReader {
 public:
  static constexpr size_t kBufferSize = size_t{16} << 10;

  FrameReader();
  // Up to two pieces of memory, in order, for the next bytes; the first is never empty. Call it only when
  // next() has returned nothing.
  std::array<std::span<char>, 2> prepare();
  // `count` bytes were put there.
  void commit(size_t count);
  std::optional<Frame> next();
  // Copies bytes in, for callers that have them already. Returns how many fitted: take frames out and go on.
  size_t feed(std::span<const char> bytes);
  // Part of a frame has arrived: an end of the connection now is an error.
  [[nodiscard]] bool inside_frame() const;

 private:
  [[nodiscard]] size_t buffered() const { return end_ - begin_; }
  bool take_header();
  void take_payload();

  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  // Set between a header and the end of its payload; `filled_` counts payload bytes, skipped ones too.
  std::optional<Frame> current_;
  size_t filled_ = 0;
};

// A frame to send, in up to three pieces so that a large payload (`body`) is never copied: the frame's header
// and what precedes the payload in the envelope, the payload, and what follows it.
struct OutFrame {
  uint32_t stream = 0;
  std::string head;
  std::string body;
  std::string tail;
  [[nodiscard]] size_t size() const { return head.size() + body.size() + tail.size(); }
};

// Frames on their way out, in order, each contiguous on the wire.
class OutQueue {
 public:
  static constexpr size_t kMaxPieces = 48;

  void push(OutFrame frame);
  [[nodiscard]] bool empty() const { return frames_.empty(); }
  // Bytes that wait to be written.
  [[nodiscard]] size_t bytes() const { return bytes_; }
  // Fills `pieces` with what is to be written next; returns how many are used. They stay valid until the next
  // call that is not const.
  size_t gather(std::array<std::span<const char>, kMaxPieces>& pieces) const;
  // The first `count` of the gathered bytes were written.
  void consume(size_t count);
  // Takes back the frames of a stream of which no byte has been written.
  void drop_unsent(uint32_t stream);
  void clear();

 private:
  std::deque<OutFrame> frames_;
  size_t bytes_ = 0;
  // Written bytes of the first frame.
  size_t offset_ = 0;
};

}  // namespace kata::ttrpc
