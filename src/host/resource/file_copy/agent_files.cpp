#include "host/resource/file_copy/agent_files.h"

#include <utility>

namespace kata::file_copy {
namespace {

class AgentFiles : public GuestFiles {
 public:
  explicit AgentFiles(FindAgent find_agent) : find_agent_(std::move(find_agent)) {}

  Awaitable<> put(agent::FileChunk chunk) override {
    const auto client = find_agent_();
    co_await client->copy_file(std::move(chunk));
  }
  Awaitable<bool> rewrite(agent::FileChunk chunk) override {
    const auto client = find_agent_();
    co_return co_await client->rewrite_file(std::move(chunk));
  }
  Awaitable<bool> remove(std::vector<std::string> paths) override {
    const auto client = find_agent_();
    co_return co_await client->remove_files(std::move(paths));
  }

 private:
  FindAgent find_agent_;
};

}  // namespace

std::unique_ptr<GuestFiles> files_by_agent(FindAgent find_agent) {
  return std::make_unique<AgentFiles>(std::move(find_agent));
}

}  // namespace kata::file_copy
