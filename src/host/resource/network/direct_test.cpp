#include "host/resource/network/direct.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::HasSubstr;

constexpr const char* kTap = R"({"type":"host-tap","tap_name":"tap0"})";

// A file with one device; `device` and `info` are JSON, `more` further members of the device with a comma
// behind.
std::string file(const std::string& device = kTap,
                 const std::string& info = R"({"interface":{"ip_addresses":["10.0.0.2/24"]}})",
                 const std::string& more = R"("name":"eth0",)") {
  return R"({"devices":[{)" + more + R"("device":)" + device + R"(,"network_info":)" + info + "}]}";
}

std::string with_interface(const std::string& interface, const std::string& more = "") {
  return file(kTap, R"({"interface":)" + interface + more + "}");
}

std::string tap_with(const std::string& members) {
  return file(R"({"type":"host-tap","tap_name":"tap0",)" + members + "}");
}

TEST(DirectNetwork, ADeviceWithAllThatItCanSay) {
  const auto network = parse_direct_network(
      R"({"netns":"/run/netns/x","devices":[{"name":"eth0","guest_mac":"02:00:00:00:00:AB",
      "device":{"type":"host-tap","tap_name":"dan0","queue_num":2,"queue_size":512},
      "network_info":{"interface":{"ip_addresses":["10.0.0.2/24","fd00::2/64"],"mtu":1400,"ntype":"tuntap","flags":128},
      "routes":[{"dest":"0.0.0.0/0","gateway":"10.0.0.1","source":"10.0.0.2","scope":0,"flags":4,"mtu":1300},
                {"dest":"fd01::/48","gateway":"fd00::1"},{}],
      "neighbors":[{"ip_address":"10.0.0.1","hardware_addr":"02:00:00:00:00:02","state":128,"flags":2}]}}]})",
      1);
  ASSERT_TRUE(network) << network.error().message();
  EXPECT_EQ(network->netns, "/run/netns/x");
  ASSERT_EQ(network->plan.endpoints.size(), 1U);
  const Endpoint& endpoint = network->plan.endpoints[0];
  EXPECT_EQ(endpoint.link + " " + endpoint.kind, "dan0 tap");
  EXPECT_EQ(endpoint.queues, 2U);
  EXPECT_EQ(endpoint.queue_size, 512U);
  const agent::Interface& interface = endpoint.interface;
  EXPECT_EQ(interface.name + " " + interface.device + " " + interface.mac + " " + interface.type,
            "eth0 eth0 02:00:00:00:00:ab tuntap");
  EXPECT_EQ(interface.mtu, 1400U);
  EXPECT_EQ(interface.raw_flags, 128U);
  ASSERT_EQ(interface.addresses.size(), 2U);
  EXPECT_EQ(interface.addresses[1].address, "fd00::2");
  EXPECT_EQ(interface.addresses[1].prefix, 64);
  const auto& routes = network->plan.routes;
  ASSERT_EQ(routes.size(), 3U);
  EXPECT_EQ(routes[0].destination + routes[0].gateway + routes[0].device + routes[0].source,
            "10.0.0.1eth010.0.0.2");
  EXPECT_EQ(routes[0].flags + routes[0].mtu, 1304U);
  EXPECT_FALSE(routes[0].ipv6);
  EXPECT_EQ(routes[1].destination, "fd01::/48");
  EXPECT_TRUE(routes[1].ipv6);
  ASSERT_EQ(network->plan.neighbours.size(), 1U);
  EXPECT_EQ(network->plan.neighbours[0].state, 128);
}

TEST(DirectNetwork, WhatIsNotSaid) {
  const auto network = parse_direct_network(file(), 3);
  ASSERT_TRUE(network) << network.error().message();
  EXPECT_EQ(network->netns, "");
  const Endpoint& endpoint = network->plan.endpoints.at(0);
  EXPECT_EQ(endpoint.queues, 3U);
  EXPECT_EQ(endpoint.queue_size, 256U);
  EXPECT_EQ(endpoint.interface.mtu, 1500U);
  EXPECT_THAT(endpoint.interface.mac, testing::MatchesRegex("[0-9a-f][26ae](:[0-9a-f][0-9a-f]){5}"));
  EXPECT_NE(parse_direct_network(file(), 3)->plan.endpoints.at(0).interface.mac, endpoint.interface.mac);
  EXPECT_TRUE(parse_direct_network("{}", 1)->plan.endpoints.empty());
  EXPECT_TRUE(parse_direct_network(R"({"netns":null,"devices":null})", 1)->plan.endpoints.empty());
}

