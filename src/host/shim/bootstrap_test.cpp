#include "host/shim/bootstrap.h"

#include <gtest/gtest.h>

#include "google/protobuf/any.pb.h"

namespace kata::shim {
namespace {

namespace proto = containerd::runtime::bootstrap::v1;

Flags flags() {
  Flags out;
  out.id = "c1";
  out.containerd_namespace = "k8s.io";
  return out;
}

google::protobuf::Any options() {
  google::protobuf::Any any;
  any.set_type_url("runtimeoptions.v1.Options");
  any.set_value("\x12\x05/conf");
  return any;
}

proto::BootstrapParams params() {
  proto::BootstrapParams out;
  out.set_instance_id("c1");
  out.set_namespace_("k8s.io");
  out.set_socket_dir("/run/x/s");
  *out.add_extensions()->mutable_value() = options();
  return out;
}

TEST(Bootstrap, NothingAtAll) {
  const Bootstrap bootstrap = parse_bootstrap("", flags());
  EXPECT_EQ(bootstrap.options, "");
  EXPECT_FALSE(bootstrap.params_received);
  EXPECT_EQ(format_answer(bootstrap, "unix:///s"), "unix:///s");
}

TEST(Bootstrap, BareOptionsAreKept) {
  const std::string bytes = options().SerializeAsString();
  const Bootstrap bootstrap = parse_bootstrap(bytes, flags());
  EXPECT_EQ(bootstrap.options, bytes);
  EXPECT_FALSE(bootstrap.params_received);
}

TEST(Bootstrap, ParamsOfThisTask) {
  proto::BootstrapParams message = params();
  message.set_log_level(proto::LOG_LEVEL_DEBUG);
  const Bootstrap bootstrap = parse_bootstrap(message.SerializeAsString(), flags());
  EXPECT_TRUE(bootstrap.params_received);
  EXPECT_TRUE(bootstrap.debug);
  EXPECT_EQ(bootstrap.socket_dir, "/run/x/s");
  EXPECT_EQ(bootstrap.options, options().SerializeAsString());

  proto::BootstrapResult result;
  ASSERT_TRUE(result.ParseFromString(format_answer(bootstrap, "unix:///s")));
  EXPECT_EQ(result.version(), 3);
  EXPECT_EQ(result.address(), "unix:///s");
  EXPECT_EQ(result.protocol(), "ttrpc");
}

TEST(Bootstrap, ParamsOfAnotherTaskAreNotBelieved) {
  proto::BootstrapParams message = params();
  message.set_instance_id("c2");
  EXPECT_FALSE(parse_bootstrap(message.SerializeAsString(), flags()).params_received);
  message = params();
  message.set_namespace_("default");
  EXPECT_FALSE(parse_bootstrap(message.SerializeAsString(), flags()).params_received);
}

TEST(Bootstrap, GarbageIsIgnored) {
  for (const char* bytes : {"\xff\xff\xff", "\x0a\x7fshort", "start\n"}) {
    const Bootstrap bootstrap = parse_bootstrap(bytes, flags());
    EXPECT_EQ(bootstrap.options, "");
    EXPECT_FALSE(bootstrap.params_received);
  }
}

}  // namespace
}  // namespace kata::shim
