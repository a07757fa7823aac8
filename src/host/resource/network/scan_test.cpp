#include "host/resource/network/scan.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "lib/error/error.h"

namespace kata::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

kernel::Link link_of(int index, const std::string& name, const std::string& kind) {
  kernel::Link link;
  link.index = index;
  link.name = name;
  link.kind = kind;
  link.mac = "02:00:00:00:00:0" + std::to_string(index);
  link.mtu = 1400;
  link.flags = IFF_UP;
  return link;
}

kernel::Route route_to(const std::string& destination, uint8_t prefix, int link) {
  kernel::Route route;
  route.family = destination.find(':') == std::string::npos ? AF_INET : AF_INET6;
  route.destination = destination;
  route.prefix = prefix;
  route.link = link;
  route.type = RTN_UNICAST;
  route.protocol = RTPROT_BOOT;
  return route;
}

// A namespace with one veth and what `change` adds or takes.
Picture picture_with_veth() {
  Picture picture;
  picture.links = {link_of(2, "eth0", "veth")};
  picture.addresses = {{.link = 2, .ip = "10.1.2.3", .prefix = 24}};
  return picture;
}

TEST(Scan, TwoLinksWithOneAddressAreNamed) {
  Picture picture = picture_with_veth();
  picture.links.push_back(link_of(3, "net1", "macvlan"));
  picture.links[1].mac = picture.links[0].mac;
  picture.addresses.push_back({.link = 3, .ip = "10.2.2.3", .prefix = 24});
  try {
    plan_network(picture);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kFailedPrecondition);
    EXPECT_THAT(error.message(), HasSubstr("links eth0 and net1"));
    EXPECT_THAT(error.message(), HasSubstr("02:00:00:00:00:02"));
  }
}

TEST(Scan, FramesFitTheTap) {
  Picture picture = picture_with_veth();
  picture.links[0].mtu = 65535;
  EXPECT_EQ(plan_network(picture).endpoints.at(0).interface.mtu, 65521U);
}

TEST(Scan, OurOwnLinksAreNoLinksOfThePod) {
  Picture picture = picture_with_veth();
  picture.links.push_back(link_of(3, "tap0_kata", "tun"));
  picture.addresses.push_back({.link = 3, .ip = "fe80::1", .prefix = 64});
  EXPECT_EQ(plan_network(picture).endpoints.size(), 1U);
}

TEST(Scan, LinkBecomesInterface) {
  Picture picture = picture_with_veth();
  picture.links[0].flags |= IFF_NOARP;
  picture.addresses.push_back({.link = 2, .ip = "fe80::1", .prefix = 64});
  const Plan plan = plan_network(picture);
  ASSERT_EQ(plan.endpoints.size(), 1U);
  const agent::Interface& interface = plan.endpoints[0].interface;
  EXPECT_EQ(interface.name, "eth0");
  EXPECT_EQ(interface.device, "eth0");
  EXPECT_EQ(interface.mtu, 1400U);
  EXPECT_EQ(interface.mac, "02:00:00:00:00:02");
  EXPECT_EQ(interface.type, "veth");
  EXPECT_EQ(interface.raw_flags, static_cast<uint32_t>(IFF_NOARP));
  ASSERT_EQ(interface.addresses.size(), 2U);
  EXPECT_EQ(interface.addresses[1].address, "fe80::1");
  EXPECT_EQ(interface.addresses[1].prefix, 64);
}

TEST(Scan, WhichLinks) {
  struct Row {
    std::string name;
    kernel::Link link;
    std::string ip;
    std::string kind;
    std::string warning;
  };
  kernel::Link loopback = link_of(1, "lo", "");
  loopback.flags |= IFF_LOOPBACK;
  kernel::Link tun = link_of(3, "tun0", "tun");
  tun.mac.clear();
  kernel::Link tunnel = link_of(3, "sit0", "");
  tunnel.mac.clear();
  const std::vector<Row> rows = {
      {"loopback", loopback, "10.0.0.1", "", ""},
      {"no address", link_of(3, "eth1", "veth"), "", "", ""},
      {"only a loopback address", link_of(3, "eth1", "veth"), "127.0.0.2", "", ""},
      {"link-local counts", link_of(3, "eth1", "veth"), "fe80::2", "veth", ""},
      {"macvlan", link_of(3, "net1", "macvlan"), "10.0.0.1", "macvlan", ""},
      {"ipvlan", link_of(3, "net1", "ipvlan"), "10.0.0.1", "ipvlan", ""},
      {"vlan", link_of(3, "net1", "vlan"), "10.0.0.1", "vlan", ""},
      {"tap", link_of(3, "tap0", "tun"), "10.0.0.1", "tap", ""},
      {"plain device", link_of(3, "ens3", ""), "10.0.0.1", "device", ""},
      {"tun", tun, "10.0.0.1", "", "link tun0 of the pod is of an unknown kind (tun)"},
      {"unknown", link_of(3, "wg0", "wireguard"), "10.0.0.1", "",
       "wg0 of the pod is of an unknown kind (wireguard)"},
      {"no hardware address", tunnel, "10.0.0.1", "", "sit0"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Picture picture;
    picture.links = {row.link};
    if (!row.ip.empty()) picture.addresses = {{.link = row.link.index, .ip = row.ip, .prefix = 24}};
    const Plan plan = plan_network(picture);
    EXPECT_EQ(plan.endpoints.empty() ? "" : plan.endpoints[0].kind, row.kind);
    if (row.warning.empty()) {
      EXPECT_THAT(plan.warnings, IsEmpty());
    } else {
      EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr(row.warning)));
    }
  }
}

