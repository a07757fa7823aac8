// The steps that connect the links of a pod with the NICs of its VM, and their undoing. Synchronous: runs in
// a thread that is inside the pod's namespace.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/resource/network/net_kernel.h"
#include "host/resource/network/scan.h"
#include "lib/error/teardown.h"

namespace kata::network {

enum class Model { kTcFilter, kMacvtap, kNone };

// By the value of `internetworking_model`. Throws kUnimplemented for l3forwarding, kInvalidArgument for
// others.
Model parse_model(const std::string& name);

// Something in the namespace that stays when the process ends, and how it is taken away again.
struct Trace {
  enum class Kind { kIngress, kRedirect, kLink, kLimit };
  Kind kind;
  std::string link;
  bool operator==(const Trace&) const = default;
};

// One line each ("redirect eth0"); lines that mean nothing are passed over when read.
std::string traces_to_text(const std::vector<Trace>& traces);
std::vector<Trace> traces_from_text(std::string_view text);

// Bits per second of one NIC; 0 = none. Received: what goes into the guest.
struct RateLimits {
  uint64_t received = 0, sent = 0;
};

// How links are connected.
struct WiringRules {
  Model model = Model::kTcFilter;
  // Per NIC.
  size_t queues = 1;
  RateLimits limits = {};
  // Number of the first tap.
  size_t first = 0;
};

struct Wire {
  // Queues of the NIC's other end.
  std::vector<UniqueFd> queues;
  // What it left in the namespace.
  std::vector<Trace> traces = {};
};

// Gets all traces there are, before the next one is made and when one turned out to be somebody else's.
using Journal = std::function<void(const std::vector<Trace>& traces)>;

// One Wire per endpoint, in their order. On failure everything is undone and the error thrown; failures of
// the undoing go to `teardown`.
std::vector<Wire> wire(NetKernel& kernel, const Plan& plan, const WiringRules& rules, const Journal& journal,
                       Teardown& teardown);

// Undoes from the last to the first; a step that fails is tried once more.
void undo(NetKernel& kernel, std::vector<Trace> traces, Teardown& teardown);

}  // namespace kata::network
