#include "guest/rpc/ids.h"

#include <algorithm>

namespace kata::rpc {
namespace {

constexpr size_t kMaxLength = 1024;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxLength && is_alphanumeric(id.front()) &&
         std::ranges::all_of(id,
                             [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

[[noreturn]] void refuse(const char* field, const std::string& id) {
  throw Error(Code::kInvalidArgument,
              std::string(field) + " \"" + id.substr(0, 200) +
                  "\" is no valid id: letters, digits, '_', '.' and '-', the first one a letter or digit");
}

}  // namespace

bool is_container_id(std::string_view id) {
  return id.size() >= 2 && is_id(id);
}
bool is_exec_id(std::string_view id) {
  return is_id(id);
}

void check_container_id(const std::string& id) {
  if (!is_container_id(id)) refuse("container_id", id);
}

void check_exec_id(const std::string& id) {
  if (!id.empty() && !is_exec_id(id)) refuse("exec_id", id);
}

}  // namespace kata::rpc
