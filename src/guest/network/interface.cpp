#include "guest/network/interface.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <optional>

#include <unistd.h>

#include "guest/network/ip.h"
#include "guest/network/netlink.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::network {
namespace {

constexpr const char* kIpv6Disabled = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

struct Link {
  int index = 0;
  unsigned flags = 0;
  uint32_t mtu = 0;
  std::string name, mac;
};

struct Address {
  int link = 0;
  int family = 0;
  uint8_t prefix = 0;
  std::string bytes;
};

template <typename Header>
std::optional<Header> split(std::string_view& body) {
  if (body.size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, body.data(), sizeof header);
  body.remove_prefix(std::min(body.size(), NLMSG_ALIGN(sizeof header)));
  return header;
}

std::vector<Link> list_links(RouteSocket& socket) {
  std::vector<Link> links;
  Request request(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{});
  socket.dump(request, "listing links", [&](std::string_view body) {
    const auto header = split<ifinfomsg>(body);
    if (!header) return;
    Link link{.index = header->ifi_index, .flags = header->ifi_flags, .mtu = 0, .name = {}, .mac = {}};
    for_each_attribute(body, [&](const Attribute& attribute) {
      if (attribute.type == IFLA_IFNAME) link.name = attribute.text();
      if (attribute.type == IFLA_ADDRESS) link.mac = attribute.bytes;
      if (attribute.type == IFLA_MTU) link.mtu = attribute.u32();
    });
    links.push_back(std::move(link));
  });
  return links;
}

std::vector<Address> list_addresses(RouteSocket& socket) {
  std::vector<Address> addresses;
  Request request(RTM_GETADDR, NLM_F_DUMP);
  request.header(ifaddrmsg{});
  socket.dump(request, "listing addresses", [&](std::string_view body) {
    const auto header = split<ifaddrmsg>(body);
    if (!header) return;
    Address address{.link = static_cast<int>(header->ifa_index),
                    .family = header->ifa_family,
                    .prefix = header->ifa_prefixlen,
                    .bytes = {}};
    for_each_attribute(body, [&](const Attribute& attribute) {
      // IFA_LOCAL is the interface's own where both are there (point to point).
      if (attribute.type == IFA_LOCAL || (attribute.type == IFA_ADDRESS && address.bytes.empty()))
        address.bytes = attribute.bytes;
    });
    addresses.push_back(std::move(address));
  });
  return addresses;
}

Request link_request(int index, unsigned flags, unsigned change) {
  Request request(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = flags;
  header.ifi_change = change;
  request.header(header);
  return request;
}

void set_flags(RouteSocket& socket, const Link& link, unsigned flags, unsigned change) {
  socket.transact(link_request(link.index, flags, change), "changing link " + link.name);
}

void rename(RouteSocket& socket, int index, const std::string& from, const std::string& to) {
  Request request = link_request(index, 0, 0);
  request.attribute_text(IFLA_IFNAME, to);
  socket.transact(request, "renaming link " + from + " to " + to);
}

void change_address(RouteSocket& socket, const Address& address, uint16_t type, uint16_t flags) {
  Request request(type, static_cast<uint16_t>(NLM_F_ACK | flags));
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.family);
  header.ifa_prefixlen = address.prefix;
  header.ifa_index = static_cast<uint32_t>(address.link);
  // Duplicate address detection would keep an IPv6 address unusable for a second.
  if (address.family == AF_INET6) header.ifa_flags = IFA_F_NODAD;
  request.header(header);
  request.attribute(IFA_LOCAL, address.bytes);
  request.attribute(IFA_ADDRESS, address.bytes);
  socket.transact(request, (type == RTM_NEWADDR ? "adding address " : "removing address ") +
                               ip_text(address.family, address.bytes));
}

bool ipv6_enabled() {
  return ::access(kIpv6Disabled, R_OK) == 0 && read_file(kIpv6Disabled, 16).starts_with('0');
}

std::vector<Address> parse_addresses(const Interface& wanted, int link) {
  std::vector<Address> addresses;
  const bool with_ipv6 = ipv6_enabled();
  for (const InterfaceAddress& entry : wanted.addresses) {
    auto prefix = parse_prefix(entry.mask.empty() ? entry.address : entry.address + "/" + entry.mask,
                               "interface.IPAddresses");
    if (!prefix) throw prefix.error();
    if (prefix->address.family == AF_INET6 && !with_ipv6) continue;
    addresses.push_back({.link = link,
                         .family = prefix->address.family,
                         .prefix = prefix->length,
                         .bytes = std::move(prefix->address.bytes)});
  }
  return addresses;
}

// Makes the link's addresses the wanted ones.
void replace_addresses(RouteSocket& socket, const std::vector<Address>& wanted, int link) {
  for (const Address& address : list_addresses(socket)) {
    if (address.link == link) change_address(socket, address, RTM_DELADDR, 0);
  }
  for (const Address& address : wanted)
    change_address(socket, address, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
}

Link find_link(RouteSocket& socket, const Interface& wanted, const std::string& link_name,
               const std::string& mac) {
  const auto links = list_links(socket);
  const auto by_name = [&](const std::string& name) { return std::ranges::find(links, name, &Link::name); };
  auto found = links.end();
  if (!link_name.empty()) {
    found = by_name(link_name);
  } else {
    if (!mac.empty()) found = std::ranges::find(links, mac, &Link::mac);
    if (found == links.end()) found = by_name(wanted.name);
  }
  if (found == links.end()) {
    throw Error(Code::kNotFound, "interface " + wanted.name +
                                     ": the guest has no link with hardware address \"" +
                                     wanted.hardware_address.substr(0, 100) + "\" or that name");
  }
  return *found;
}

// Takes the wanted name from whoever has it. Returns that link, which waits under a temporary name.
std::optional<Link> free_name(RouteSocket& socket, const Link& link, const std::string& name) {
  if (link.name == name) return std::nullopt;
  const auto links = list_links(socket);
  const auto other = std::ranges::find(links, name, &Link::name);
  if (other == links.end()) return std::nullopt;
  if ((other->flags & IFF_UP) != 0) set_flags(socket, *other, 0, IFF_UP);
  constexpr std::string_view kSuffix = "_temp";
  const std::string temporary = name.substr(0, IFNAMSIZ - 1 - kSuffix.size()) + std::string(kSuffix);
  rename(socket, other->index, name, temporary);
  Link moved = *other;
  moved.name = temporary;
  return moved;
}

void check(const Interface& wanted) {
  if (wanted.name.empty() || wanted.name.size() >= IFNAMSIZ || wanted.name.find('/') != std::string::npos ||
      wanted.name == "." || wanted.name == "..") {
    throw Error(Code::kInvalidArgument, "interface.name \"" + wanted.name.substr(0, 100) +
                                            "\": expected a name of 1 to 15 characters without /");
  }
  if (wanted.mtu > std::numeric_limits<int32_t>::max())
    throw Error(Code::kInvalidArgument, "interface.mtu " + std::to_string(wanted.mtu) + " is too large");
}

}  // namespace

void update_interface(const Interface& wanted, const std::string& link_name) {
  check(wanted);
  std::string mac;
  if (!wanted.hardware_address.empty()) {
    auto parsed = parse_mac(wanted.hardware_address, "interface.hwAddr");
    if (!parsed) throw parsed.error();
    mac = std::move(*parsed);
  }
  RouteSocket socket;
  const Link link = find_link(socket, wanted, link_name, mac);
  const auto addresses = parse_addresses(wanted, link.index);
  if ((link.flags & IFF_UP) != 0) set_flags(socket, link, 0, IFF_UP);
  replace_addresses(socket, addresses, link.index);
  const auto moved = free_name(socket, link, wanted.name);
  const unsigned arp = (wanted.raw_flags & IFF_NOARP) != 0 ? IFF_NOARP : 0;
  Request request = link_request(link.index, IFF_UP | arp, IFF_UP | IFF_NOARP);
  if (link.name != wanted.name) request.attribute_text(IFLA_IFNAME, wanted.name);
  if (wanted.mtu != 0) request.attribute_u32(IFLA_MTU, static_cast<uint32_t>(wanted.mtu));
  if (!mac.empty() && mac != link.mac) request.attribute(IFLA_ADDRESS, mac);
  socket.transact(request, "configuring link " + link.name + " as " + wanted.name);
  if (!moved) return;
  rename(socket, moved->index, moved->name, link.name);
  set_flags(socket, *moved, IFF_UP, IFF_UP);
}

std::vector<Interface> list_interfaces() {
  RouteSocket socket;
  const auto addresses = list_addresses(socket);
  std::vector<Interface> interfaces;
  for (const Link& link : list_links(socket)) {
    Interface entry;
    entry.name = link.name;
    entry.hardware_address = mac_text(link.mac);
    entry.mtu = link.mtu;
    for (const Address& address : addresses) {
      if (address.link != link.index) continue;
      entry.addresses.push_back({.address = ip_text(address.family, address.bytes),
                                 .mask = std::to_string(address.prefix),
                                 .is_ipv6 = address.family == AF_INET6});
    }
    interfaces.push_back(std::move(entry));
  }
  return interfaces;
}

int link_index(const std::string& name) {
  return static_cast<int>(::if_nametoindex(name.c_str()));
}

std::string link_name(int index) {
  std::array<char, IFNAMSIZ> name;
  return ::if_indextoname(static_cast<unsigned>(index), name.data()) != nullptr ? name.data() : "";
}

}  // namespace kata::network
