// An agent of the tests' own on a Unix socket, for a sandbox without a VM.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "lib/async/event.h"
#include "lib/error/error.h"
#include "lib/ttrpc/server.h"

#include "agent/agent.pb.h"
#include "google/protobuf/empty.pb.h"

namespace kata::sandbox {

// Answers as an agent does; a process ends when the test or a signal says so.
class ScriptedAgent {
 public:
  ScriptedAgent(asio::io_context& context, const std::string& socket)
      : let_exec_go(context.get_executor()),
        context_(context),
        acceptor_(context, asio::local::stream_protocol::endpoint(socket)),
        server_(ttrpc::Server::create()) {
    add<grpc::CreateSandboxRequest>("CreateSandbox");
    add<grpc::DestroySandboxRequest>("DestroySandbox");
    add_create();
    add<grpc::StartContainerRequest>("StartContainer");
    add<grpc::RemoveContainerRequest>("RemoveContainer");
    add<grpc::PauseContainerRequest>("PauseContainer");
    add<grpc::ResumeContainerRequest>("ResumeContainer");
    add<grpc::TtyWinResizeRequest>("TtyWinResize", [this](const auto& request) {
      sizes.push_back(std::to_string(request.row()) + "x" + std::to_string(request.column()));
    });
    add_exec();
    add<grpc::CloseStdinRequest>("CloseStdin");
    add<grpc::SignalProcessRequest>("SignalProcess", [this](const auto& request) {
      if (signal_error) throw *signal_error;
      end_process(request.container_id() + request.exec_id(), 128 + static_cast<int>(request.signal()));
    });
    add_streams();
    asio::co_spawn(context_, accept(), asio::detached);
  }

  void end_process(const std::string& key, int status) {
    const auto found = processes_.find(key);
    if (found == processes_.end()) return;
    found->second->status = status;
    found->second->ended.set();
  }
  void break_connection() { server_->stop(); }
  void close() {
    acceptor_.close();
    server_->stop();
  }

  std::vector<std::string> calls;
  std::vector<std::string> sizes;
  bool refuse_create = false;
  // Set when a CreateContainer has come, which then waits like slow_exec.
  std::unique_ptr<Event> create_begun;
  std::string slow_exec;
  Event let_exec_go;
  std::optional<Error> signal_error;
  std::map<std::string, std::deque<std::string>> output;

 private:
  struct Running {
    explicit Running(asio::io_context& context) : ended(context.get_executor()) {}
    Event ended;
    int status = 0;
  };

  void start_process(const std::string& key) { processes_[key] = std::make_shared<Running>(context_); }

  template <typename Request>
  void add(const char* method, std::function<void(const Request&)> action = nullptr) {
    std::function<Awaitable<google::protobuf::Empty>(Request)> handler =
        [this, method, action](Request request) -> Awaitable<google::protobuf::Empty> {
      calls.emplace_back(method);
      if (action) action(request);
      co_return google::protobuf::Empty();
    };
    ttrpc::add<Request, google::protobuf::Empty>(*server_, "grpc.AgentService", method, std::move(handler));
  }

  void add_create() {
    std::function<Awaitable<google::protobuf::Empty>(grpc::CreateContainerRequest)> handler =
        [this](grpc::CreateContainerRequest request) -> Awaitable<google::protobuf::Empty> {
      calls.emplace_back("CreateContainer");
      if (create_begun) {
        create_begun->set();
        co_await let_exec_go.wait();
      }
      if (refuse_create)
        throw Error(Code::kNotFound, "exec: \"nothing\": executable file not found in $PATH");
      start_process(request.container_id());
      co_return google::protobuf::Empty();
    };
    ttrpc::add<grpc::CreateContainerRequest, google::protobuf::Empty>(*server_, "grpc.AgentService",
                                                                      "CreateContainer", std::move(handler));
  }

  void add_exec() {
    std::function<Awaitable<google::protobuf::Empty>(grpc::ExecProcessRequest)> handler =
        [this](grpc::ExecProcessRequest request) -> Awaitable<google::protobuf::Empty> {
      if (request.exec_id() == slow_exec) co_await let_exec_go.wait();
      const auto& size = request.process().consolesize();
      sizes.push_back("start " + std::to_string(size.height()) + "x" + std::to_string(size.width()));
      start_process(request.container_id() + request.exec_id());
      co_return google::protobuf::Empty();
    };
    ttrpc::add<grpc::ExecProcessRequest, google::protobuf::Empty>(*server_, "grpc.AgentService",
                                                                  "ExecProcess", std::move(handler));
  }

  Awaitable<grpc::ReadStreamResponse> read(grpc::ReadStreamRequest request, bool is_stdout) {
    const std::string key = request.container_id() + request.exec_id();
    grpc::ReadStreamResponse response;
    auto& chunks = output[key];
    if (is_stdout && !chunks.empty()) {
      response.set_data(chunks.front());
      chunks.pop_front();
      co_return response;
    }
    const auto process = processes_.at(key);
    co_await process->ended.wait();
    co_return response;
  }

  void add_streams() {
    const auto read_handler = [this](bool is_stdout) {
      return std::function<Awaitable<grpc::ReadStreamResponse>(grpc::ReadStreamRequest)>(
          [this, is_stdout](grpc::ReadStreamRequest request) { return read(std::move(request), is_stdout); });
    };
    ttrpc::add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>(*server_, "grpc.AgentService", "ReadStdout",
                                                                  read_handler(true));
    ttrpc::add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>(*server_, "grpc.AgentService", "ReadStderr",
                                                                  read_handler(false));
    std::function<Awaitable<grpc::WaitProcessResponse>(grpc::WaitProcessRequest)> wait =
        [this](grpc::WaitProcessRequest request) -> Awaitable<grpc::WaitProcessResponse> {
      const auto process = processes_.at(request.container_id() + request.exec_id());
      co_await process->ended.wait();
      grpc::WaitProcessResponse response;
      response.set_status(process->status);
      co_return response;
    };
    ttrpc::add<grpc::WaitProcessRequest, grpc::WaitProcessResponse>(*server_, "grpc.AgentService",
                                                                    "WaitProcess", std::move(wait));
  }

  Awaitable<> accept() {
    try {
      for (;;) {
        auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
        asio::co_spawn(context_,
                       server_->serve(StreamSocket(std::move(socket)), ttrpc::Server::PeerCheck::kNone),
                       asio::detached);
      }
    } catch (const std::exception&) {
      co_return;
    }
  }

  asio::io_context& context_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::shared_ptr<ttrpc::Server> server_;
  std::map<std::string, std::shared_ptr<Running>> processes_;
};

}  // namespace kata::sandbox
