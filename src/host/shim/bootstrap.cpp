#include "host/shim/bootstrap.h"

#include "google/protobuf/any.pb.h"

namespace kata::shim {
namespace {

namespace proto = containerd::runtime::bootstrap::v1;

bool parse(google::protobuf::MessageLite& message, std::string_view bytes) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

Bootstrap from_params(const proto::BootstrapParams& params) {
  Bootstrap bootstrap;
  bootstrap.socket_dir = params.socket_dir();
  bootstrap.debug = params.log_level() <= proto::LOG_LEVEL_DEBUG;
  bootstrap.params_received = true;
  for (const auto& extension : params.extensions()) {
    if (bootstrap.options.empty()) bootstrap.options = extension.value().SerializeAsString();
  }
  return bootstrap;
}

}  // namespace

Bootstrap parse_bootstrap(std::string_view bytes, const Flags& flags) {
  if (bytes.empty() || bytes.size() > kMaxBootstrapBytes) return {};
  proto::BootstrapParams params;
  if (parse(params, bytes) && !params.instance_id().empty() && params.instance_id() == flags.id &&
      params.namespace_() == flags.containerd_namespace) {
    return from_params(params);
  }
  google::protobuf::Any options;
  if (!parse(options, bytes)) return {};
  Bootstrap bootstrap;
  bootstrap.options = bytes;
  return bootstrap;
}

std::string format_answer(const Bootstrap& bootstrap, const std::string& address) {
  if (!bootstrap.params_received) return address;
  proto::BootstrapResult result;
  result.set_version(3);
  result.set_address(address);
  result.set_protocol("ttrpc");
  return result.SerializeAsString();
}

}  // namespace kata::shim
