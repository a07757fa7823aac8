#include "lib/linux/netlink.h"

#include <cerrno>
#include <cstring>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "lib/error/error.h"
#include "lib/linux/route_netlink.h"

namespace kata::kernel {
namespace {

using testing::IsEmpty;

TEST(NetlinkMessage, AttributesNestAndAlign) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE);
  message.fixed(ifinfomsg{});
  message.text(IFLA_IFNAME, "eth0");
  const size_t outer = message.begin(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "veth");
  message.end(outer);
  message.number<uint32_t>(IFLA_MTU, 1400);
  const std::string bytes = message.bytes(7, NLM_F_ACK);
  const auto header = read_fixed<nlmsghdr>(bytes);
  EXPECT_EQ(header.nlmsg_len, bytes.size());
  EXPECT_EQ(header.nlmsg_seq, 7U);
  EXPECT_EQ(header.nlmsg_flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK);
  const auto links = links_from({{.type = RTM_NEWLINK, .payload = bytes.substr(sizeof header)}});
  ASSERT_EQ(links.size(), 1U);
  EXPECT_EQ(links[0].name, "eth0");
  EXPECT_EQ(links[0].kind, "veth");
  EXPECT_EQ(links[0].mtu, 1400U);
}

TEST(NetlinkAttributes, DamageEndsTheList) {
  struct Row {
    std::string name;
    std::string bytes;
    size_t count;
  };
  const std::string good(
      "\x08\x00\x01\x00"
      "abcd",
      8);
  const std::vector<Row> rows = {
      {"empty", "", 0},
      {"one", good, 1},
      {"two", good + good, 2},
      {"shorter than a header", "abc", 0},
      {"length 0", std::string("\0\0\1\0", 4), 0},
      {"length beyond the end",
       std::string("\x09\0\1\0"
                   "abcd",
                   8),
       0},
      {"good, then damaged", good + std::string("\xff\xff\1\0", 4), 1},
      {"last one without padding", good + std::string("\x05\0\2\0x", 5), 2},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_attributes(row.bytes).size(), row.count) << row.name;
}

std::string answer(uint16_t type, uint32_t sequence, uint32_t length) {
  nlmsghdr header{};
  header.nlmsg_len = length;
  header.nlmsg_type = type;
  header.nlmsg_seq = sequence;
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

TEST(NetlinkDatagram, Splits) {
  struct Row {
    std::string name;
    std::string bytes;
    bool good;
    size_t count;
  };
  const std::vector<Row> rows = {
      {"empty", "", true, 0},
      {"one", answer(RTM_NEWLINK, 1, 16), true, 1},
      {"of another request", answer(RTM_NEWLINK, 2, 16), true, 0},
      {"two", answer(RTM_NEWLINK, 1, 16) + answer(NLMSG_DONE, 1, 16), true, 2},
      {"length too small", answer(RTM_NEWLINK, 1, 15), false, 0},
      {"length too large", answer(RTM_NEWLINK, 1, 17), false, 0},
      {"cut", answer(RTM_NEWLINK, 1, 16).substr(0, 10), false, 0},
  };
  for (const Row& row : rows) {
    std::vector<NetlinkAnswer> answers;
    bool interrupted = false;
    EXPECT_EQ(split_datagram(row.bytes, 1, answers, interrupted), row.good) << row.name;
    EXPECT_EQ(answers.size(), row.count) << row.name;
  }
}

TEST(RouteNetlink, ShortAnswersAreEmptyValues) {
  EXPECT_EQ(links_from({{.type = RTM_NEWLINK, .payload = ""}}).at(0).index, 0);
  EXPECT_EQ(routes_from({{.type = RTM_NEWROUTE, .payload = "x"}}).at(0).gateway, "");
  EXPECT_THAT(addresses_from({{.type = RTM_NEWLINK, .payload = ""}}), IsEmpty());
}

// Reading needs no rights: the loopback link is everywhere.
TEST(NetlinkSocket, ListsAndRefusals) {
  NetlinkSocket socket;
  bool loopback = false;
  for (const Link& link : list_links(socket)) loopback = loopback || (link.flags & IFF_LOOPBACK) != 0;
  EXPECT_TRUE(loopback);
  try {
    set_link_up(socket, 0x7fffff00, 1500);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(error.errno_value() == ENODEV || error.errno_value() == EPERM) << error.message();
  }
}

}  // namespace
}  // namespace kata::kernel
