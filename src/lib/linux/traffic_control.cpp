#include "lib/linux/traffic_control.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstdint>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string>
#include <sys/socket.h>

#include "lib/error/error.h"

namespace kata::kernel {
namespace {

// Priority of our filter: it is found again by it, and filters that others put in front keep working.
constexpr uint32_t kPriority = 0xca7a;

tcmsg ingress(int link) {
  tcmsg info{};
  info.tcm_family = AF_UNSPEC;
  info.tcm_ifindex = link;
  info.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
  info.tcm_parent = TC_H_INGRESS;
  return info;
}

tcmsg filter(int link) {
  tcmsg info{};
  info.tcm_family = AF_UNSPEC;
  info.tcm_ifindex = link;
  // The ingress side of both kinds of place: "ingress" and "clsact".
  info.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  info.tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  return info;
}

// A selector whose one key looks at no bit: it matches every frame.
void add_match_all(NetlinkMessage& message) {
  tc_u32_sel selector{};
  selector.nkeys = 1;
  selector.flags = TC_U32_TERMINAL;
  const tc_u32_key key{};
  std::string bytes(reinterpret_cast<const char*>(&selector), sizeof selector);
  bytes.append(reinterpret_cast<const char*>(&key), sizeof key);
  message.attribute(TCA_U32_SEL, bytes);
}

void add_mirred(NetlinkMessage& message, int to) {
  tc_mirred parameters{};
  parameters.action = TC_ACT_STOLEN;
  parameters.eaction = TCA_EGRESS_REDIR;
  parameters.ifindex = static_cast<uint32_t>(to);
  const size_t actions = message.begin(TCA_U32_ACT);
  const size_t first = message.begin(1);
  message.text(TCA_ACT_KIND, "mirred");
  const size_t options = message.begin(TCA_ACT_OPTIONS);
  message.number(TCA_MIRRED_PARMS, parameters);
  message.end(options);
  message.end(first);
  message.end(actions);
}

// Runs a deletion; that there is nothing is fine. The kernel has three ways to say so.
void remove(NetlinkSocket& socket, NetlinkMessage message, const std::string& tried) {
  try {
    socket.request(std::move(message), tried);
  } catch (const Error& error) {
    const int code = error.errno_value();
    if (code != ENOENT && code != EINVAL && code != ENODEV) throw;
  }
}

}  // namespace

namespace {

// Our limit is found again by its number, and somebody else's is not taken for it.
constexpr uint32_t kLimitHandle = 0xca7a0000;

tcmsg root(int link) {
  tcmsg info{};
  info.tcm_family = AF_UNSPEC;
  info.tcm_ifindex = link;
  info.tcm_handle = kLimitHandle;
  info.tcm_parent = TC_H_ROOT;
  return info;
}

// Microseconds as the kernel's packet scheduler counts: 64 ns each (psched_ticks of Linux, PSCHED_SHIFT 6).
uint32_t scheduler_ticks(uint64_t nanoseconds) {
  return static_cast<uint32_t>(std::min<uint64_t>(nanoseconds >> 6, UINT32_MAX));
}

}  // namespace

void limit_rate(NetlinkSocket& socket, int link, uint64_t bits) {
  const uint64_t bytes = std::max<uint64_t>(bits / 8, 1);
  // A whole segment that the guest hands over at once must fit.
  const uint64_t burst = std::clamp<uint64_t>(bytes / 100, uint64_t{128} << 10, uint64_t{64} << 20);
  tc_tbf_qopt options{};
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;
  options.rate.rate = static_cast<uint32_t>(std::min<uint64_t>(bytes, UINT32_MAX));
  options.limit = static_cast<uint32_t>(std::min<uint64_t>(bytes / 10 + burst, UINT32_MAX));
  options.buffer = scheduler_ticks(burst * 1'000'000'000 / bytes);
  NetlinkMessage message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
  message.fixed(root(link));
  message.text(TCA_KIND, "tbf");
  const size_t nested = message.begin(TCA_OPTIONS);
  message.number(TCA_TBF_PARMS, options);
  message.number<uint32_t>(TCA_TBF_BURST, static_cast<uint32_t>(burst));
  if (bytes > UINT32_MAX) message.number<uint64_t>(TCA_TBF_RATE64, bytes);
  message.end(nested);
  socket.request(std::move(message), "limiting the rate of link " + std::to_string(link));
}

void remove_rate_limit(NetlinkSocket& socket, int link) {
  NetlinkMessage message(RTM_DELQDISC);
  message.fixed(root(link));
  remove(socket, std::move(message), "removing the rate limit of link " + std::to_string(link));
}

bool add_ingress(NetlinkSocket& socket, int link) {
  NetlinkMessage message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
  message.fixed(ingress(link));
  message.text(TCA_KIND, "ingress");
  try {
    socket.request(std::move(message), "adding an ingress queue to link " + std::to_string(link));
  } catch (const Error& error) {
    if (error.errno_value() != EEXIST) throw;
    return false;
  }
  return true;
}

void remove_ingress(NetlinkSocket& socket, int link) {
  NetlinkMessage message(RTM_DELQDISC);
  message.fixed(ingress(link));
  remove(socket, std::move(message), "removing the ingress queue of link " + std::to_string(link));
}

void redirect(NetlinkSocket& socket, int from, int to) {
  NetlinkMessage message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
  message.fixed(filter(from));
  message.text(TCA_KIND, "u32");
  const size_t options = message.begin(TCA_OPTIONS);
  add_match_all(message);
  add_mirred(message, to);
  message.end(options);
  socket.request(std::move(message),
                 "redirecting link " + std::to_string(from) + " to link " + std::to_string(to));
}

void remove_redirect(NetlinkSocket& socket, int from) {
  NetlinkMessage message(RTM_DELTFILTER);
  message.fixed(filter(from));
  remove(socket, std::move(message), "removing the redirect of link " + std::to_string(from));
}

}  // namespace kata::kernel
