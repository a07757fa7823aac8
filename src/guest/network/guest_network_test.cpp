// Runs in a network namespace of its own, on veth pairs.
#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "guest/network/interface.h"
#include "guest/network/ip.h"
#include "guest/network/route.h"
#include "lib/error/error.h"

namespace kata::network {
namespace {

class Network : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs network namespaces";
    if (!ip("link add eth0 address 02:00:00:00:00:01 type veth peer name peer0") ||
        !ip("link add eth1 address 02:00:00:00:00:02 type veth peer name peer1")) {
      GTEST_SKIP() << "needs veth and the ip program";
    }
    ip("link set lo up");
    ip("link set peer0 up");
    ip("link set peer1 up");
  }
  static bool ip(const std::string& arguments) {
    return std::system(("ip " + arguments + " 2>/dev/null").c_str()) == 0;
  }
  static Interface find(const std::string& name) {
    const auto all = list_interfaces();
    const auto found = std::ranges::find(all, name, &Interface::name);
    return found == all.end() ? Interface() : *found;
  }
  static Interface wanted(const std::string& name) {
    return {.name = name,
            .hardware_address = "02:00:00:00:00:01",
            .mtu = 1400,
            .addresses = {{.address = "10.0.0.2", .mask = "24", .is_ipv6 = false}},
            .raw_flags = 0};
  }
  static Code code_of(const Interface& interface) {
    try {
      update_interface(interface, "");
      return Code::kOk;
    } catch (const Error& error) {
      return error.code();
    }
  }
  static Code code_of(const Route& route) {
    try {
      update_routes({route});
      return Code::kOk;
    } catch (const Error& error) {
      return error.code();
    }
  }
};

TEST_F(Network, ConfiguresByHardwareAddressAndRenames) {
  update_interface(wanted("net7"), "");
  const Interface now = find("net7");
  EXPECT_EQ(now.hardware_address, "02:00:00:00:00:01");
  EXPECT_EQ(now.mtu, 1400U);
  ASSERT_FALSE(now.addresses.empty());
  EXPECT_EQ(now.addresses[0].address, "10.0.0.2");
  EXPECT_EQ(now.addresses[0].mask, "24");
  // Again with another address: the old one goes.
  Interface again = wanted("net7");
  again.addresses[0].address = "10.0.0.3";
  update_interface(again, "");
  EXPECT_EQ(find("net7").addresses[0].address, "10.0.0.3");
}

TEST_F(Network, SwapsNames) {
  update_interface(wanted("eth1"), "");
  EXPECT_EQ(find("eth1").hardware_address, "02:00:00:00:00:01");
  EXPECT_EQ(find("eth0").hardware_address, "02:00:00:00:00:02");
  EXPECT_TRUE(find("eth1_temp").name.empty());
}

TEST_F(Network, ByNameGetsTheHardwareAddress) {
  Interface interface = wanted("eth1");
  interface.hardware_address = "02:00:00:00:00:99";
  update_interface(interface, "");
  EXPECT_EQ(find("eth1").hardware_address, "02:00:00:00:00:99");
  interface.name = "eth0";
  interface.hardware_address = "02:00:00:00:00:77";
  update_interface(interface, "eth0");
  EXPECT_EQ(find("eth0").hardware_address, "02:00:00:00:00:77");
}

TEST_F(Network, InterfacesThatMakeNoSense) {
  struct Row {
    const char* name;
    void (*change)(Interface& interface);
    Code code;
  };
  for (const Row& row :
       {Row{"no link",
            [](Interface& i) {
              i.name = "none";
              i.hardware_address = "02:00:00:00:00:50";
            },
            Code::kNotFound},
        Row{"mac", [](Interface& i) { i.hardware_address = "02:00"; }, Code::kInvalidArgument},
        Row{"mac text", [](Interface& i) { i.hardware_address = "zz:00:00:00:00:01"; },
            Code::kInvalidArgument},
        Row{"name", [](Interface& i) { i.name = "a-name-that-is-too-long"; }, Code::kInvalidArgument},
        Row{"no name", [](Interface& i) { i.name.clear(); }, Code::kInvalidArgument},
        Row{"slash", [](Interface& i) { i.name = "a/b"; }, Code::kInvalidArgument},
        Row{"address", [](Interface& i) { i.addresses[0].address = "10.0.0"; }, Code::kInvalidArgument},
        Row{"mask", [](Interface& i) { i.addresses[0].mask = "33"; }, Code::kInvalidArgument},
        Row{"negative mask", [](Interface& i) { i.addresses[0].mask = "-1"; }, Code::kInvalidArgument},
        Row{"mtu", [](Interface& i) { i.mtu = UINT64_MAX; }, Code::kInvalidArgument}}) {
    Interface interface = wanted("eth0");
    row.change(interface);
    EXPECT_EQ(code_of(interface), row.code) << row.name;
  }
}

