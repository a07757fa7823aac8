#include "lib/ttrpc/envelope.h"

#include <algorithm>
#include <optional>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "lib/text/case.h"

#include "ttrpc/ttrpc.pb.h"

namespace kata::ttrpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr std::chrono::nanoseconds kMaxTimeout = std::chrono::years(1);
constexpr size_t kMaxStatusMessage = size_t{16} << 10;
// Below this a payload is copied out of its frame, above it the frame's own memory becomes the payload.
constexpr size_t kCopyLimit = 1024;

// Tags: field number << 3 | wire type.
enum Tag : uint32_t {
  kRequestService = 0x0a,
  kRequestMethod = 0x12,
  kRequestPayload = 0x1a,
  kRequestTimeout = 0x20,
  kRequestMetadata = 0x2a,
  kResponseStatus = 0x0a,
  kResponsePayload = 0x12,
  kKeyValueKey = 0x0a,
  kKeyValueValue = 0x12,
  kStatusCode = 0x08,
  kStatusMessage = 0x12,
};

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_bytes(std::string& out, Tag tag, std::string_view bytes) {
  put_varint(out, tag);
  put_varint(out, bytes.size());
  out += bytes;
}

// `head` starts with room for the frame's header.
OutFrame finish(FrameHeader header, std::string head, std::string body, std::string tail) {
  OutFrame frame{header.stream, std::move(head), std::move(body), std::move(tail)};
  header.length = static_cast<uint32_t>(frame.size() - kHeaderSize);
  encode_header(header, std::span<char, kHeaderSize>(frame.head.data(), kHeaderSize));
  return frame;
}

Error too_large(std::string_view what, size_t size) {
  return {Code::kResourceExhausted, std::string(what) + " of " + std::to_string(size) +
                                        " bytes exceeds the message limit of " +
                                        std::to_string(kMaxDataLength) + " bytes"};
}

size_t utf8_length(std::string_view text) {
  const auto byte = [text](size_t index) -> uint32_t {
    return index < text.size() ? static_cast<uint8_t>(text[index]) : 0;
  };
  const uint32_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and what lies above U+10FFFF.
  const uint32_t second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return length;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(std::min(text.size(), kMaxStatusMessage));
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (out.size() + std::max<size_t>(length, 1) > kMaxStatusMessage) break;
    out += length > 0 ? text.substr(0, length) : "?";
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

// A length-delimited field of a frame: where its bytes lie.
struct Slice {
  size_t offset = 0;
  size_t length = 0;
  [[nodiscard]] std::string_view of(const std::string& data) const {
    return std::string_view(data).substr(offset, length);
  }
};

std::optional<Slice> read_slice(CodedInputStream& in) {
  int length = 0;
  if (!in.ReadVarintSizeAsInt(&length)) return std::nullopt;
  const Slice slice{static_cast<size_t>(in.CurrentPosition()), static_cast<size_t>(length)};
  if (!in.Skip(length)) return std::nullopt;
  return slice;
}

// Walks the fields of a message; `on_field(tag, in)` reads the value of a tag it knows, or returns kSkip.
enum class Field { kRead, kSkip, kBroken };
template <typename OnField>
bool walk(std::string_view data, OnField on_field) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(data.data()), static_cast<int>(data.size()));
  while (const uint32_t tag = in.ReadTag()) {
    switch (on_field(tag, in)) {
      case Field::kRead:
        break;
      case Field::kSkip:
        if (!WireFormatLite::SkipField(&in, tag)) return false;
        break;
      case Field::kBroken:
        return false;
    }
  }
  return in.ConsumedEntireMessage();
}

// The slice of a frame as a string, in the frame's own memory when it is large.
std::string extract(std::string data, Slice slice) {
  if (slice.length < kCopyLimit) return std::string(slice.of(data));
  data.resize(slice.offset + slice.length);
  data.erase(0, slice.offset);
  return data;
}

Field keep(CodedInputStream& in, Slice& slice) {
  const std::optional<Slice> read = read_slice(in);
  if (!read) return Field::kBroken;
  slice = *read;
  return Field::kRead;
}

Field read_metadata(CodedInputStream& in, const std::string& data, Metadata& metadata) {
  Slice slice;
  if (keep(in, slice) == Field::kBroken) return Field::kBroken;
  ::ttrpc::KeyValue entry;
  if (!entry.ParseFromArray(data.data() + slice.offset, static_cast<int>(slice.length)))
    return Field::kBroken;
  metadata.emplace_back(lower_case(std::move(*entry.mutable_key())), std::move(*entry.mutable_value()));
  return Field::kRead;
}

Field read_timeout(CodedInputStream& in, std::chrono::nanoseconds& timeout) {
  uint64_t value = 0;
  if (!in.ReadVarint64(&value)) return Field::kBroken;
  timeout = std::clamp(std::chrono::nanoseconds(static_cast<int64_t>(value)), std::chrono::nanoseconds(0),
                       kMaxTimeout);
  return Field::kRead;
}

