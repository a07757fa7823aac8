#include "host/vmm/qemu/nic_plug.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::vmm::qemu {
namespace {

TEST(NicPlug, WhatQemuIsTold) {
  const NicSpec one{.id = "nic2", .mac = "02:00:00:00:00:07", .tap_fds = {5}, .vhost_fds = {}};
  EXPECT_EQ(nic_backend_json(one, {"nic2-queue0"}, {}),
            R"({"type":"tap","id":"net-nic2","fds":"nic2-queue0"})");
  EXPECT_EQ(nic_device_json(one, "np0"),
            R"({"driver":"virtio-net-pci","id":"nic2","netdev":"net-nic2","bus":"np0","romfile":"",)"
            R"("disable-legacy":"on","mac":"02:00:00:00:00:07"})");
  const NicSpec queues{.id = "nic3", .mac = "", .tap_fds = {5, 6}, .vhost_fds = {7, 8}};
  EXPECT_EQ(nic_backend_json(queues, {"a", "b"}, {"c", "d"}),
            R"({"type":"tap","id":"net-nic3","fds":"a:b","vhost":true,"vhostfds":"c:d"})");
  EXPECT_EQ(nic_device_json(queues, "np1"),
            R"({"driver":"virtio-net-pci","id":"nic3","netdev":"net-nic3","bus":"np1","romfile":"",)"
            R"("disable-legacy":"on","mq":true,"vectors":6})");
}

TEST(NicPlug, PathsAsTheAgentNamesThem) {
  EXPECT_EQ(guest_path_behind({.id = "np0", .slot = 0x1b, .function = 0}), "1b/00");
  EXPECT_EQ(guest_path_behind({.id = "np1", .slot = 0x1b, .function = 1}), "1b.1/00");
  EXPECT_EQ(guest_path_behind({.id = "p", .slot = 2, .function = 7}), "02.7/00");
}

}  // namespace
}  // namespace kata::vmm::qemu
