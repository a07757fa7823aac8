#include "guest/sandbox/dns.h"

#include <unistd.h>

#include "guest/sandbox/folders.h"
#include "guest/sandbox/paths.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

constexpr const char* kTarget = "/etc/resolv.conf";

}  // namespace

void set_up_dns(const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  make_folders(kSandboxFolder);
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  write_file(kResolvConf, text);
  if (::access(kTarget, F_OK) != 0) return;
  kernel::bind_mount(kResolvConf, kTarget, kernel::BindDepth::kOne);
}

void remove_dns() {
  if (::access(kResolvConf, F_OK) != 0) return;
  try {
    kernel::unmount_detach(kTarget);
  } catch (const Error& error) {
    log::warning("resolv.conf not unmounted", {{"error", error.message()}});
  }
}

}  // namespace kata::sandbox
