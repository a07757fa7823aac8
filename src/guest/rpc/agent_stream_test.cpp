// Streams of processes on connections of their own.
#include <string>

#include "guest/rpc/testing/agent_fixture.h"
#include "lib/fd/io.h"

namespace kata::rpc {
namespace {

TEST_F(AgentTest, AStreamOfItsOwnGoesOnWhereTheCallsStopped) {
  create_sandbox();
  ASSERT_EQ(create_and_start(shell("c1", "yes 0123456 | head -c 3000000; cat; exit 4")), Code::kOk)
      << last_error();
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  read.set_len(1000);
  const auto first = call<grpc::ReadStreamResponse>("ReadStdout", read);
  ASSERT_TRUE(first);
  katacpp::agent::v1::OpenStreamRequest request;
  request.set_container_id("c1");
  const auto open = [&](auto kind) {
    request.set_kind(kind);
    const auto answer = call<katacpp::agent::v1::OpenStreamResponse>("OpenStream", request, kExtra);
    EXPECT_TRUE(answer) << answer.error().message();
    return connect_port(answer->port());
  };
  const UniqueFd out = open(katacpp::agent::v1::OpenStreamRequest::STDOUT);
  {
    const UniqueFd in = open(katacpp::agent::v1::OpenStreamRequest::STDIN);
    write_all(in.get(), "the end", "the stream");
  }
  std::string wanted;
  while (wanted.size() < 3000000) wanted += "0123456\n";
  wanted.resize(3000000);
  EXPECT_TRUE(first->data() + kata::read_all(out.get(), 4000000, "the stream") == wanted + "the end");
  EXPECT_EQ(wait("c1"), 4);
}

TEST_F(AgentTest, StreamsAreOfProcessesThatAreThere) {
  create_sandbox();
  ASSERT_EQ(create_and_start(shell("c1", "sleep 100")), Code::kOk) << last_error();
  struct Row {
    const char *container, *exec;
    int kind;
    Code code;
  };
  for (const Row& row :
       {Row{"c2", "", 0, Code::kNotFound}, Row{"c1", "e1", 1, Code::kNotFound},
        Row{"../c1", "", 0, Code::kInvalidArgument}, Row{"c1", "", 3, Code::kInvalidArgument},
        Row{"c1", "", -1, Code::kInvalidArgument}, Row{"", "", 0, Code::kInvalidArgument}}) {
    katacpp::agent::v1::OpenStreamRequest request;
    request.set_container_id(row.container);
    request.set_exec_id(row.exec);
    request.set_kind(static_cast<katacpp::agent::v1::OpenStreamRequest::Kind>(row.kind));
    EXPECT_EQ(code_of("OpenStream", request, kExtra), row.code) << row.container << " " << row.kind;
  }
}

}  // namespace
}  // namespace kata::rpc
