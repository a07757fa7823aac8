// Small helpers of the conversions from messages: checked words, copied lists, "0 is absent".
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/rpc/oci_names.h"
#include "lib/error/error.h"

namespace kata::rpc {

// Throws kInvalidArgument "<field>: ... is unknown". The conversions catch it at their edge.
inline std::string known(NameKind kind, const std::string& name, std::string_view field) {
  if (!is_known_name(kind, name))
    throw Error(Code::kInvalidArgument, std::string(field) + ": \"" + name.substr(0, 100) + "\" is unknown");
  return name;
}

template <typename Repeated>
std::vector<std::string> strings(const Repeated& from) {
  return {from.begin(), from.end()};
}

template <typename Repeated>
std::vector<std::string> known_names(NameKind kind, const Repeated& from, std::string_view field) {
  std::vector<std::string> names;
  for (const std::string& name : from) names.push_back(known(kind, name, field));
  return names;
}

template <typename T>
std::optional<T> unless_zero(std::type_identity_t<T> value) {
  if (value == 0) return std::nullopt;
  return value;
}

// Limits: 0 leaves alone, negative is unlimited (-1).
inline std::optional<int64_t> limit_of(int64_t value) {
  if (value == 0) return std::nullopt;
  return value < 0 ? -1 : value;
}

}  // namespace kata::rpc
