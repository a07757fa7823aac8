#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/container/init/stage.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

constexpr size_t kMaxPasswd = size_t{4} << 20;

std::string_view value_of(const std::vector<std::string>& env, std::string_view name) {
  for (const std::string& entry : env) {
    if (entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=')
      return std::string_view(entry).substr(name.size() + 1);
  }
  return {};
}

bool has_variable(const std::vector<std::string>& env, std::string_view name) {
  for (const std::string& entry : env) {
    if (entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=') return true;
  }
  return false;
}

// errno for a path that cannot be executed, 0 if it can.
int check_executable(const std::string& path, bool& stat_failed) {
  struct stat info{};
  stat_failed = ::stat(path.c_str(), &info) != 0;
  if (stat_failed) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  if (::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0) return errno;
  return (info.st_mode & 0111) != 0 ? 0 : EACCES;
}

[[noreturn]] void refuse(const std::string& name, int error, bool stat_failed) {
  // The words that clients of runc know.
  std::string text = "exec: \"" + name + "\": ";
  if (stat_failed) text += "stat " + name + ": ";
  throw Error(errno_code(error), text + plain_errno_text(error));
}

std::optional<std::string_view> field(std::string_view line, size_t number) {
  for (size_t i = 0; i < number; ++i) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    line.remove_prefix(colon + 1);
  }
  return line.substr(0, line.find(':'));
}

std::string home_of(uint32_t uid) {
  std::string text;
  try {
    text = read_file("/etc/passwd", kMaxPasswd);
  } catch (const Error&) {
    return "/";
  }
  const std::string wanted = std::to_string(uid);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (field(line, 2) != wanted) continue;
    if (const auto home = field(line, 5); home && !home->empty()) return std::string(*home);
  }
  return "/";
}

}  // namespace

std::string plain_errno_text(int error) {
  std::string text = ::strerror(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string find_program(const ProcessPlan& process) {
  const std::string& name = process.args.front();
  bool stat_failed = false;
  if (name.find('/') != std::string::npos) {
    const int error = check_executable(name, stat_failed);
    if (error != 0) refuse(name, error, stat_failed);
    return name;
  }
  std::string_view rest = value_of(process.env, "PATH");
  while (!rest.empty() && !name.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const std::string folder(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    // A name found through a relative folder is refused, as Go does.
    if (!folder.starts_with('/')) continue;
    const std::string path = folder + "/" + name;
    if (check_executable(path, stat_failed) == 0) return path;
  }
  throw Error(Code::kNotFound, "exec: \"" + name + "\": executable file not found in $PATH");
}

void complete_environment(ProcessPlan& process) {
  if (!has_variable(process.env, "HOME")) process.env.push_back("HOME=" + home_of(process.uid));
}

}  // namespace kata::container
