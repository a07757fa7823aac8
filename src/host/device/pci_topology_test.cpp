#include "host/device/pci_topology.h"

#include <set>

#include <gtest/gtest.h>

namespace kata::device {
namespace {

TEST(PciTopology, RootBusFirstThenPorts) {
  PciTopology topology(2);
  std::set<std::string> paths;
  for (int i = 0; i < 13; ++i) {
    const auto place = topology.take_before_start();
    ASSERT_TRUE(place) << i;
    EXPECT_EQ(place->port.empty(), i < 11) << i;
    paths.insert(topology.guest_path(*place));
  }
  EXPECT_EQ(paths.size(), 13U);
  EXPECT_TRUE(paths.contains("10"));
  EXPECT_TRUE(paths.contains("1a"));
  EXPECT_TRUE(paths.contains("1d/00"));
  EXPECT_TRUE(paths.contains("1d.1/00"));
  EXPECT_FALSE(topology.take_before_start());
}

TEST(PciTopology, ARunningVmTakesPortsOnly) {
  PciTopology topology(1);
  const auto place = topology.take_running();
  ASSERT_TRUE(place);
  EXPECT_EQ(place->port, "hp0");
  EXPECT_FALSE(topology.take_running());
  topology.give_back(*place);
  EXPECT_TRUE(topology.take_running());
  EXPECT_FALSE(PciTopology(0).take_running());
}

TEST(PciTopology, PortsShareSlots) {
  const PciTopology topology(100);
  ASSERT_EQ(topology.ports().size(), PciTopology::kMaxPorts);
  EXPECT_EQ(topology.ports()[7].slot, 0x1d);
  EXPECT_EQ(topology.ports()[7].function, 7);
  EXPECT_EQ(topology.ports()[8].slot, 0x1c);
  EXPECT_EQ(topology.guest_path({.port = "hp8", .slot = 0}), "1c/00");
  EXPECT_EQ(topology.guest_path({.port = "hp15", .slot = 0}), "1c.7/00");
}

}  // namespace
}  // namespace kata::device
