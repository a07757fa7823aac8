// Reaping of orphans by pid 1 (or a subreaper) without taking exit codes from those who wait by pidfd.
#pragma once

#include <set>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

namespace kata::boot {

// The pids that this process holds a pidfd of (/proc/self/fdinfo): their owners reap them.
std::set<pid_t> watched_pids();

// Reaps every zombie child that is not watched. Returns true when a watched zombie stands in front of the
// queue: what is behind it can be seen only after its owner has reaped it.
bool reap_orphans();

// Reaps at SIGCHLD, and again a little later while a watched zombie hides others.
class Reaper {
 public:
  explicit Reaper(const boost::asio::any_io_executor& executor);
  void start();
  void stop();

 private:
  void on_signal();
  void pass();

  boost::asio::signal_set signals_;
  boost::asio::steady_timer again_;
  bool stopped_ = false;
};

}  // namespace kata::boot
