#include "host/resource/network/scan.h"

#include <algorithm>
#include <array>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <map>
#include <net/if.h>
#include <string_view>
#include <sys/socket.h>

#include "lib/error/error.h"

namespace kata::network {
namespace {

constexpr std::array<std::string_view, 4> kPlainKinds = {"veth", "macvlan", "ipvlan", "vlan"};

// The largest frame that the kernel's tap driver takes, without the Ethernet header (drivers/net/tun.c).
constexpr uint32_t kLargestTapMtu = 65535 - 14;

bool is_loopback_address(const std::string& ip) {
  return ip.starts_with("127.") || ip == "::1";
}

// The name of the endpoint's kind; empty for one that no model of ours can wire.
std::string endpoint_kind(const kernel::Link& link) {
  if (std::ranges::find(kPlainKinds, link.kind) != kPlainKinds.end()) return link.kind;
  // A tun, the other device of that driver, carries packets without Ethernet and has no MAC.
  if (link.kind == "tun") return link.mac.empty() ? "" : "tap";
  if (link.kind.empty() && !link.mac.empty()) return "device";
  return {};
}

agent::Interface interface_of(const kernel::Link& link, const std::string& kind) {
  agent::Interface interface;
  interface.device = link.name;
  interface.name = link.name;
  // A tap carries a little less than a veth can: what is larger would be lost between the two.
  interface.mtu = std::min(link.mtu, kLargestTapMtu);
  interface.mac = link.mac;
  interface.type = kind;
  interface.raw_flags = link.flags & IFF_NOARP;
  return interface;
}

std::string with_prefix(const std::string& ip, uint8_t prefix) {
  return ip.empty() ? ip : ip + "/" + std::to_string(prefix);
}

// Routes that the guest's kernel makes itself from the addresses are its own business.
bool travels(const kernel::Route& route) {
  return route.protocol != RTPROT_KERNEL && route.type == RTN_UNICAST && (route.flags & RTM_F_CLONED) == 0 &&
         (route.family == AF_INET || route.family == AF_INET6);
}

agent::Route route_of(const kernel::Route& route, const std::string& device) {
  return {.destination = with_prefix(route.destination, route.prefix),
          .gateway = route.gateway,
          .device = device,
          .source = route.source,
          .scope = route.scope,
          .ipv6 = route.family == AF_INET6,
          .flags = route.flags,
          .mtu = route.mtu};
}

// Whether the link becomes a NIC; notes why not.
bool is_used(const kernel::Link& link, const std::string& kind, std::vector<std::string>& warnings) {
  if (!link.bus_address.empty()) {
    throw Error(Code::kUnimplemented, "link " + link.name + " of the pod is the hardware at " +
                                          link.bus_address +
                                          ": handing physical NICs to the VM is not supported yet");
  }
  if (!kind.empty()) return true;
  const std::string shown = link.kind.empty() ? "link without hardware address" : link.kind;
  warnings.push_back("link " + link.name + " of the pod is of an unknown kind (" + shown +
                     "): the pod starts without it");
  return false;
}

}  // namespace

namespace {

// The guest tells its NICs apart by their addresses.
void check_addresses(const std::vector<Endpoint>& endpoints) {
  std::map<std::string, std::string> links;
  for (const Endpoint& endpoint : endpoints) {
    const auto [known, added] = links.try_emplace(endpoint.interface.mac, endpoint.link);
    if (added) continue;
    throw Error(Code::kFailedPrecondition, "links " + known->second + " and " + endpoint.link +
                                               " of the pod have the same hardware address " +
                                               endpoint.interface.mac + ": give one of them another");
  }
}

}  // namespace

bool is_own_link(const std::string& name) {
  return name.starts_with("tap") && name.ends_with("_kata");
}

Plan plan_network(const Picture& picture) {
  std::map<int, std::vector<agent::IpAddress>> addresses;
  for (const kernel::Address& address : picture.addresses) {
    if (address.ip.empty() || is_loopback_address(address.ip)) continue;
    addresses[address.link].push_back({.address = address.ip, .prefix = address.prefix});
  }
  Plan plan;
  std::map<int, std::string> used;
  std::vector<kernel::Link> links = picture.links;
  std::ranges::sort(links, {}, &kernel::Link::index);
  for (const kernel::Link& link : links) {
    const auto found = addresses.find(link.index);
    if ((link.flags & IFF_LOOPBACK) != 0 || found == addresses.end() || is_own_link(link.name)) continue;
    const std::string kind = endpoint_kind(link);
    if (!is_used(link, kind, plan.warnings)) continue;
    Endpoint endpoint{
        .link = link.name, .index = link.index, .kind = kind, .interface = interface_of(link, kind)};
    endpoint.interface.addresses = found->second;
    plan.endpoints.push_back(std::move(endpoint));
    used[link.index] = link.name;
  }
  check_addresses(plan.endpoints);
  for (const kernel::Route& route : picture.routes) {
    if (const auto link = used.find(route.link); link != used.end() && travels(route))
      plan.routes.push_back(route_of(route, link->second));
  }
  for (const kernel::Neighbour& neighbour : picture.neighbours) {
    const auto link = used.find(neighbour.link);
    if (link == used.end() || neighbour.state != NUD_PERMANENT || neighbour.ip.empty()) continue;
    plan.neighbours.push_back({.ip = neighbour.ip,
                               .device = link->second,
                               .mac = neighbour.mac,
                               .state = neighbour.state,
                               .flags = neighbour.flags});
  }
  return plan;
}

}  // namespace kata::network
