// The sandbox and the guest around it: create, destroy, details, clock, entropy, OOM events.
#pragma once

#include <functional>

#include "guest/boot/boot.h"
#include "guest/rpc/methods.h"

namespace kata::rpc {

// What the calls need besides the sandbox.
struct GuestContext {
  Sandbox& sandbox;
  boot::Role role;
  // Set once all kernel modules of the image are loaded.
  Event& modules_loaded;
  // Ends the agent after the answer.
  std::function<void()> stop;
};

void add_sandbox_methods(ttrpc::Server& server, GuestContext& context);

}  // namespace kata::rpc
