#include "guest/network/route.h"

#include <cerrno>
#include <cstring>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "guest/network/interface.h"
#include "guest/network/ip.h"
#include "guest/network/netlink.h"
#include "lib/error/error.h"

namespace kata::network {
namespace {

template <typename T>
T unwrap(std::expected<T, Error> value) {
  if (!value) throw value.error();
  return std::move(*value);
}

int index_of(const std::string& device, std::string_view field) {
  const int index = device.empty() || device.size() >= 16 ? 0 : link_index(device);
  if (index == 0)
    throw Error(Code::kNotFound,
                std::string(field) + " \"" + device.substr(0, 100) + "\": there is no such link");
  return index;
}

std::string describe(const Route& route) {
  return "route to " + (route.destination.empty() ? "default" : route.destination) + " through " +
         route.device;
}

Request route_request(const Route& route) {
  Prefix destination{.address = {.family = route.is_ipv6 ? AF_INET6 : AF_INET, .bytes = {}}, .length = 0};
  if (!route.destination.empty()) destination = unwrap(parse_prefix(route.destination, "routes.dest"));
  Request request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(destination.address.family);
  header.rtm_dst_len = destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_type = RTN_UNICAST;
  header.rtm_scope = static_cast<uint8_t>(route.scope);
  header.rtm_flags = route.flags;
  request.header(header);
  if (destination.length != 0) request.attribute(RTA_DST, destination.address.bytes);
  if (!route.gateway.empty())
    request.attribute(RTA_GATEWAY, unwrap(parse_ip(route.gateway, "routes.gateway")).bytes);
  if (!route.source.empty())
    request.attribute(RTA_PREFSRC, unwrap(parse_ip(route.source, "routes.source")).bytes);
  request.attribute_u32(RTA_OIF, static_cast<uint32_t>(index_of(route.device, "routes.device")));
  if (route.mtu != 0) {
    const size_t metrics = request.begin(RTA_METRICS);
    request.attribute_u32(RTAX_MTU, route.mtu);
    request.end(metrics);
  }
  return request;
}

void set_route(RouteSocket& socket, const Route& route) {
  if (route.scope > 255)
    throw Error(Code::kInvalidArgument, "routes.scope " + std::to_string(route.scope) + " is above 255");
  try {
    socket.transact(route_request(route), "adding " + describe(route));
  } catch (const Error& error) {
    // IPv6 has no replacing of a route with other metrics: it is there, which is what is wanted.
    if (error.errno_value() != EEXIST) throw;
  }
}

uint32_t mtu_of(std::string_view metrics) {
  uint32_t mtu = 0;
  for_each_attribute(metrics, [&](const Attribute& attribute) {
    if (attribute.type == RTAX_MTU) mtu = attribute.u32();
  });
  return mtu;
}

// Fills one entry from an answer; false for what is not listed.
bool parse_route(std::string_view body, Route& route) {
  if (body.size() < sizeof(rtmsg)) return false;
  rtmsg header;
  std::memcpy(&header, body.data(), sizeof header);
  body.remove_prefix(sizeof header);
  if (header.rtm_table != RT_TABLE_MAIN || (header.rtm_family != AF_INET && header.rtm_family != AF_INET6))
    return false;
  route.is_ipv6 = header.rtm_family == AF_INET6;
  route.scope = header.rtm_scope;
  route.flags = header.rtm_flags;
  for_each_attribute(body, [&](const Attribute& attribute) {
    if (attribute.type == RTA_DST)
      route.destination =
          ip_text(header.rtm_family, attribute.bytes) + "/" + std::to_string(header.rtm_dst_len);
    if (attribute.type == RTA_GATEWAY) route.gateway = ip_text(header.rtm_family, attribute.bytes);
    if (attribute.type == RTA_PREFSRC) route.source = ip_text(header.rtm_family, attribute.bytes);
    if (attribute.type == RTA_OIF) route.device = link_name(static_cast<int>(attribute.u32()));
    if (attribute.type == RTA_METRICS) route.mtu = mtu_of(attribute.bytes);
  });
  if (!route.destination.empty()) return true;
  if (route.gateway.empty()) return false;
  route.destination = route.is_ipv6 ? "::1" : "0.0.0.0";
  return true;
}

}  // namespace

void update_routes(const std::vector<Route>& routes) {
  RouteSocket socket;
  // A gateway can be reached only once the way to it is there.
  for (const Route& route : routes) {
    if (route.gateway.empty()) set_route(socket, route);
  }
  for (const Route& route : routes) {
    if (!route.gateway.empty()) set_route(socket, route);
  }
}

std::vector<Route> list_routes() {
  std::vector<Route> routes;
  RouteSocket socket;
  Request request(RTM_GETROUTE, NLM_F_DUMP);
  request.header(rtmsg{});
  socket.dump(request, "listing routes", [&](std::string_view body) {
    Route route;
    if (parse_route(body, route)) routes.push_back(std::move(route));
  });
  return routes;
}

void add_neighbors(const std::vector<Neighbor>& neighbors) {
  RouteSocket socket;
  for (const Neighbor& neighbor : neighbors) {
    const Ip address = unwrap(parse_ip(neighbor.address, "neighbors.toIPAddress"));
    Request request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    ndmsg header{};
    header.ndm_family = static_cast<uint8_t>(address.family);
    header.ndm_ifindex = index_of(neighbor.device, "neighbors.device");
    header.ndm_state = static_cast<uint16_t>(neighbor.state == 0 ? NUD_PERMANENT : neighbor.state);
    header.ndm_flags = static_cast<uint8_t>(neighbor.flags);
    request.header(header);
    request.attribute(NDA_DST, address.bytes);
    if (!neighbor.hardware_address.empty())
      request.attribute(NDA_LLADDR, unwrap(parse_mac(neighbor.hardware_address, "neighbors.lladdr")));
    socket.transact(request, "adding neighbour " + neighbor.address + " on " + neighbor.device);
  }
}

}  // namespace kata::network
