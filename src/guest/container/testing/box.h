// Tests that run real containers on this machine: a busybox root file system and a loop to drive the engine
// with.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "guest/container/launcher.h"
#include "lib/async/awaitable.h"
#include "lib/error/error.h"

namespace kata::container {

struct Output {
  int code = -1;
  std::string out, err;
};

class BoxTest : public testing::Test {
 protected:
  // Skips where it cannot run: no root, no static busybox, no cgroups.
  void SetUp() override;
  void TearDown() override;

  // The spec that containerd gives a simple container: its mounts, namespaces, capabilities, masks.
  [[nodiscard]] LaunchSpec spec(std::vector<std::string> args) const;
  // Shell command in a container.
  [[nodiscard]] LaunchSpec shell(const std::string& script) const { return spec({"sh", "-c", script}); }

  // Drives `body` to its end, at most 60 s; its exception is thrown here.
  template <typename T>
  T drive(Awaitable<T> body) {
    if constexpr (std::is_void_v<T>) {
      run(std::move(body));
    } else {
      std::optional<T> result;
      auto keep = [](Awaitable<T> inner, std::optional<T>& slot) -> Awaitable<> {
        slot = co_await std::move(inner);
      };
      run(keep(std::move(body), result));
      return std::move(*result);
    }
  }

  // Creates, starts, reads everything, waits, destroys.
  Output run_container(LaunchSpec launch);
  // Create only, and back: the error it gives ("" = none).
  std::string create_error(LaunchSpec launch, Code* code = nullptr);
  static Awaitable<Output> collect(std::shared_ptr<Process> process);

  [[nodiscard]] const cgroup::Hierarchy& hierarchy() const { return hierarchy_; }
  [[nodiscard]] std::string rootfs() const { return folder_ + "/rootfs"; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  void write(const std::string& path, const std::string& text, unsigned mode = 0644) const;

 private:
  void run(Awaitable<> body);

  asio::io_context context_;
  cgroup::Hierarchy hierarchy_;
  std::string folder_;
};

}  // namespace kata::container