Error status_error(const ::ttrpc::Status& status) {
  const bool known = status.code() > 0 && status.code() <= static_cast<int>(Code::kUnauthenticated);
  return {known ? static_cast<Code>(status.code()) : Code::kUnknown, status.message()};
}

}  // namespace

std::expected<OutFrame, Error> encode_request(uint32_t stream, uint8_t flags, const RequestHead& head,
                                              std::string payload) {
  std::string before(kHeaderSize, '\0');
  before.reserve(kHeaderSize + head.service.size() + head.method.size() + 16);
  put_bytes(before, kRequestService, head.service);
  put_bytes(before, kRequestMethod, head.method);
  if (!payload.empty()) {
    put_varint(before, kRequestPayload);
    put_varint(before, payload.size());
  }
  std::string after;
  if (head.timeout.count() > 0) {
    put_varint(after, kRequestTimeout);
    put_varint(after, static_cast<uint64_t>(std::min(head.timeout, kMaxTimeout).count()));
  }
  for (const auto& [key, value] : head.metadata) {
    std::string entry;
    put_bytes(entry, kKeyValueKey, lower_case(key));
    put_bytes(entry, kKeyValueValue, value);
    put_bytes(after, kRequestMetadata, entry);
  }
  const size_t size = before.size() - kHeaderSize + payload.size() + after.size();
  if (size > kMaxDataLength) return std::unexpected(too_large("request " + head.method, size));
  return finish({0, stream, FrameType::kRequest, flags}, std::move(before), std::move(payload),
                std::move(after));
}

OutFrame encode_response(uint32_t stream, std::string payload) {
  std::string before(kHeaderSize, '\0');
  if (!payload.empty()) {
    put_varint(before, kResponsePayload);
    put_varint(before, payload.size());
  }
  const size_t size = before.size() - kHeaderSize + payload.size();
  if (size > kMaxDataLength) return encode_status(stream, too_large("response", size));
  return finish({0, stream, FrameType::kResponse, 0}, std::move(before), std::move(payload), {});
}

OutFrame encode_status(uint32_t stream, const Error& error) {
  // Code 0 would read as success.
  const Code code = error.code() == Code::kOk ? Code::kUnknown : error.code();
  std::string status;
  put_varint(status, kStatusCode);
  put_varint(status, static_cast<uint64_t>(code));
  put_bytes(status, kStatusMessage, valid_utf8(error.message()));
  std::string before(kHeaderSize, '\0');
  put_bytes(before, kResponseStatus, status);
  return finish({0, stream, FrameType::kResponse, 0}, std::move(before), {}, {});
}

std::expected<OutFrame, Error> encode_data(uint32_t stream, uint8_t flags, std::string message) {
  if (message.size() > kMaxDataLength) return std::unexpected(too_large("stream message", message.size()));
  return finish({0, stream, FrameType::kData, flags}, std::string(kHeaderSize, '\0'), std::move(message), {});
}

std::expected<Request, Error> decode_request(std::string data) {
  Request request;
  Slice payload;
  const bool parsed = walk(data, [&](uint32_t tag, CodedInputStream& in) {
    Slice text;
    switch (tag) {
      case kRequestService:
        if (keep(in, text) == Field::kBroken) return Field::kBroken;
        request.head.service = text.of(data);
        return Field::kRead;
      case kRequestMethod:
        if (keep(in, text) == Field::kBroken) return Field::kBroken;
        request.head.method = text.of(data);
        return Field::kRead;
      case kRequestPayload:
        return keep(in, payload);
      case kRequestTimeout:
        return read_timeout(in, request.head.timeout);
      case kRequestMetadata:
        return read_metadata(in, data, request.head.metadata);
      default:
        return Field::kSkip;
    }
  });
  if (!parsed) return std::unexpected(Error(Code::kInvalidArgument, "request envelope does not parse"));
  request.payload = extract(std::move(data), payload);
  return request;
}

std::expected<std::string, Error> decode_response(std::string data) {
  Slice payload;
  ::ttrpc::Status status;
  const bool parsed = walk(data, [&](uint32_t tag, CodedInputStream& in) {
    Slice bytes;
    switch (tag) {
      case kResponseStatus:
        if (keep(in, bytes) == Field::kBroken) return Field::kBroken;
        return status.ParseFromArray(data.data() + bytes.offset, static_cast<int>(bytes.length))
                   ? Field::kRead
                   : Field::kBroken;
      case kResponsePayload:
        return keep(in, payload);
      default:
        return Field::kSkip;
    }
  });
  if (!parsed) return std::unexpected(Error(Code::kDataLoss, "response envelope does not parse"));
  if (status.code() != 0) return std::unexpected(status_error(status));
  return extract(std::move(data), payload);
}

}  // namespace kata::ttrpc