TEST(DirectNetwork, BadFiles) {
  struct Row {
    std::string text, message;
    Code code = Code::kInvalidArgument;
  };
  const std::string two =
      R"({"name":"eth0","device":{"type":"host-tap","tap_name":"t"},"network_info":{"interface":{"ip_addresses":[]}}})";
  const Row rows[] = {
      {"", "the file is no JSON object"},
      {"[]", "the file is no JSON object"},
      {"{\"devices\":", "the file is no JSON object"},
      {R"({"netns":7})", "netns is no string"},
      {R"({"netns":"here"})", "netns \"here\" is no absolute path"},
      {R"({"devices":{}})", "devices is no list"},
      {R"({"devices":[7]})", "devices[0] is no object"},
      {R"({"devices":[null]})", "devices[0] is missing"},
      {R"({"devices":[{}]})", "devices[0].name is missing or empty"},
      {file(kTap, "{}", ""), "devices[0].name is missing or empty"},
      {file(kTap, "{}", R"("name":"a/b",)"), "devices[0].name \"a/b\" is no name of a link"},
      {file(kTap, "{}", R"("name":"sixteen-letters-",)"), "is no name of a link"},
      {file(kTap, "{}", R"("name":"e","guest_mac":"02:00:00:00:00",)"), "is no hardware address"},
      {file(kTap, "{}", R"("name":"e","guest_mac":"01:00:00:00:00:00",)"), "is no address that one NIC can"},
      {file(kTap, "{}", R"("name":"e","guest_mac":"zz:00:00:00:00:00",)"), "is no hardware address"},
      {file("{}"), "devices[0].device.type is missing or empty"},
      {file(R"({"type":"vhost-user","path":"/s"})"), "device.type vhost-user is not supported",
       Code::kUnimplemented},
      {file(R"({"type":"vfio"})"), "devices[0].device.type \"vfio\" is not known: expected host-tap"},
      {file(R"({"type":"host-tap"})"), "devices[0].device.tap_name is missing or empty"},
      {tap_with(R"("queue_num":257)"), "device.queue_num is no number from 0 to 256"},
      {tap_with(R"("queue_num":-1)"), "device.queue_num is no number from 0 to 256"},
      {tap_with(R"("queue_num":"2")"), "device.queue_num is no number"},
      {tap_with(R"("queue_size":100)"), "device.queue_size 100 is none of 256, 512 and 1024"},
      {file(kTap, "null"), "devices[0].network_info is missing"},
      {file(kTap, "{}"), "network_info.interface is missing"},
      {with_interface("{}"), "interface.ip_addresses is missing"},
      {with_interface(R"({"ip_addresses":"10.0.0.2/24"})"), "ip_addresses is no list"},
      {with_interface(R"({"ip_addresses":["10.0.0.2"]})"), "ip_addresses[0] \"10.0.0.2\" is no address with"},
      {with_interface(R"({"ip_addresses":["10.0.0.2/33"]})"), "is no address with"},
      {with_interface(R"({"ip_addresses":["10.0.0.2/24x"]})"), "is no address with"},
      {with_interface(R"({"ip_addresses":["x/1"]})"), "is no address with"},
      {with_interface(R"({"ip_addresses":[],"mtu":0})"), "interface.mtu 0 is too small"},
      {with_interface(R"({"ip_addresses":[],"mtu":100000})"), "interface.mtu is no number from 0 to 65521"},
      {with_interface(R"({"ip_addresses":[]})", R"(,"routes":[{"dest":"10.0.0.0"}])"), "routes[0].dest"},
      {with_interface(R"({"ip_addresses":[]})", R"(,"routes":[{"gateway":"gate"}])"),
       "routes[0].gateway \"gate\" is no IP address"},
      {with_interface(R"({"ip_addresses":[]})", R"(,"neighbors":[{}])"),
       "neighbors[0].ip_address is missing or empty"},
      {R"({"devices":[)" + two + "," + two + "]}", "devices[1].name \"eth0\" is used twice"},
  };
  for (const Row& row : rows) {
    const auto network = parse_direct_network(row.text, 1);
    ASSERT_FALSE(network) << row.text;
    EXPECT_THAT(network.error().message(), HasSubstr(row.message)) << row.text;
    EXPECT_EQ(network.error().code(), row.code) << row.text;
  }
}

TEST(DirectNetwork, TapsMustBeThere) {
  const auto network = parse_direct_network(file(), 1);
  ASSERT_TRUE(network);
  const auto message = [&](const std::vector<kernel::Link>& links) -> std::string {
    try {
      check_taps(*network, links);
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  };
  kernel::Link link;
  link.name = "tap0";
  EXPECT_THAT(message({}), HasSubstr("device eth0: there is no tap tap0 in the host's network namespace"));
  EXPECT_THAT(message({link}), HasSubstr("is no tap"));
  link.kind = "tun";
  EXPECT_THAT(message({link}), HasSubstr("is no tap"));
  link.mac = "02:00:00:00:00:01";
  EXPECT_EQ(message({link}), "");
}

}  // namespace
}  // namespace kata::network
