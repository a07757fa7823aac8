#include "host/resource/network/wiring.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "lib/error/error.h"

namespace kata::network {
namespace {

// Filters of a link that is being changed by somebody else.
constexpr int kBusyTries = 5;
constexpr std::chrono::milliseconds kBusyPause{10};

constexpr std::array<std::pair<Trace::Kind, std::string_view>, 4> kKindNames = {
    {{Trace::Kind::kIngress, "ingress"},
     {Trace::Kind::kRedirect, "redirect"},
     {Trace::Kind::kLink, "link"},
     {Trace::Kind::kLimit, "limit"}}};

std::string_view name_of(Trace::Kind kind) {
  const auto* const found =
      std::ranges::find(kKindNames, kind, &std::pair<Trace::Kind, std::string_view>::first);
  return found->second;
}

template <typename Step>
void unless_busy(const Step& step) {
  for (int i = 1;; ++i) {
    try {
      return step();
    } catch (const Error& error) {
      if (error.errno_value() != EBUSY || i == kBusyTries) throw;
    }
    std::this_thread::sleep_for(kBusyPause);
  }
}

class Wiring {
 public:
  Wiring(NetKernel& kernel, const WiringRules& rules, const Journal& journal)
      : kernel_(kernel), rules_(rules), journal_(journal) {}

  Wire connect(const Endpoint& endpoint, size_t number) {
    const Model model = rules_.model;

    if (endpoint.kind == "tap") {
      Wire made{.queues =
                    kernel_.open_tap(endpoint.link, endpoint.queues != 0 ? endpoint.queues : rules_.queues)};
      // What the guest sends comes out of the tap and leaves it by no queue of the kernel's.
      limit(endpoint.link, rules_.limits.received);
      return made;
    }
    const std::string tap = "tap" + std::to_string(number) + "_kata";
    // A macvtap on a macvlan or ipvlan lies on the link below it, outside the namespace.
    const bool own_link = endpoint.kind == "veth" || endpoint.kind == "device" || endpoint.kind == "vlan";
    if (model == Model::kMacvtap && own_link) return by_macvtap(endpoint, tap);
    Wire made{.queues = kernel_.open_tap(tap, rules_.queues)};
    kernel_.set_up(tap, static_cast<uint32_t>(endpoint.interface.mtu));
    if (model != Model::kNone) by_filters(endpoint.link, tap);
    // The tap's own limit goes with the tap.
    if (rules_.limits.received != 0) kernel_.limit_rate(tap, rules_.limits.received);
    if (model != Model::kNone) limit(endpoint.link, rules_.limits.sent);
    return made;
  }

  [[nodiscard]] const std::vector<Trace>& traces() const { return traces_; }

 private:
  Wire by_macvtap(const Endpoint& endpoint, const std::string& tap) {
    traced({.kind = Trace::Kind::kLink, .link = tap}, [&] {
      kernel_.add_macvtap(tap, endpoint.link);
      return true;
    });
    kernel_.set_up(tap, static_cast<uint32_t>(endpoint.interface.mtu));
    Wire made{.queues = kernel_.open_macvtap(tap, rules_.queues)};
    // What is sent leaves through the link below; what arrives meets no queue on its way.
    limit(endpoint.link, rules_.limits.sent);
    return made;
  }

  void limit(const std::string& link, uint64_t bits) {
    if (bits == 0) return;
    traced({.kind = Trace::Kind::kLimit, .link = link}, [&] {
      kernel_.limit_rate(link, bits);
      return true;
    });
  }

  // What belongs to the tap goes with the tap.
  void by_filters(const std::string& link, const std::string& tap) {
    traced({.kind = Trace::Kind::kIngress, .link = link}, [&] { return kernel_.add_ingress(link); });
    unless_busy([&] { kernel_.add_ingress(tap); });
    traced({.kind = Trace::Kind::kRedirect, .link = link}, [&] {
      kernel_.redirect(link, tap);
      return true;
    });
    unless_busy([&] { kernel_.redirect(tap, link); });
  }

  // The trace is known before the step and forgotten when the step left none: it failed, or found what it
  // wanted to make (returns false), which then is somebody else's.
  void traced(Trace trace, const std::function<bool()>& step) {
    traces_.push_back(std::move(trace));
    journal_(traces_);
    bool ours = false;
    try {
      unless_busy([&] { ours = step(); });
    } catch (...) {
      traces_.pop_back();
      throw;
    }
    if (ours) return;
    traces_.pop_back();
    journal_(traces_);
  }

  NetKernel& kernel_;
  const WiringRules& rules_;
  const Journal& journal_;
  std::vector<Trace> traces_;
};

void undo_one(NetKernel& kernel, const Trace& trace) {
  switch (trace.kind) {
    case Trace::Kind::kIngress:
      return kernel.remove_ingress(trace.link);
    case Trace::Kind::kRedirect:
      return kernel.remove_redirect(trace.link);
    case Trace::Kind::kLink:
      return kernel.delete_link(trace.link);
    case Trace::Kind::kLimit:
      return kernel.remove_rate_limit(trace.link);
  }
}

}  // namespace

Model parse_model(const std::string& name) {
  if (name == "tcfilter" || name.empty()) return Model::kTcFilter;
  if (name == "macvtap") return Model::kMacvtap;
  if (name == "none") return Model::kNone;
  if (name == "l3forwarding")
    throw Error(Code::kUnimplemented, "internetworking_model l3forwarding is not supported: use tcfilter");
  throw Error(Code::kInvalidArgument, "internetworking_model \"" + name + "\" is unknown");
}

std::string traces_to_text(const std::vector<Trace>& traces) {
  std::string text;
  for (const Trace& trace : traces) text += std::string(name_of(trace.kind)) + " " + trace.link + "\n";
  return text;
}

std::vector<Trace> traces_from_text(std::string_view text) {
  std::vector<Trace> traces;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    for (const auto& [kind, name] : kKindNames) {
      if (line.size() > name.size() + 1 && line.starts_with(name) && line[name.size()] == ' ')
        traces.push_back({.kind = kind, .link = std::string(line.substr(name.size() + 1))});
    }
  }
  return traces;
}

std::vector<Wire> wire(NetKernel& kernel, const Plan& plan, const WiringRules& rules, const Journal& journal,
                       Teardown& teardown) {
  Wiring wiring(kernel, rules, journal);
  std::vector<Wire> wires;
  try {
    for (const Endpoint& endpoint : plan.endpoints) {
      const auto before = static_cast<ptrdiff_t>(wiring.traces().size());
      with_context("connecting link " + endpoint.link + " of the pod",
                   [&] { wires.push_back(wiring.connect(endpoint, rules.first + wires.size())); });
      wires.back().traces.assign(wiring.traces().begin() + before, wiring.traces().end());
    }
  } catch (...) {
    wires.clear();
    undo(kernel, wiring.traces(), teardown);
    throw;
  }
  return wires;
}

void undo(NetKernel& kernel, std::vector<Trace> traces, Teardown& teardown) {
  for (; !traces.empty(); traces.pop_back()) {
    const Trace trace = traces.back();
    teardown.step(std::string("removing ") + std::string(name_of(trace.kind)) + " " + trace.link, [&] {
      try {
        undo_one(kernel, trace);
      } catch (const Error&) {
        undo_one(kernel, trace);
      }
    });
  }
}

}  // namespace kata::network
