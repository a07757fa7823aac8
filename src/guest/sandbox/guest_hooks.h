// Hooks that the guest image brings (CreateSandbox guest_hook_path): added to every container.
#pragma once

#include <string>
#include <vector>

#include "lib/oci/spec.h"

namespace kata::sandbox {

struct GuestHooks {
  std::vector<oci::Hook> prestart, poststart, poststop;
};

// The executable regular files in <folder>/{prestart,poststart,poststop}, by name; a folder that cannot be
// read has none.
GuestHooks scan_guest_hooks(const std::string& folder);
void append_guest_hooks(const GuestHooks& guest, oci::Hooks& hooks);

}  // namespace kata::sandbox
