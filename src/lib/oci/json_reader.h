// Reads typed values out of a JSON tree and remembers the way to each, for messages. Private to lib/oci.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <boost/json/value.hpp>

#include "lib/error/error.h"

namespace kata::oci::detail {

// A value and how it was reached. Lives on the stack of the reading functions; the parents outlive it.
class Node {
 public:
  explicit Node(const boost::json::value& value) : value_(value) {}
  Node(const boost::json::value& value, const Node& parent, std::string_view key)
      : value_(value), parent_(&parent), key_(key) {}
  Node(const boost::json::value& value, const Node& parent, std::size_t index)
      : value_(value), parent_(&parent), index_(index) {}

  [[nodiscard]] const boost::json::value& value() const { return value_; }
  // "linux.resources.devices[3].major"; "the document" for the root.
  [[nodiscard]] std::string path() const;
  // Throws kInvalidArgument "<path>: expected <what>, found <kind of the value>".
  [[noreturn]] void fail(std::string_view expected) const;
  // The member, or null when it is absent or JSON null (which Go's encoders write for empty values). Fails
  // when this is no object.
  [[nodiscard]] const boost::json::value* find(std::string_view key) const;

 private:
  [[nodiscard]] std::string path_or_empty() const;

  const boost::json::value& value_;
  const Node* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
};

int64_t integer(const Node& node, int64_t low, int64_t high);
uint64_t unsigned_integer(const Node& node, uint64_t high);

void read(const Node& node, std::string& out);
void read(const Node& node, bool& out);

template <typename T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
void read(const Node& node, T& out) {
  if constexpr (std::is_signed_v<T>) {
    out = static_cast<T>(integer(node, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  } else {
    out = static_cast<T>(unsigned_integer(node, std::numeric_limits<T>::max()));
  }
}

template <typename T>
void read(const Node& node, std::optional<T>& out) {
  read(node, out.emplace());
}

template <typename T>
void read(const Node& node, std::vector<T>& out) {
  const auto* array = node.value().if_array();
  if (array == nullptr) node.fail("an array");
  out.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) read(Node((*array)[i], node, i), out.emplace_back());
}

template <typename T>
void read(const Node& node, std::map<std::string, T>& out) {
  const auto* object = node.value().if_object();
  if (object == nullptr) node.fail("an object");
  for (const auto& entry : *object) {
    const std::string_view key{entry.key().data(), entry.key().size()};
    read(Node(entry.value(), node, key), out[std::string(key)]);
  }
}

// Reads the member `key` of `node` into `out`; leaves `out` alone when there is none.
template <typename T>
void get(const Node& node, std::string_view key, T& out) {
  if (const auto* value = node.find(key)) read(Node(*value, node, key), out);
}

}  // namespace kata::oci::detail
