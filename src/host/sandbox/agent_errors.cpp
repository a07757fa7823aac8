#include "host/sandbox/agent_errors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "lib/text/case.h"

namespace kata::sandbox {
namespace {

template <size_t N>
bool contains_any(const std::string& text, const std::array<std::string_view, N>& parts) {
  return std::ranges::any_of(parts,
                             [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

}  // namespace

bool is_gone(const Error& error) {
  // The messages keep every inner text, so one search sees the whole chain of causes.
  constexpr std::array<std::string_view, 4> kTexts = {"no such process", "process not found",
                                                      "init process not found", "cannot find init process"};
  if (error.code() == Code::kNotFound || error.errno_value() == ESRCH || error.errno_value() == ENOENT)
    return true;
  return contains_any(lower_case(error.message()), kTexts);
}

bool is_connection_closed(const Error& error) {
  constexpr std::array<std::string_view, 3> kTexts = {"connection reset by peer", "broken pipe",
                                                      "transport endpoint is not connected"};
  switch (error.errno_value()) {
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
      return true;
    default:
      break;
  }
  return error.code() == Code::kUnavailable || contains_any(lower_case(error.message()), kTexts);
}

}  // namespace kata::sandbox
