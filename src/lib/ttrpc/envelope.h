// The messages inside Request, Response and Data frames (facts: ttrpc-wire, section 2), coded by hand so that
// the user's payload, which carries stdio, is neither copied into an envelope nor out of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error/error.h"
#include "lib/ttrpc/codec.h"

namespace kata::ttrpc {

using Metadata = std::vector<std::pair<std::string, std::string>>;

// What a Request says besides its payload.
struct RequestHead {
  std::string service;
  std::string method;
  // Zero = none. Limited to a year, so that it can be added to any point in time.
  std::chrono::nanoseconds timeout{0};
  // Keys in lower case, both ways; several values of a key keep their order.
  Metadata metadata;
};

struct Request {
  RequestHead head;
  std::string payload;
};

// kResourceExhausted when the envelope exceeds 4 MiB.
std::expected<OutFrame, Error> encode_request(uint32_t stream, uint8_t flags, const RequestHead& head,
                                              std::string payload);
// A result too large for a frame becomes an error Response: the connection must not end for it.
OutFrame encode_response(uint32_t stream, std::string payload);
// The message is cut to a sane length and made valid UTF-8, without which other implementations reject the
// whole Response.
OutFrame encode_status(uint32_t stream, const Error& error);
// kResourceExhausted when the message exceeds 4 MiB.
std::expected<OutFrame, Error> encode_data(uint32_t stream, uint8_t flags, std::string message);

// kInvalidArgument when it does not parse.
std::expected<Request, Error> decode_request(std::string data);
// The payload, or the error that the server answered; kDataLoss when it does not parse.
std::expected<std::string, Error> decode_response(std::string data);

}  // namespace kata::ttrpc
