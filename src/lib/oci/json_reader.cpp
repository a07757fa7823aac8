#include "lib/oci/json_reader.h"

namespace kata::oci::detail {

namespace {

std::string_view kind_name(const boost::json::value& value) {
  using boost::json::kind;
  switch (value.kind()) {
    case kind::null:
      return "null";
    case kind::bool_:
      return "a boolean";
    case kind::int64:
    case kind::uint64:
      return "a number";
    case kind::double_:
      return "a number with a fraction or exponent";
    case kind::string:
      return "a string";
    case kind::array:
      return "an array";
    case kind::object:
      return "an object";
  }
  return "something else";
}

std::string number_text(const boost::json::value& value) {
  if (const auto* number = value.if_int64()) return std::to_string(*number);
  if (const auto* number = value.if_uint64()) return std::to_string(*number);
  return std::string(kind_name(value));
}

[[noreturn]] void out_of_range(const Node& node, const std::string& low, const std::string& high) {
  throw Error(Code::kInvalidArgument, node.path() + ": expected a number from " + low + " to " + high +
                                          ", found " + number_text(node.value()));
}

}  // namespace

std::string Node::path_or_empty() const {
  if (parent_ == nullptr) return {};
  std::string text = parent_->path_or_empty();
  if (key_.empty()) return text + "[" + std::to_string(index_) + "]";
  if (!text.empty()) text += '.';
  // A hostile document may have keys of any length and content.
  for (const char c : key_.substr(0, 64)) text += (c >= ' ' && c < 0x7f) ? c : '?';
  return text;
}

std::string Node::path() const {
  std::string text = path_or_empty();
  return text.empty() ? "the document" : text;
}

void Node::fail(std::string_view expected) const {
  std::string text = path();
  text.append(": expected ").append(expected).append(", found ").append(kind_name(value_));
  throw Error(Code::kInvalidArgument, std::move(text));
}

const boost::json::value* Node::find(std::string_view key) const {
  const auto* object = value_.if_object();
  if (object == nullptr) fail("an object");
  const auto* value = object->if_contains({key.data(), key.size()});
  return value == nullptr || value->is_null() ? nullptr : value;
}

int64_t integer(const Node& node, int64_t low, int64_t high) {
  const auto* number = node.value().if_int64();
  if (number == nullptr && node.value().if_uint64() == nullptr) node.fail("an integer");
  if (number == nullptr || *number < low || *number > high) {
    out_of_range(node, std::to_string(low), std::to_string(high));
  }
  return *number;
}

uint64_t unsigned_integer(const Node& node, uint64_t high) {
  const auto* small = node.value().if_int64();
  const auto* large = node.value().if_uint64();
  if (small == nullptr && large == nullptr) node.fail("an integer");
  if (small != nullptr && *small < 0) out_of_range(node, "0", std::to_string(high));
  const uint64_t number = small != nullptr ? static_cast<uint64_t>(*small) : *large;
  if (number > high) out_of_range(node, "0", std::to_string(high));
  return number;
}

void read(const Node& node, std::string& out) {
  const auto* text = node.value().if_string();
  if (text == nullptr) node.fail("a string");
  out.assign(text->data(), text->size());
  // Every string of the specification ends up in a C interface (paths, arguments, labels).
  if (out.find('\0') != std::string::npos) {
    throw Error(Code::kInvalidArgument, node.path() + ": the string holds a NUL character");
  }
}

void read(const Node& node, bool& out) {
  const auto* flag = node.value().if_bool();
  if (flag == nullptr) node.fail("true or false");
  out = *flag;
}

}  // namespace kata::oci::detail
