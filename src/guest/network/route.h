// Routes and neighbours of the guest (agent-api, section 6).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kata::network {

struct Route {
  // "a.b.c.d/len"; empty = default.
  std::string destination;
  std::string gateway;
  std::string device;
  // Preferred source address.
  std::string source;
  uint32_t scope = 0;
  bool is_ipv6 = false;
  // RTNH_F_*, like onlink (4).
  uint32_t flags = 0;
  uint32_t mtu = 0;
};

// Sets the routes in the main table, those without gateway first; one that is there is replaced.
// kInvalidArgument names the field, kNotFound the device.
void update_routes(const std::vector<Route>& routes);

// The main table, as the original agent writes it: a default route has the destination 0.0.0.0 or ::1.
std::vector<Route> list_routes();

struct Neighbor {
  std::string address;
  std::string device;
  std::string hardware_address;
  // NUD_*; 0 = permanent.
  int32_t state = 0;
  int32_t flags = 0;
};
void add_neighbors(const std::vector<Neighbor>& neighbors);

}  // namespace kata::network
