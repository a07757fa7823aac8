// A kernel in memory that can fail at its n-th call and knows what is left in it.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "host/resource/network/net_kernel.h"
#include "lib/error/error.h"

namespace kata::network {

class FakeNetKernel : public NetKernel {
 public:
  // Number of calls until one fails with `error`, once; 0 = none does.
  int fail_at = 0;
  int error = EIO;
  // How many calls after it fail too.
  int fail_more = 0;
  int calls = 0;
  // Links that somebody else gave a place for filters.
  std::set<std::string> foreign_ingress;

  Picture picture() override {
    count();
    return {};
  }
  std::vector<UniqueFd> open_tap(const std::string& name, size_t queues) override {
    count();
    return open_queues(name, queues);
  }
  void add_macvtap(const std::string& name, const std::string&) override {
    count();
    links_.insert(name);
  }
  std::vector<UniqueFd> open_macvtap(const std::string& name, size_t queues) override {
    count();
    return open_queues(name, queues);
  }
  void delete_link(const std::string& name) override {
    count();
    links_.erase(name);
  }
  void set_up(const std::string&, uint32_t) override { count(); }
  bool add_ingress(const std::string& link) override {
    count();
    if (foreign_ingress.contains(link)) return false;
    ingress_.insert(link);
    return true;
  }
  void remove_ingress(const std::string& link) override {
    count();
    ingress_.erase(link);
    foreign_ingress.erase(link);
    redirects_.erase(link);
  }
  void redirect(const std::string& from, const std::string& to) override {
    count();
    redirects_[from] = to;
  }
  void remove_redirect(const std::string& from) override {
    count();
    redirects_.erase(from);
  }

  void limit_rate(const std::string& link, uint64_t bits) override {
    count();
    limits_[link] = bits;
  }
  void remove_rate_limit(const std::string& link) override {
    count();
    limits_.erase(link);
  }

  // What is left, as lines; what lies on a tap goes with the tap.
  std::vector<std::string> left() {
    std::vector<std::string> things;
    for (const auto& [name, ends] : queues_) {
      if (std::ranges::any_of(ends, [](const UniqueFd& end) { return is_open(end); }))
        things.push_back("queue of " + name);
    }
    const auto is_tap = [this](const std::string& link) { return queues_.contains(link); };
    for (const std::string& link : links_) things.push_back("link " + link);
    for (const std::string& link : ingress_) {
      if (!is_tap(link)) things.push_back("ingress " + link);
    }
    for (const auto& [from, to] : redirects_) {
      if (!is_tap(from)) things.push_back("redirect " + from + " " + to);
    }
    for (const auto& [link, bits] : limits_) {
      if (!is_tap(link)) things.push_back("limit " + link);
    }
    return things;
  }
  [[nodiscard]] const std::map<std::string, uint64_t>& limits() const { return limits_; }
  [[nodiscard]] const std::map<std::string, std::string>& redirects() const { return redirects_; }

 private:
  void count() {
    ++calls;
    if (fail_at != 0 && calls >= fail_at && calls <= fail_at + fail_more)
      throw Error::from_errno(error, "fake call " + std::to_string(calls));
  }
  std::vector<UniqueFd> open_queues(const std::string& name, size_t queues) {
    std::vector<UniqueFd> fds;
    for (size_t i = 0; i < queues; ++i) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("making a pipe");
      fds.emplace_back(ends[1]);
      queues_[name].emplace_back(ends[0]);
    }
    return fds;
  }
  static bool is_open(const UniqueFd& end) {
    pollfd poll{.fd = end.get(), .events = POLLIN, .revents = 0};
    ::poll(&poll, 1, 0);
    return (poll.revents & POLLHUP) == 0;
  }

  std::set<std::string> links_, ingress_;
  std::map<std::string, std::string> redirects_;
  std::map<std::string, uint64_t> limits_;
  std::map<std::string, std::vector<UniqueFd>> queues_;
};

}  // namespace kata::network
