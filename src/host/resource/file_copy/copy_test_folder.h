// For tests: a folder of their own and a loop to run coroutines on.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::file_copy {

class CopyTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "copy-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    source_ = base_ + "/source";
    std::filesystem::create_directory(source_);
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  void file(const std::string& name, const std::string& text) const {
    write_file(source_ + "/" + name, text);
  }

  template <typename T>
  T run(Awaitable<T> task) {
    auto limited = with_deadline(std::move(task), std::chrono::seconds(20), "a step of the test");
    auto future = asio::co_spawn(context_, std::move(limited), asio::use_future);
    context_.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() != 0) {
    }
    return future.get();
  }
  template <typename Body>
  Error error_of(Body body) {
    try {
      body();
    } catch (const Error& error) {
      return error;
    }
    return {Code::kOk, "no error"};
  }

  asio::io_context context_;
  std::string base_, source_;
};

}  // namespace kata::file_copy
