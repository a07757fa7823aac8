#include "host/resource/network/net_kernel.h"

#include <cerrno>
#include <net/if.h>

#include "lib/error/error.h"
#include "lib/linux/tap.h"
#include "lib/linux/traffic_control.h"

namespace kata::network {
namespace {

class RealNetKernel : public NetKernel {
 public:
  Picture picture() override {
    return {.links = kernel::list_links(socket_),
            .addresses = kernel::list_addresses(socket_),
            .routes = kernel::list_routes(socket_),
            .neighbours = kernel::list_neighbours(socket_)};
  }
  std::vector<UniqueFd> open_tap(const std::string& name, size_t queues) override {
    return kernel::open_tap(name, queues);
  }
  void add_macvtap(const std::string& name, const std::string& lower) override {
    kernel::add_macvtap(socket_, name, index_of(lower));
  }
  std::vector<UniqueFd> open_macvtap(const std::string& name, size_t queues) override {
    return kernel::open_macvtap(name, index_of(name), queues);
  }
  void delete_link(const std::string& name) override {
    if (const int index = known_index(name); index != 0) kernel::delete_link(socket_, index);
  }
  void set_up(const std::string& name, uint32_t mtu) override {
    with_context("link " + name, [&] { kernel::set_link_up(socket_, index_of(name), mtu); });
  }
  bool add_ingress(const std::string& link) override { return kernel::add_ingress(socket_, index_of(link)); }
  void remove_ingress(const std::string& link) override {
    if (const int index = known_index(link); index != 0) kernel::remove_ingress(socket_, index);
  }
  void redirect(const std::string& from, const std::string& to) override {
    kernel::redirect(socket_, index_of(from), index_of(to));
  }
  void remove_redirect(const std::string& from) override {
    if (const int index = known_index(from); index != 0) kernel::remove_redirect(socket_, index);
  }
  void limit_rate(const std::string& link, uint64_t bits) override {
    kernel::limit_rate(socket_, index_of(link), bits);
  }
  void remove_rate_limit(const std::string& link) override {
    if (const int index = known_index(link); index != 0) kernel::remove_rate_limit(socket_, index);
  }

 private:
  // 0 when there is no such link.
  static int known_index(const std::string& name) { return static_cast<int>(::if_nametoindex(name.c_str())); }
  static int index_of(const std::string& name) {
    const int index = known_index(name);
    if (index == 0) throw_errno("looking for link " + name);
    return index;
  }

  kernel::NetlinkSocket socket_;
};

}  // namespace

std::unique_ptr<NetKernel> real_net_kernel() {
  return std::make_unique<RealNetKernel>();
}

}  // namespace kata::network
