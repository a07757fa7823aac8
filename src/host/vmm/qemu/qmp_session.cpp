#include "host/vmm/qemu/qmp_session.h"

#include <optional>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace kata::vmm::qemu {
namespace {

namespace json = boost::json;

Error broken(const std::string& what) {
  return {Code::kDataLoss, "QMP: " + what};
}

std::optional<json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  json::value value = json::parse(text, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

std::string string_member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

Code code_of_class(std::string_view name) {
  if (name == "DeviceNotFound") return Code::kNotFound;
  if (name == "CommandNotFound") return Code::kUnimplemented;
  if (name == "DeviceNotActive" || name == "KVMMissingCap") return Code::kFailedPrecondition;
  return Code::kInternal;
}

std::string version_text(const json::value& greeting) {
  const json::object* object = greeting.if_object();
  const json::value* version = object != nullptr ? object->if_contains("version") : nullptr;
  const json::value* qemu =
      version != nullptr && version->is_object() ? version->as_object().if_contains("qemu") : nullptr;
  if (qemu == nullptr || !qemu->is_object()) return "unknown";
  std::string text;
  for (const char* part : {"major", "minor", "micro"}) {
    const json::value* number = qemu->as_object().if_contains(part);
    text += (text.empty() ? "" : ".") + (number != nullptr ? json::serialize(*number) : "?");
  }
  return text;
}

uint64_t id_of(const json::object& object) {
  const json::value* id = object.if_contains("id");
  if (id == nullptr || !id->is_int64() || id->as_int64() < 0) return 0;
  return static_cast<uint64_t>(id->as_int64());
}

}  // namespace

std::expected<std::vector<QmpMessage>, Error> QmpSession::feed(std::string_view bytes) {
  if (broken_) return std::unexpected(broken("the connection is out of step"));
  std::vector<QmpMessage> messages;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (pending_.size() + part.size() > kMaxLine) {
      broken_ = true;
      pending_ = {};
      return std::unexpected(broken("a line is longer than " + std::to_string(kMaxLine) + " bytes"));
    }
    pending_ += part;
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(pending_, {});
    if (auto taken = take_line(line, messages); !taken) {
      broken_ = true;
      return std::unexpected(taken.error());
    }
  }
  return messages;
}

std::expected<void, Error> QmpSession::take_line(std::string_view line, std::vector<QmpMessage>& out) {
  if (line.find_first_not_of(" \r\t") == std::string_view::npos) return {};
  const std::optional<json::object> object = parse_object(line);
  if (!object) return std::unexpected(broken("not a JSON object: " + std::string(line.substr(0, 80))));
  if (const json::value* greeting = object->if_contains("QMP")) {
    out.emplace_back(QmpGreeting{.version = version_text(*greeting)});
  } else if (object->contains("event")) {
    const json::value* data = object->if_contains("data");
    out.emplace_back(QmpEvent{.name = string_member(*object, "event"),
                              .data = data != nullptr && data->is_object() ? json::serialize(*data) : "{}"});
  } else if (const json::value* result = object->if_contains("return")) {
    out.emplace_back(QmpReply{.id = id_of(*object), .result = json::serialize(*result)});
  } else if (const json::value* error = object->if_contains("error");
             error != nullptr && error->is_object()) {
    const json::object& fields = error->as_object();
    Error failure(code_of_class(string_member(fields, "class")), string_member(fields, "desc"));
    out.emplace_back(QmpReply{.id = id_of(*object), .result = std::unexpected(std::move(failure))});
  }
  // Anything else is an addition of a later QEMU.
  return {};
}

std::string QmpSession::command(uint64_t id, std::string_view name, std::string_view arguments) {
  std::string line = R"({"execute":)" + json_quote(name) + R"(,"id":)" + std::to_string(id);
  if (!arguments.empty()) line += R"(,"arguments":)" + std::string(arguments);
  return line + "}\n";
}

std::string json_string_member(std::string_view object, std::string_view key) {
  const std::optional<json::object> parsed = parse_object(object);
  return parsed ? string_member(*parsed, key) : std::string();
}

std::optional<QmpGuestWord> parse_guest_word(std::string_view data) {
  const std::optional<json::object> parsed = parse_object(data);
  if (!parsed) return std::nullopt;
  const json::value* const info = parsed->if_contains("info");
  if (info == nullptr || !info->is_object()) return std::nullopt;
  const json::value* const status = info->as_object().if_contains("status");
  if (status == nullptr || !status->is_int64()) return std::nullopt;
  return QmpGuestWord{.device = string_member(info->as_object(), "device"), .status = status->as_int64()};
}

std::string json_quote(std::string_view text) {
  return json::serialize(json::string(text));
}

std::string json_id(std::string_view id) {
  return R"({"id":)" + json_quote(id) + "}";
}

}  // namespace kata::vmm::qemu
