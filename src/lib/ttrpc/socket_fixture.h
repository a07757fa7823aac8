// A server with a few methods on one end of a socket pair, for the tests of client and server.
#pragma once

#include <string>
#include <sys/socket.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/ttrpc/client.h"
#include "lib/ttrpc/server.h"

namespace kata::ttrpc {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

class TtrpcSocketTest : public testing::Test {
 protected:
  TtrpcSocketTest()
      : never_(context_.get_executor()),
        group_(context_.get_executor(), [](std::string_view task, const Error& error) {
          ADD_FAILURE() << task << ": " << error.message();
        }) {
    server_->add("test.Echo", "Echo",
                 [](std::string payload, RequestInfo) -> Awaitable<std::string> { co_return payload; });
    server_->add("test.Echo", "Hang", [this](std::string, RequestInfo) -> Awaitable<std::string> {
      const Counter running(hanging_);
      co_await never_.wait();
      co_return "";
    });
    server_->add("test.Echo", "Fail", [](std::string payload, RequestInfo) -> Awaitable<std::string> {
      if (payload == "runtime") throw std::runtime_error("broken");
      throw Error(Code::kNotFound, payload);
      co_return "";
    });
    server_->add("test.Echo", "Large", [](std::string payload, RequestInfo) -> Awaitable<std::string> {
      co_return std::string(std::stoul(payload), 'x');
    });
    server_->add("test.Echo", "Stop", [this](std::string, RequestInfo) -> Awaitable<std::string> {
      server_->stop();
      co_return "stopped";
    });
    server_->add_stream("test.Echo", "EchoStream", StreamResult::kMessages,
                        [](std::shared_ptr<Stream> stream, RequestInfo) -> Awaitable<> {
                          while (std::optional<std::string> message = co_await stream->receive()) {
                            if (*message == "fail") throw Error(Code::kAborted, "as asked");
                            co_await stream->send(std::move(*message));
                          }
                        });
    server_->add_stream("test.Echo", "Count", StreamResult::kSingle,
                        [](std::shared_ptr<Stream> stream, RequestInfo) -> Awaitable<> {
                          int count = 0;
                          while (co_await stream->receive()) ++count;
                          co_await stream->send(std::to_string(count));
                        });
    server_->add_stream("test.Echo", "Deaf", StreamResult::kMessages,
                        [this](std::shared_ptr<Stream>, RequestInfo) -> Awaitable<> {
                          const Counter running(hanging_);
                          co_await never_.wait();
                        });
    server_->add("test.Echo", "Info", [](std::string, RequestInfo info) -> Awaitable<std::string> {
      std::string text = std::to_string(info.timeout.count());
      for (const auto& [key, value] : info.metadata) text += " " + key + "=" + value;
      co_return text;
    });
  }

  struct Counter {
    explicit Counter(int& counted) : count(counted) { ++count; }
    ~Counter() { --count; }
    int& count;
  };

  StreamSocket serve(Server::PeerCheck check = Server::PeerCheck::kNone) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const asio::generic::stream_protocol protocol(AF_UNIX, 0);
    group_.spawn("serve", server_->serve(StreamSocket(context_, protocol, fds[0]), check));
    return {context_, protocol, fds[1]};
  }

  // Runs a coroutine to its end, then everything that the loop still has to do.
  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 60s, "the test"), asio::use_future);
    context_.restart();
    context_.run();
    return future.get();
  }

  static std::string outcome(const std::exception_ptr& exception) {
    const Error error = to_error(exception);
    return code_name(error.code()) + "|" + error.message();
  }

  // The answer, or "CODE|message".
  static Awaitable<std::string> try_call(std::shared_ptr<Client> client, std::string method,
                                         std::string payload, CallOptions options = {}) {
    try {
      co_return co_await client->call("test.Echo", method, std::move(payload), std::move(options));
    } catch (...) {
      co_return outcome(std::current_exception());
    }
  }

  asio::io_context context_;
  Event never_;
  int hanging_ = 0;
  std::shared_ptr<Server> server_ = Server::create();
  TaskGroup group_;
};

}  // namespace kata::ttrpc
