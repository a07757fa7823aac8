#include "guest/sandbox/kernel_module.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

constexpr const char* kModprobe = "/sbin/modprobe";
constexpr std::chrono::seconds kLimit{25};
constexpr int kOpenFolders = 16;

// nftw has no argument for its callback; one thread.
struct Search {
  std::string wanted;
  std::string found;
};
Search* search = nullptr;

// '-' and '_' are the same in module names.
std::string plain_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

int look_at(const char* path, const struct stat*, int type, FTW* place) {
  if (type != FTW_F) return 0;
  std::string_view name = path + place->base;
  if (!name.ends_with(".ko")) return 0;
  name.remove_suffix(3);
  if (plain_name(name) != search->wanted) return 0;
  search->found = path;
  return 1;
}

std::string find_module(const std::string& name) {
  utsname kernel{};
  ::uname(&kernel);
  Search state{.wanted = plain_name(name), .found = {}};
  search = &state;
  ::nftw((std::string("/lib/modules/") + kernel.release).c_str(), look_at, kOpenFolders, FTW_PHYS);
  search = nullptr;
  return state.found;
}

void load_file(const std::string& name, const std::vector<std::string>& parameters) {
  const std::string path = find_module(name);
  if (path.empty()) throw Error(Code::kNotFound, "kernel module " + name + ": not in this guest");
  std::string joined;
  for (const std::string& parameter : parameters) joined += (joined.empty() ? "" : " ") + parameter;
  const UniqueFd file = open_file(path, O_RDONLY);
  if (::syscall(SYS_finit_module, file.get(), joined.c_str(), 0) != 0 && errno != EEXIST)
    throw_errno("loading kernel module " + path);
}

bool is_module_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

}  // namespace

Awaitable<> load_kernel_module(std::string name, std::vector<std::string> parameters) {
  if (!is_module_name(name))
    throw Error(Code::kInvalidArgument, "kernel_modules: \"" + name.substr(0, 64) + "\" is no module name");
  if (::access(kModprobe, X_OK) != 0) {
    load_file(name, parameters);
    co_return;
  }
  Command command;
  command.argv = {kModprobe, "-v", name};
  command.argv.insert(command.argv.end(), parameters.begin(), parameters.end());
  const auto child = ChildProcess::start(co_await asio::this_coro::executor, command);
  const ExitStatus status = co_await with_deadline(child->wait(), kLimit, "modprobe " + name);
  if (status.code != 0) throw Error(Code::kInternal, "modprobe " + name + ": " + status.text());
}

}  // namespace kata::sandbox
