// The two virtiofsd programs: where they are, which one a path is, and how each is called.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/async/awaitable.h"
#include "lib/error/error.h"

namespace kata::share_fs {

enum class Flavour {
  kC,     // QEMU's own, up to 7.2 (Debian 12: /usr/lib/qemu/virtiofsd)
  kRust,  // gitlab.com/virtio-fs/virtiofsd 1.x (Debian 13: /usr/libexec/virtiofsd)
};

struct VirtiofsdOptions {
  std::string program;
  std::string shared_dir;
  // Listening Unix stream socket that it inherits: QEMU can connect before it is up.
  int listen_fd = -1;
  // "never", "auto" or "always" (configuration key virtio_fs_cache).
  std::string cache = "auto";
  // Appended as they are (virtio_fs_extra_args).
  std::vector<std::string> extra_args;
  // Open files it may have; unset leaves the number to it (one million).
  std::optional<uint64_t> nofile;
  enum class Verbosity { kWarnings, kDebug };
  Verbosity verbosity = Verbosity::kWarnings;
};

// A pure function; the program stays in the foreground.
std::vector<std::string> virtiofsd_command(Flavour flavour, const VirtiofsdOptions& options);

// From what `--version` prints; nothing when it is no virtiofsd that we know.
std::optional<Flavour> flavour_of_version(std::string_view text);

// Runs `program --version`, except for the place where only one of the two ever lies. kFailedPrecondition
// when the answer is not understood.
Awaitable<Flavour> detect_flavour(std::string program);

// `configured` if it is set, else the first of `places` that exists; kNotFound says which key to set.
std::string find_virtiofsd(const std::string& configured, const std::vector<std::string>& places);
const std::vector<std::string>& virtiofsd_places();

// The limit to ask for where the wanted million cannot be had (no CAP_SYS_RESOURCE and a lower hard limit).
std::optional<uint64_t> nofile_limit();

}  // namespace kata::share_fs
