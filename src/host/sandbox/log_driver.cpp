#include "host/sandbox/log_driver.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;

constexpr std::string_view kOne = "binary://";
constexpr std::string_view kTwo = "binary-v2://";
constexpr Duration kReadyLimit = 10s;
constexpr Duration kFinishLimit = 5s;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 percent decoding; in a query '+' is a space. A broken escape stays as it is.
std::string decode(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      result += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
               hex_digit(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe for a log driver");
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

// One byte or the closing of the pipe; returns whether a byte came.
Awaitable<> read_ready(asio::posix::stream_descriptor& ready, bool& byte_came) {
  char byte = 0;
  boost::system::error_code error;
  const size_t n = co_await ready.async_read_some(asio::buffer(&byte, 1),
                                                  asio::redirect_error(asio::use_awaitable, error));
  if (error && error != asio::error::eof) throw boost::system::system_error(error);
  byte_came = n == 1;
}

}  // namespace

bool is_log_driver(const std::string& uri) {
  return uri.starts_with(kOne) || uri.starts_with(kTwo);
}

LogDriverUri parse_log_driver(const std::string& uri) {
  LogDriverUri result;
  std::string_view rest = uri;
  if (rest.starts_with(kTwo)) {
    result.version = LogDriverUri::Version::kTwo;
    rest.remove_prefix(kTwo.size());
  } else {
    rest.remove_prefix(std::min(rest.size(), kOne.size()));
  }
  const size_t question = rest.find('?');
  result.argv.push_back(decode(rest.substr(0, question)));
  if (!result.argv[0].starts_with('/'))
    throw Error(Code::kInvalidArgument, "log driver " + uri + ": the program's path is not absolute");
  if (question == std::string_view::npos) return result;
  std::string_view query = rest.substr(question + 1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(query.size(), end + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    result.argv.push_back(decode(pair.substr(0, equals)));
    if (equals != std::string_view::npos && equals + 1 < pair.size())
      result.argv.push_back(decode(pair.substr(equals + 1)));
  }
  return result;
}

Awaitable<std::shared_ptr<LogDriver>> LogDriver::start(std::string uri, std::string container_id,
                                                       std::string containerd_namespace) {
  const auto executor = co_await asio::this_coro::executor;
  const LogDriverUri parsed = parse_log_driver(uri);
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  Pipe ready = make_pipe();
  Command command;
  command.argv = parsed.argv;
  command.env = {"CONTAINER_ID=" + container_id, "CONTAINER_NAMESPACE=" + containerd_namespace};
  if (const char* path = ::getenv("PATH")) command.env->push_back(std::string("PATH=") + path);
  command.from_three = {out.read.get(), err.read.get(), ready.write.get()};
  auto driver = std::make_shared<LogDriver>();
  driver->child_ = ChildProcess::start(executor, command);
  ready.write.reset();
  asio::posix::stream_descriptor ready_stream(executor, ready.read.release());
  bool byte_came = false;
  std::exception_ptr failure;
  try {
    co_await with_deadline(read_ready(ready_stream, byte_came), kReadyLimit,
                           "waiting for log driver " + parsed.argv[0]);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (!failure && !byte_came && parsed.version == LogDriverUri::Version::kTwo) {
    failure = std::make_exception_ptr(
        Error(Code::kUnavailable, "log driver " + parsed.argv[0] + " ended before it was ready"));
  }
  if (failure) {
    co_await driver->child_->stop(1s);
    std::rethrow_exception(failure);
  }
  driver->stdout_ = pipe_output(executor, std::move(out.write));
  driver->stderr_ = pipe_output(executor, std::move(err.write));
  co_return driver;
}

Awaitable<> LogDriver::finish() {
  stdout_.reset();
  stderr_.reset();
  bool late = false;
  try {
    co_await with_deadline(child_->wait(), kFinishLimit, "end of a log driver");
  } catch (const Error&) {
    late = true;
  }
  if (late) co_await child_->stop(1s);
}

}  // namespace kata::sandbox
