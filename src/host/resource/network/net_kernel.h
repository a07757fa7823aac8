// What the network of a pod asks of the kernel, inside one network namespace: the seam for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/fd/unique_fd.h"
#include "lib/linux/route_netlink.h"

namespace kata::network {

// Everything in a namespace that decides how a pod is wired.
struct Picture {
  std::vector<kernel::Link> links;
  std::vector<kernel::Address> addresses;
  std::vector<kernel::Route> routes;
  std::vector<kernel::Neighbour> neighbours;
};

// Links are named: indexes change when somebody replaces a link. Every call throws kata::Error with errno. A
// link that is gone is kNotFound, for the two removals fine.
class NetKernel {
 public:
  virtual ~NetKernel() = default;
  virtual Picture picture() = 0;
  // The tap is made if it is not there and goes with the last of its descriptors.
  virtual std::vector<UniqueFd> open_tap(const std::string& name, size_t queues) = 0;
  // A macvtap on `lower`: stays until deleted.
  virtual void add_macvtap(const std::string& name, const std::string& lower) = 0;
  virtual std::vector<UniqueFd> open_macvtap(const std::string& name, size_t queues) = 0;
  virtual void delete_link(const std::string& name) = 0;
  virtual void set_up(const std::string& name, uint32_t mtu) = 0;
  // Returns false if the link had a place for filters already.
  virtual bool add_ingress(const std::string& link) = 0;
  virtual void remove_ingress(const std::string& link) = 0;
  virtual void redirect(const std::string& from, const std::string& to) = 0;
  virtual void remove_redirect(const std::string& from) = 0;
  // Of what leaves through the link, in bits per second.
  virtual void limit_rate(const std::string& link, uint64_t bits) = 0;
  virtual void remove_rate_limit(const std::string& link) = 0;
};

// The kernel itself, in the namespace that the calling thread is in; to be used by a thread that ends
// afterwards.
std::unique_ptr<NetKernel> real_net_kernel();

}  // namespace kata::network
