// Frames and envelopes from arbitrary bytes: the division into reads must not matter, and what parses must
// survive being encoded again.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "lib/ttrpc/codec.h"
#include "lib/ttrpc/envelope.h"

namespace kata::ttrpc {
namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

std::vector<Frame> cut(std::string_view bytes, size_t chunk) {
  std::vector<Frame> found;
  FrameReader reader;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, chunk);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      part.remove_prefix(reader.feed(part));
      while (auto frame = reader.next()) found.push_back(std::move(*frame));
    }
  }
  return found;
}

std::string data_of(const OutFrame& frame) {
  return (frame.head + frame.body + frame.tail).substr(kHeaderSize);
}

void check_request(const std::string& data) {
  const auto request = decode_request(data);
  if (!request) return;
  const auto encoded = encode_request(1, 0, request->head, request->payload);
  // Lengths may be coded shorter than they came, never longer.
  require(encoded.has_value());
  const auto again = decode_request(data_of(*encoded));
  require(again && again->head.service == request->head.service &&
          again->head.method == request->head.method);
  require(again->payload == request->payload && again->head.timeout == request->head.timeout);
  require(again->head.metadata == request->head.metadata);
}

void check_response(const std::string& data) {
  const auto response = decode_response(data);
  const auto again =
      decode_response(data_of(response ? encode_response(1, *response) : encode_status(1, response.error())));
  require(again.has_value() == response.has_value());
  require(response ? *again == *response : again.error().code() == response.error().code());
}

}  // namespace
}  // namespace kata::ttrpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::ttrpc;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = cut(bytes, SIZE_MAX);
  const auto parts = cut(bytes, data[0] % 64 + 1U);
  require(whole.size() == parts.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    require(whole[i].header == parts[i].header && whole[i].data == parts[i].data);
    check_request(whole[i].data);
    check_response(whole[i].data);
  }
  return 0;
}
