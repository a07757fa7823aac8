// Frames as plain bytes, built apart from the code under test.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/ttrpc/codec.h"

namespace kata::ttrpc::testing_frames {

// "00 1a" as bytes; blanks and line breaks are skipped.
inline std::string hex(std::string_view text) {
  std::string bytes;
  std::string digits;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    digits += c;
    if (digits.size() < 2) continue;
    bytes += static_cast<char>(std::stoi(digits, nullptr, 16));
    digits.clear();
  }
  return bytes;
}

// `claimed` is the length that the header tells, -1 = the real one.
inline std::string frame(int type, int flags, uint32_t stream, std::string_view data, int64_t claimed = -1) {
  const auto length = static_cast<uint32_t>(claimed < 0 ? static_cast<int64_t>(data.size()) : claimed);
  std::string bytes;
  for (const uint32_t number : {length, stream})
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(flags);
  bytes += data;
  return bytes;
}

// Request{service: "test.S", method, payload}, with short texts only.
inline std::string request(std::string_view method, std::string_view payload) {
  std::string bytes = "\x0a\x06test.S\x12";
  bytes += static_cast<char>(method.size());
  bytes += method;
  if (payload.empty()) return bytes;
  bytes += '\x1a';
  bytes += static_cast<char>(payload.size());
  bytes += payload;
  return bytes;
}

// Everything that waits to be written, taken out in pieces of at most `step` bytes.
inline std::string drain(OutQueue& queue, size_t step = SIZE_MAX) {
  std::string bytes;
  std::array<std::span<const char>, OutQueue::kMaxPieces> pieces;
  while (!queue.empty()) {
    size_t taken = 0;
    const size_t used = queue.gather(pieces);
    for (size_t i = 0; i < used && taken < step; ++i) {
      const size_t count = std::min(step - taken, pieces[i].size());
      bytes.append(pieces[i].data(), count);
      taken += count;
    }
    queue.consume(taken);
  }
  return bytes;
}

inline std::vector<Frame> frames(std::string_view bytes) {
  std::vector<Frame> found;
  FrameReader reader;
  while (!bytes.empty()) {
    bytes.remove_prefix(reader.feed(bytes));
    while (auto next = reader.next()) found.push_back(std::move(*next));
  }
  return found;
}

}  // namespace kata::ttrpc::testing_frames
