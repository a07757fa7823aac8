// Links, addresses, routes and neighbours of a network namespace (rtnetlink(7)) as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/linux/netlink.h"

namespace kata::kernel {

struct Link {
  int index = 0;
  std::string name;
  // "veth", "macvlan", "tun", ...; empty for hardware and for loopback.
  std::string kind;
  // "02:00:ca:fe:00:01"; empty when the link has none of six bytes.
  std::string mac;
  uint32_t mtu = 0;
  // IFF_*.
  uint32_t flags = 0;
  // ARPHRD_*.
  uint16_t hardware = 0;
  // Address on its bus ("0000:01:00.0"); only hardware has it, and only since Linux 5.14 tells.
  std::string bus_address;
};

// Addresses are text as inet_ntop(3) writes it; the colon tells the family.
struct Address {
  int link = 0;
  std::string ip;
  uint8_t prefix = 0;
};

struct Route {
  int family = 0;
  // Empty for the default route.
  std::string destination;
  uint8_t prefix = 0;
  std::string gateway;
  // Index of the output link; 0 for none and for several next hops.
  int link = 0;
  std::string source;
  uint8_t scope = 0;
  uint8_t protocol = 0;
  // RTN_*.
  uint8_t type = 0;
  uint32_t table = 0;
  // RTNH_F_*, RTM_F_*.
  uint32_t flags = 0;
  // 0 = the link's.
  uint32_t mtu = 0;
};

struct Neighbour {
  int link = 0;
  std::string ip;
  std::string mac;
  // NUD_*.
  uint16_t state = 0;
  // NTF_*.
  uint8_t flags = 0;
};

std::vector<Link> list_links(NetlinkSocket& socket);
std::vector<Address> list_addresses(NetlinkSocket& socket);
std::vector<Route> list_routes(NetlinkSocket& socket);
std::vector<Neighbour> list_neighbours(NetlinkSocket& socket);

// The same from answers of the kernel; what does not parse is left out.
std::vector<Link> links_from(const std::vector<NetlinkAnswer>& answers);
std::vector<Address> addresses_from(const std::vector<NetlinkAnswer>& answers);
std::vector<Route> routes_from(const std::vector<NetlinkAnswer>& answers);
std::vector<Neighbour> neighbours_from(const std::vector<NetlinkAnswer>& answers);

// Sets the MTU and brings the link up, in one request.
void set_link_up(NetlinkSocket& socket, int index, uint32_t mtu);
// A macvtap on the link `lower`. It takes every frame of that link (mode passthru) and has its address.
void add_macvtap(NetlinkSocket& socket, const std::string& name, int lower);
void delete_link(NetlinkSocket& socket, int index);

}  // namespace kata::kernel
