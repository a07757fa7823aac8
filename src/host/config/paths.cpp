#include "host/config/paths.h"

#include <cstdlib>
#include <memory>

#include <glob.h>

namespace kata::config {

namespace {

bool expands_to(const std::string& pattern, const std::string& real) {
  glob_t matches{};
  const std::unique_ptr<glob_t, decltype(&globfree)> guard(&matches, &globfree);
  if (glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches) != 0) return false;
  for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
    if (real_path(matches.gl_pathv[i]) == real) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::optional<std::string>(real.get()) : std::nullopt;
}

bool allowed_by_globs(const std::string& value, const StringList& patterns) {
  for (const std::string& pattern : patterns) {
    if (pattern == value) return true;
  }
  const auto real = value.empty() ? std::nullopt : real_path(value);
  if (!real) return false;
  for (const std::string& pattern : patterns) {
    if (expands_to(pattern, *real)) return true;
  }
  return false;
}

}  // namespace kata::config
