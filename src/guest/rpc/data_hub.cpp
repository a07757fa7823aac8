#include "guest/rpc/data_hub.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>

#include "lib/error/error.h"
#include "lib/ttrpc/client.h"

#include "agent/cdh.pb.h"

namespace kata::rpc {

Awaitable<> pull_image(std::string socket_path, std::string image, std::string bundle, Duration limit) {
  const auto executor = co_await asio::this_coro::executor;
  StreamSocket socket(executor);
  const asio::local::stream_protocol::endpoint endpoint(socket_path);
  boost::system::error_code failure;
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, failure));
  const std::string what = "pulling image " + image.substr(0, 300) + " in the guest";
  if (failure) {
    throw Error(Code::kFailedPrecondition,
                what + ": no confidential-data-hub at " + socket_path + " (" + failure.message() + ")");
  }
  const auto client = ttrpc::Client::create(std::move(socket), "confidential-data-hub");
  api::ImagePullRequest request;
  request.set_image_url(image);
  request.set_bundle_path(bundle);
  ttrpc::CallOptions options;
  options.timeout = limit;
  std::exception_ptr refused;
  try {
    co_await client->call("api.ImagePullService", "PullImage", request.SerializeAsString(), options);
  } catch (...) {
    refused = std::current_exception();
  }
  client->close();
  if (refused) throw to_error(refused).within(what);
}

}  // namespace kata::rpc
