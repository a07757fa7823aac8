// Network interfaces of the guest (agent-api, section 6).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kata::network {

struct InterfaceAddress {
  std::string address;
  // Prefix length as decimal text, as the message has it.
  std::string mask;
  bool is_ipv6 = false;
};

struct Interface {
  // The name it gets.
  std::string name;
  std::string hardware_address;
  // 0 = left alone.
  uint64_t mtu = 0;
  std::vector<InterfaceAddress> addresses;
  // IFF_* of which only NOARP counts.
  uint32_t raw_flags = 0;
};

// Configures a link as the interface says: found by hardware address, else by name (it gets the hardware
// address then). `link_name` not empty: that link and no other. A link that has the wanted name already swaps
// names with it. Addresses that it had before are taken away. kNotFound when there is no such link.
void update_interface(const Interface& wanted, const std::string& link_name);

// All links with names, hardware addresses, MTU and addresses.
std::vector<Interface> list_interfaces();

// 0 when there is no link of that name.
int link_index(const std::string& name);
// Empty when there is none.
std::string link_name(int index);

}  // namespace kata::network
