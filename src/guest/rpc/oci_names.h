// The words that the OCI specification knows for its enumerations.
#pragma once

#include <string_view>

namespace kata::rpc {

enum class NameKind {
  kNamespace,
  kCapability,
  kRlimit,
  kSeccompAction,
  kSeccompOperator,
  kSeccompArchitecture,
  kSeccompFlag,
  kPropagation,
};

bool is_known_name(NameKind kind, std::string_view name);

}  // namespace kata::rpc
