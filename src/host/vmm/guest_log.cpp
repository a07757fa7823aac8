#include "host/vmm/guest_log.h"

#include <algorithm>

#include "lib/log/log.h"

namespace kata::vmm {
namespace {

struct Parsed {
  log::Level level = log::Level::kDebug;
  std::string_view text;
};

// Cuts "time=... level=... " off a line of the agent.
Parsed parse(std::string_view line) {
  constexpr std::string_view kTime = "time=", kLevel = " level=";
  const size_t mark = line.find(kLevel);
  if (!line.starts_with(kTime) || mark == std::string_view::npos || line.find(' ') != mark)
    return {.text = line};
  const std::string_view rest = line.substr(mark + kLevel.size());
  const size_t end = std::min(rest.find(' '), rest.size());
  Parsed parsed;
  if (!log::parse_level(rest.substr(0, end), parsed.level)) return {.text = line};
  parsed.level = std::min(parsed.level, log::Level::kWarning);
  parsed.text = rest.substr(std::min(end + 1, rest.size()));
  return parsed;
}

}  // namespace

void GuestLog::line(std::string_view text, Clock::time_point now) {
  if (now - second_ >= std::chrono::seconds(1)) {
    if (dropped_ != 0)
      log::warning("the guest wrote too much on its console", {{"lines_dropped", std::to_string(dropped_)}});
    second_ = now;
    passed_ = dropped_ = 0;
  }
  const Parsed parsed = parse(text);
  if (parsed.level < log::level()) return;
  if (++passed_ > lines_per_second_) {
    ++dropped_;
    return;
  }
  log::write(parsed.level, parsed.text, {{"source", "guest"}});
}

}  // namespace kata::vmm
