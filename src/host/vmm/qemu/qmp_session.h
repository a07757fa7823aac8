// The QEMU Machine Protocol as a state machine without I/O: bytes in, messages out; commands to text.
// Source: QEMU's docs/interop/qmp-spec. One JSON object a line each way.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/error/error.h"

namespace kata::vmm::qemu {

// First message of a connection; the version is for the log.
struct QmpGreeting {
  std::string version;
};
struct QmpReply {
  uint64_t id = 0;
  // The JSON text of "return", or the error: DeviceNotFound is kNotFound, CommandNotFound kUnimplemented,
  // DeviceNotActive kFailedPrecondition, anything else kInternal.
  std::expected<std::string, Error> result;
};
struct QmpEvent {
  std::string name;
  // JSON text of the object; "{}" if there is none.
  std::string data;
};
using QmpMessage = std::variant<QmpGreeting, QmpReply, QmpEvent>;

class QmpSession {
 public:
  // A longer line is refused: the largest answer (query-qmp-schema) has some 200 KiB.
  static constexpr size_t kMaxLine = size_t{4} << 20;

  // Messages that these bytes complete, in order. kDataLoss when the peer breaks the protocol: the session is
  // useless then and says so again on every call.
  std::expected<std::vector<QmpMessage>, Error> feed(std::string_view bytes);

  // The line to send for a command; `arguments` is the JSON text of an object, or empty.
  static std::string command(uint64_t id, std::string_view name, std::string_view arguments);

 private:
  std::expected<void, Error> take_line(std::string_view line, std::vector<QmpMessage>& out);

  std::string pending_;
  bool broken_ = false;
};

// A string member of a JSON object's text, empty when absent or no string: for the few answers that are read.
std::string json_string_member(std::string_view object, std::string_view key);
// ACPI_DEVICE_OST: what the guest says of a device; nothing if the text is no such event.
struct QmpGuestWord {
  std::string device;
  int64_t status = 0;
};
std::optional<QmpGuestWord> parse_guest_word(std::string_view data);
// JSON text of a string, with its quotes.
std::string json_quote(std::string_view text);
// {"id":"..."}: the arguments of many commands.
std::string json_id(std::string_view id);

}  // namespace kata::vmm::qemu