TEST(Scan, PhysicalLinkIsRefused) {
  Picture picture = picture_with_veth();
  picture.links[0].bus_address = "0000:01:00.0";
  try {
    plan_network(picture);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kUnimplemented);
    EXPECT_THAT(error.message(), HasSubstr("eth0"));
    EXPECT_THAT(error.message(), HasSubstr("0000:01:00.0"));
  }
}

TEST(Scan, OrderIsThatOfTheIndexes) {
  Picture picture;
  picture.links = {link_of(7, "net2", "veth"), link_of(2, "eth0", "veth"), link_of(5, "net1", "macvlan")};
  for (const int index : {5, 7, 2})
    picture.addresses.push_back({.link = index, .ip = "10.0.0.1", .prefix = 8});
  std::vector<std::string> names;
  for (const Endpoint& endpoint : plan_network(picture).endpoints) names.push_back(endpoint.link);
  EXPECT_THAT(names, ElementsAre("eth0", "net1", "net2"));
}

TEST(Scan, Routes) {
  struct Row {
    std::string name;
    kernel::Route route;
    // "destination gateway"; empty = does not travel.
    std::string expected;
  };
  const auto changed = [](kernel::Route route, auto member, auto value) {
    route.*member = value;
    return route;
  };
  const std::vector<Row> rows = {
      {"default", changed(route_to("", 0, 2), &kernel::Route::gateway, "10.1.2.1"), " 10.1.2.1"},
      {"network", route_to("10.9.0.0", 16, 2), "10.9.0.0/16 "},
      {"IPv6", route_to("fd00::", 8, 2), "fd00::/8 "},
      {"another table", changed(route_to("10.9.0.0", 16, 2), &kernel::Route::table, 100U), "10.9.0.0/16 "},
      {"the kernel's own", changed(route_to("10.1.2.0", 24, 2), &kernel::Route::protocol, RTPROT_KERNEL), ""},
      {"local", changed(route_to("10.1.2.3", 32, 2), &kernel::Route::type, RTN_LOCAL), ""},
      {"cached", changed(route_to("10.9.0.0", 16, 2), &kernel::Route::flags, RTM_F_CLONED), ""},
      {"another link", route_to("10.9.0.0", 16, 3), ""},
      {"without link", route_to("10.9.0.0", 16, 0), ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Picture picture = picture_with_veth();
    picture.routes = {row.route};
    const Plan plan = plan_network(picture);
    ASSERT_EQ(plan.routes.size(), row.expected.empty() ? 0U : 1U);
    if (row.expected.empty()) continue;
    EXPECT_EQ(plan.routes[0].destination + " " + plan.routes[0].gateway, row.expected);
    EXPECT_EQ(plan.routes[0].device, "eth0");
    EXPECT_EQ(plan.routes[0].ipv6, row.route.family == AF_INET6);
  }
}

TEST(Scan, ThreeHundredRoutes) {
  Picture picture = picture_with_veth();
  for (int i = 0; i < 300; ++i)
    picture.routes.push_back(route_to("10." + std::to_string(i % 200) + ".0.0", 16, 2));
  EXPECT_EQ(plan_network(picture).routes.size(), 300U);
}

TEST(Scan, OnlyPermanentNeighbours) {
  Picture picture = picture_with_veth();
  const std::string mac = "02:00:00:00:00:09";
  picture.neighbours = {{.link = 2, .ip = "10.1.2.1", .mac = mac, .state = NUD_PERMANENT, .flags = 0},
                        {.link = 2, .ip = "10.1.2.4", .mac = mac, .state = NUD_REACHABLE, .flags = 0},
                        {.link = 2, .ip = "10.1.2.5", .mac = mac, .state = NUD_STALE, .flags = 0},
                        {.link = 1, .ip = "10.1.2.6", .mac = mac, .state = NUD_PERMANENT, .flags = 0}};
  const Plan plan = plan_network(picture);
  ASSERT_EQ(plan.neighbours.size(), 1U);
  EXPECT_EQ(plan.neighbours[0].ip, "10.1.2.1");
  EXPECT_EQ(plan.neighbours[0].device, "eth0");
  EXPECT_EQ(plan.neighbours[0].state, NUD_PERMANENT);
}

TEST(Scan, EmptyNamespace) {
  EXPECT_THAT(plan_network({}).endpoints, IsEmpty());
}

}  // namespace
}  // namespace kata::network