TEST_F(Network, RoutesAndDefault) {
  update_interface(wanted("eth0"), "");
  // The gateway's own route comes later in the list and is set first.
  const Route gateway{.destination = "",
                      .gateway = "10.1.0.1",
                      .device = "eth0",
                      .source = "10.0.0.2",
                      .scope = 0,
                      .is_ipv6 = false,
                      .flags = 0,
                      .mtu = 1300};
  const Route link{.destination = "10.1.0.0/16",
                   .gateway = "",
                   .device = "eth0",
                   .source = "",
                   .scope = 253,
                   .is_ipv6 = false,
                   .flags = 0,
                   .mtu = 0};
  update_routes({gateway, link});
  update_routes({gateway, link});
  const auto routes = list_routes();
  const auto default_route = std::ranges::find(routes, "0.0.0.0", &Route::destination);
  ASSERT_NE(default_route, routes.end());
  EXPECT_EQ(default_route->gateway, "10.1.0.1");
  EXPECT_EQ(default_route->source, "10.0.0.2");
  EXPECT_EQ(default_route->mtu, 1300U);
  const auto network = std::ranges::find(routes, "10.1.0.0/16", &Route::destination);
  ASSERT_NE(network, routes.end());
  EXPECT_EQ(network->scope, 253U);
  // On-link: a gateway that no route leads to.
  const Route onlink{.destination = "10.9.0.0/16",
                     .gateway = "172.16.0.1",
                     .device = "eth0",
                     .source = "",
                     .scope = 0,
                     .is_ipv6 = false,
                     .flags = 4,
                     .mtu = 0};
  update_routes({onlink});
  EXPECT_EQ(std::ranges::count(list_routes(), "172.16.0.1", &Route::gateway), 1);
}

TEST_F(Network, RoutesThatMakeNoSense) {
  update_interface(wanted("eth0"), "");
  const Route good{.destination = "10.1.0.0/16",
                   .gateway = "",
                   .device = "eth0",
                   .source = "",
                   .scope = 253,
                   .is_ipv6 = false,
                   .flags = 0,
                   .mtu = 0};
  Route device = good, destination = good, gateway = good, scope = good;
  device.device = "none";
  destination.destination = "10.1/16";
  gateway.gateway = "x";
  scope.scope = 256;
  EXPECT_EQ(code_of(good), Code::kOk);
  EXPECT_EQ(code_of(device), Code::kNotFound);
  EXPECT_EQ(code_of(destination), Code::kInvalidArgument);
  EXPECT_EQ(code_of(gateway), Code::kInvalidArgument);
  EXPECT_EQ(code_of(scope), Code::kInvalidArgument);
}

TEST_F(Network, Neighbours) {
  update_interface(wanted("eth0"), "");
  add_neighbors({{.address = "10.0.0.9",
                  .device = "eth0",
                  .hardware_address = "02:00:00:00:00:09",
                  .state = 0,
                  .flags = 0}});
  EXPECT_TRUE(ip("neigh show dev eth0 | grep -q '10.0.0.9 lladdr 02:00:00:00:00:09 PERMANENT'"));
  EXPECT_THROW(
      add_neighbors({{.address = "x", .device = "eth0", .hardware_address = "", .state = 0, .flags = 0}}),
      Error);
  EXPECT_THROW(
      add_neighbors(
          {{.address = "10.0.0.9", .device = "none", .hardware_address = "", .state = 0, .flags = 0}}),
      Error);
}

TEST_F(Network, Ipv6) {
  Interface interface = wanted("eth0");
  interface.addresses = {{.address = "fd00::2", .mask = "64", .is_ipv6 = true}};
  update_interface(interface, "");
  const Interface now = find("eth0");
  if (std::ranges::none_of(now.addresses, &InterfaceAddress::is_ipv6))
    GTEST_SKIP() << "this kernel has IPv6 switched off";
  EXPECT_EQ(std::ranges::count(now.addresses, "fd00::2", &InterfaceAddress::address), 1);
  const Route gateway{.destination = "",
                      .gateway = "fd00::1",
                      .device = "eth0",
                      .source = "",
                      .scope = 0,
                      .is_ipv6 = true,
                      .flags = 0,
                      .mtu = 0};
  update_routes({gateway});
  EXPECT_EQ(std::ranges::count(list_routes(), "fd00::1", &Route::gateway), 1);
}

TEST(Ip, Forms) {
  EXPECT_EQ(parse_ip("10.0.0.1", "f")->bytes.size(), 4U);
  EXPECT_EQ(parse_ip("::1", "f")->bytes.size(), 16U);
  EXPECT_EQ(parse_prefix("10.0.0.0/8", "f")->length, 8);
  EXPECT_EQ(parse_prefix("10.0.0.0", "f")->length, 32);
  for (const char* text : {"", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "fe80::/129", "1.2.3.4/8x"})
    EXPECT_FALSE(parse_prefix(text, "f")) << text;
  EXPECT_EQ(mac_text(*parse_mac("02:0a:ff:00:00:01", "f")), "02:0a:ff:00:00:01");
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:0",
                           "02-00-00-00-00-01", "02:00:00:00:00:01:"})
    EXPECT_FALSE(parse_mac(text, "f")) << text;
}

}  // namespace
}  // namespace kata::network
