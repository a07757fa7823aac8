#include "lib/failpoint/failpoint.h"

#ifdef KATA_FAILPOINTS

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"

namespace kata::failpoint {
namespace {

constexpr std::chrono::milliseconds kLook{10};
constexpr std::chrono::minutes kLongestHold{1};
constexpr size_t kLongestAction = 4096;

std::string next_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  std::string word(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

int number(const std::string& word, const std::string& point) {
  int value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 0)
    throw Error(Code::kInvalidArgument, "failpoint " + point + ": '" + word + "' is not a number");
  return value;
}

std::optional<std::string> action_at(const std::string& file) {
  std::string text;
  try {
    text = read_file(file, kLongestAction);
  } catch (const Error&) {
    return std::nullopt;
  }
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Awaitable<> hold(const std::string& file) {
  const TimePoint end = std::chrono::steady_clock::now() + kLongestHold;
  while (::access(file.c_str(), F_OK) == 0 && std::chrono::steady_clock::now() < end)
    co_await pause_for(kLook);
}

}  // namespace

Awaitable<> reach(std::string point) {
  const char* const folder = std::getenv("KATA_FAILPOINTS_DIR");
  if (folder == nullptr) co_return;
  const std::string file = std::string(folder) + "/" + point;
  const auto text = action_at(file);
  if (!text) co_return;
  UniqueFd(::open((file + ".reached").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  std::string_view rest = *text;
  const std::string action = next_word(rest);
  if (action == "hold") {
    co_await hold(file);
  } else if (action == "crash") {
    ::kill(::getpid(), SIGKILL);
  } else if (action == "delay") {
    co_await pause_for(std::chrono::milliseconds(number(next_word(rest), point)));
  } else if (action == "error") {
    const int code = number(next_word(rest), point);
    throw Error(static_cast<Code>(code), std::string(rest));
  } else {
    throw Error(Code::kInvalidArgument, "failpoint " + point + ": '" + action + "' is no action");
  }
}

}  // namespace kata::failpoint

#endif
