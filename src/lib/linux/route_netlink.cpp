#include "lib/linux/route_netlink.h"

#include <arpa/inet.h>
#include <array>
#include <cstdio>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace kata::kernel {
namespace {

// Linux 5.14's attribute; older headers lack it.
constexpr uint16_t kParentDeviceName = 56;
constexpr size_t kMacBytes = 6;

std::string ip_text(int family, std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const size_t wanted = family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
  if ((family != AF_INET && family != AF_INET6) || bytes.size() < wanted) return {};
  std::array<char, sizeof(in6_addr)> address{};
  bytes.copy(address.data(), wanted);
  if (::inet_ntop(family, address.data(), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::string mac_text(std::string_view bytes) {
  if (bytes.size() != kMacBytes) return {};
  std::string text;
  for (const char c : bytes) {
    std::array<char, 4> part{};
    std::snprintf(part.data(), part.size(), "%s%02x", text.empty() ? "" : ":", static_cast<unsigned char>(c));
    text += part.data();
  }
  return text;
}

uint32_t u32(std::string_view bytes) {
  return read_fixed<uint32_t>(bytes);
}

std::string kind_of(std::string_view link_info) {
  for (const NetlinkAttribute& attribute : parse_attributes(link_info)) {
    if (attribute.type == IFLA_INFO_KIND) return read_text(attribute.data);
  }
  return {};
}

Link link_from(std::string_view payload) {
  const auto info = read_fixed<ifinfomsg>(payload);
  Link link;
  link.index = info.ifi_index;
  link.flags = info.ifi_flags;
  link.hardware = info.ifi_type;
  for (const NetlinkAttribute& attribute : parse_attributes(after_fixed(payload, sizeof info))) {
    if (attribute.type == IFLA_IFNAME) link.name = read_text(attribute.data);
    if (attribute.type == IFLA_ADDRESS) link.mac = mac_text(attribute.data);
    if (attribute.type == IFLA_MTU) link.mtu = u32(attribute.data);
    if (attribute.type == IFLA_LINKINFO) link.kind = kind_of(attribute.data);
    if (attribute.type == kParentDeviceName) link.bus_address = read_text(attribute.data);
  }
  return link;
}

Address address_from(std::string_view payload) {
  const auto info = read_fixed<ifaddrmsg>(payload);
  Address address;
  address.link = static_cast<int>(info.ifa_index);
  address.prefix = info.ifa_prefixlen;
  // The local address: of a point-to-point link IFA_ADDRESS is the other end's.
  for (const NetlinkAttribute& attribute : parse_attributes(after_fixed(payload, sizeof info))) {
    if (attribute.type == IFA_LOCAL || (attribute.type == IFA_ADDRESS && address.ip.empty()))
      address.ip = ip_text(info.ifa_family, attribute.data);
  }
  return address;
}

uint32_t route_mtu(std::string_view metrics) {
  for (const NetlinkAttribute& attribute : parse_attributes(metrics)) {
    if (attribute.type == RTAX_MTU) return u32(attribute.data);
  }
  return 0;
}

Route route_from(std::string_view payload) {
  const auto info = read_fixed<rtmsg>(payload);
  Route route;
  route.family = info.rtm_family;
  route.prefix = info.rtm_dst_len;
  route.scope = info.rtm_scope;
  route.protocol = info.rtm_protocol;
  route.type = info.rtm_type;
  route.table = info.rtm_table;
  route.flags = info.rtm_flags;
  for (const NetlinkAttribute& attribute : parse_attributes(after_fixed(payload, sizeof info))) {
    if (attribute.type == RTA_DST) route.destination = ip_text(route.family, attribute.data);
    if (attribute.type == RTA_GATEWAY) route.gateway = ip_text(route.family, attribute.data);
    if (attribute.type == RTA_PREFSRC) route.source = ip_text(route.family, attribute.data);
    if (attribute.type == RTA_OIF) route.link = static_cast<int>(u32(attribute.data));
    if (attribute.type == RTA_TABLE) route.table = u32(attribute.data);
    if (attribute.type == RTA_METRICS) route.mtu = route_mtu(attribute.data);
  }
  return route;
}

Neighbour neighbour_from(std::string_view payload) {
  const auto info = read_fixed<ndmsg>(payload);
  Neighbour neighbour;
  neighbour.link = info.ndm_ifindex;
  neighbour.state = info.ndm_state;
  neighbour.flags = info.ndm_flags;
  for (const NetlinkAttribute& attribute : parse_attributes(after_fixed(payload, sizeof info))) {
    if (attribute.type == NDA_DST) neighbour.ip = ip_text(info.ndm_family, attribute.data);
    if (attribute.type == NDA_LLADDR) neighbour.mac = mac_text(attribute.data);
  }
  return neighbour;
}

template <typename T>
std::vector<T> list_from(const std::vector<NetlinkAnswer>& answers, uint16_t type,
                         T (*parse)(std::string_view)) {
  std::vector<T> list;
  for (const NetlinkAnswer& answer : answers) {
    if (answer.type == type) list.push_back(parse(answer.payload));
  }
  return list;
}

std::string numbered(const char* what, int index) {
  return std::string(what) + " " + std::to_string(index);
}

}  // namespace

std::vector<Link> links_from(const std::vector<NetlinkAnswer>& answers) {
  return list_from<Link>(answers, RTM_NEWLINK, link_from);
}
std::vector<Address> addresses_from(const std::vector<NetlinkAnswer>& answers) {
  return list_from<Address>(answers, RTM_NEWADDR, address_from);
}
std::vector<Route> routes_from(const std::vector<NetlinkAnswer>& answers) {
  return list_from<Route>(answers, RTM_NEWROUTE, route_from);
}
std::vector<Neighbour> neighbours_from(const std::vector<NetlinkAnswer>& answers) {
  return list_from<Neighbour>(answers, RTM_NEWNEIGH, neighbour_from);
}

std::vector<Link> list_links(NetlinkSocket& socket) {
  NetlinkMessage message(RTM_GETLINK);
  message.fixed(ifinfomsg{});
  return links_from(socket.dump(std::move(message), "listing the links"));
}

std::vector<Address> list_addresses(NetlinkSocket& socket) {
  NetlinkMessage message(RTM_GETADDR);
  message.fixed(ifaddrmsg{});
  return addresses_from(socket.dump(std::move(message), "listing the addresses"));
}

std::vector<Route> list_routes(NetlinkSocket& socket) {
  NetlinkMessage message(RTM_GETROUTE);
  message.fixed(rtmsg{});
  return routes_from(socket.dump(std::move(message), "listing the routes"));
}

std::vector<Neighbour> list_neighbours(NetlinkSocket& socket) {
  NetlinkMessage message(RTM_GETNEIGH);
  message.fixed(ndmsg{});
  return neighbours_from(socket.dump(std::move(message), "listing the neighbours"));
}

void set_link_up(NetlinkSocket& socket, int index, uint32_t mtu) {
  NetlinkMessage message(RTM_NEWLINK);
  ifinfomsg info{};
  info.ifi_index = index;
  info.ifi_change = IFF_UP;
  info.ifi_flags = IFF_UP;
  message.fixed(info);
  message.number(IFLA_MTU, mtu);
  socket.request(std::move(message), numbered("setting up link", index));
}

void add_macvtap(NetlinkSocket& socket, const std::string& name, int lower) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.fixed(ifinfomsg{});
  message.text(IFLA_IFNAME, name);
  message.number(IFLA_LINK, static_cast<uint32_t>(lower));
  const size_t info = message.begin(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "macvtap");
  const size_t data = message.begin(IFLA_INFO_DATA);
  message.number(IFLA_MACVLAN_MODE, static_cast<uint32_t>(MACVLAN_MODE_PASSTHRU));
  message.end(data);
  message.end(info);
  socket.request(std::move(message), "making macvtap " + name);
}

void delete_link(NetlinkSocket& socket, int index) {
  NetlinkMessage message(RTM_DELLINK);
  ifinfomsg info{};
  info.ifi_index = index;
  message.fixed(info);
  socket.request(std::move(message), numbered("deleting link", index));
}

}  // namespace kata::kernel
