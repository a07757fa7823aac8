#include "guest/device/uevent.h"

namespace kata::device {
namespace {

void assign(Uevent& event, std::string_view entry) {
  const size_t equals = entry.find('=');
  if (equals == std::string_view::npos) return;
  const std::string_view key = entry.substr(0, equals);
  const std::string_view value = entry.substr(equals + 1);
  if (key == "ACTION") {
    event.action = value;
  } else if (key == "DEVPATH") {
    event.devpath = value;
  } else if (key == "SUBSYSTEM") {
    event.subsystem = value;
  } else if (key == "DEVNAME") {
    event.devname = value;
  }
}

}  // namespace

std::optional<Uevent> parse_uevent(std::string_view message) {
  const size_t head_end = message.find('\0');
  const std::string_view head = message.substr(0, head_end);
  if (head_end == std::string_view::npos || head.find('@') == std::string_view::npos) return std::nullopt;
  message.remove_prefix(head_end + 1);
  Uevent event;
  while (!message.empty()) {
    const size_t end = message.find('\0');
    assign(event, message.substr(0, end));
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
  }
  const bool inside =
      event.devpath.starts_with('/') && (event.devpath + "/").find("/../") == std::string::npos;
  if (event.action.empty() || !inside) return std::nullopt;
  return event;
}

}  // namespace kata::device
