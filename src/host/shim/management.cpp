#include "host/shim/management.h"

#include <exception>
#include <utility>

#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "host/shim/address.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::shim {
namespace {

namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;

constexpr size_t kMaxConnections = 16;
constexpr uint32_t kMaxHeader = 16384;
constexpr uint64_t kMaxBody = uint64_t{1} << 20;
// A request with its answer.
constexpr Duration kRequestLimit = std::chrono::seconds(10);
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

// One request of a connection; false = the connection ends.
Awaitable<bool> serve_request(Socket& socket, boost::beast::flat_buffer& buffer,
                              const ManagementServer::Source& source) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxBody);
  boost::system::error_code failed;
  co_await http::async_read(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, failed));
  if (failed) co_return false;
  auto& request = parser.get();
  ManagementRequest asked;
  asked.method = std::string(request.method_string());
  asked.target = std::string(request.target());
  asked.body = std::move(request.body());
  HttpAnswer answer = co_await answer_management(source.sandbox(), std::move(asked), source.own_metrics);
  http::response<http::string_body> response(static_cast<http::status>(answer.status), request.version());
  response.set(http::field::content_type, answer.type);
  response.keep_alive(request.keep_alive());
  response.body() = std::move(answer.body);
  response.prepare_payload();
  co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, failed));
  co_return !failed && response.keep_alive();
}

Awaitable<> serve_connection(Socket socket, ManagementServer::Source source) {
  boost::beast::flat_buffer buffer(kMaxHeader + kMaxBody);
  while (
      co_await with_deadline(serve_request(socket, buffer, source), kRequestLimit, "a management request")) {
  }
}

void log_connection_error(std::string_view, const Error& error) {
  log::debug("a management connection ended", {{"error", error.message()}});
}

}  // namespace

ManagementServer::ManagementServer(const asio::any_io_executor& executor, std::string path, Source source)
    : path_(std::move(path)),
      source_(std::move(source)),
      acceptor_(executor),
      tasks_(executor, log_connection_error) {
  Listening listening = listen_at(path_);
  if (listening.already_served)
    throw Error(Code::kAlreadyExists, "management socket " + path_ + " is served by another process");
  acceptor_.assign(asio::local::stream_protocol(), listening.socket.get());
  (void)listening.socket.release();
  tasks_.spawn("accept", accept_loop());
}

ManagementServer::~ManagementServer() = default;

Awaitable<> ManagementServer::accept_loop() {
  for (;;) {
    boost::system::error_code failed;
    Socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (failed == asio::error::operation_aborted || failed == asio::error::bad_descriptor) co_return;
    if (failed) {
      co_await pause_for(kAcceptPause);
    } else if (tasks_.size() <= kMaxConnections) {
      tasks_.spawn("connection", serve_connection(std::move(socket), source_));
    }
  }
}

Awaitable<> ManagementServer::stop() {
  acceptor_.close();
  ::unlink(path_.c_str());
  tasks_.cancel();
  co_await tasks_.join();
}

}  // namespace kata::shim
