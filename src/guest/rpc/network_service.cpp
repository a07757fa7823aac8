#include "guest/rpc/network_service.h"

#include "guest/boot/modules.h"
#include "guest/network/interface.h"
#include "guest/network/route.h"

#include "agent/agent.pb.h"

namespace kata::rpc {
namespace {

network::Interface from_proto(const types::Interface& from) {
  network::Interface to;
  to.name = from.name();
  to.hardware_address = from.hwaddr();
  to.mtu = from.mtu();
  to.raw_flags = from.raw_flags();
  for (const auto& address : from.ipaddresses())
    to.addresses.push_back({.address = address.address(), .mask = address.mask(), .is_ipv6 = false});
  return to;
}

void to_proto(const network::Interface& from, types::Interface& to) {
  to.set_name(from.name);
  to.set_hwaddr(from.hardware_address);
  to.set_mtu(from.mtu);
  for (const network::InterfaceAddress& address : from.addresses) {
    types::IPAddress& entry = *to.add_ipaddresses();
    entry.set_family(address.is_ipv6 ? types::v6 : types::v4);
    entry.set_address(address.address);
    entry.set_mask(address.mask);
  }
}

network::Route from_proto(const types::Route& from) {
  return {.destination = from.dest(),
          .gateway = from.gateway(),
          .device = from.device(),
          .source = from.source(),
          .scope = from.scope(),
          .is_ipv6 = from.family() == types::v6,
          .flags = from.flags(),
          .mtu = from.mtu()};
}

void list_routes(grpc::Routes& to) {
  for (const network::Route& route : network::list_routes()) {
    types::Route& entry = *to.add_routes();
    entry.set_dest(route.destination);
    entry.set_gateway(route.gateway);
    entry.set_device(route.device);
    entry.set_source(route.source);
    entry.set_scope(route.scope);
    entry.set_family(route.is_ipv6 ? types::v6 : types::v4);
    entry.set_flags(route.flags);
    entry.set_mtu(route.mtu);
  }
}

Awaitable<> update_interface(AgentContext& context, const grpc::UpdateInterfaceRequest& request,
                             types::Interface& response) {
  if (!request.has_interface()) throw Error(Code::kInvalidArgument, "interface is missing");
  // The NIC's driver may still be under way.
  co_await context.device_modules_loaded.wait();
  const types::Interface& wanted = request.interface();
  std::string link;
  // A link that was just plugged is known by its place until it has its hardware address.
  if (!wanted.devicepath().empty()) {
    // The first NIC of this guest, perhaps.
    if (context.role == boot::Role::kInit) boot::load_on_demand("virtio:1");
    link = co_await context.find_link(wanted.devicepath());
  }
  network::update_interface(from_proto(wanted), link);
  response = wanted;
}

void update_routes(AgentContext&, const grpc::UpdateRoutesRequest& request, grpc::Routes& response) {
  if (!request.has_routes()) throw Error(Code::kInvalidArgument, "routes is missing");
  std::vector<network::Route> routes;
  for (const types::Route& route : request.routes().routes()) routes.push_back(from_proto(route));
  network::update_routes(routes);
  list_routes(response);
}

void list_interfaces(AgentContext&, const grpc::ListInterfacesRequest&, grpc::Interfaces& response) {
  for (const network::Interface& interface : network::list_interfaces())
    to_proto(interface, *response.add_interfaces());
}

void list_routes_now(AgentContext&, const grpc::ListRoutesRequest&, grpc::Routes& response) {
  list_routes(response);
}

void add_arp_neighbors(AgentContext&, const grpc::AddARPNeighborsRequest& request, Empty&) {
  if (!request.has_neighbors()) throw Error(Code::kInvalidArgument, "neighbors is missing");
  std::vector<network::Neighbor> neighbors;
  for (const types::ARPNeighbor& entry : request.neighbors().arpneighbors()) {
    neighbors.push_back({.address = entry.toipaddress().address(),
                         .device = entry.device(),
                         .hardware_address = entry.lladdr(),
                         .state = entry.state(),
                         .flags = entry.flags()});
  }
  network::add_neighbors(neighbors);
}

}  // namespace

void add_network_methods(ttrpc::Server& server, AgentContext& context) {
  add_method(server, "UpdateInterface", context, update_interface);
  add_method(server, "UpdateRoutes", context, update_routes);
  add_method(server, "ListInterfaces", context, list_interfaces);
  add_method(server, "ListRoutes", context, list_routes_now);
  add_method(server, "AddARPNeighbors", context, add_arp_neighbors);
}

}  // namespace kata::rpc
