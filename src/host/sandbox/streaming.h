// Streaming stdio of containerd 2.x: standard streams that are ttRPC streams on the shim's own socket (facts:
// containerd-shim-api, section 8). containerd opens one for each name before it creates the process, and
// opens them again after a restart; Create names them as ttrpc+unix://<our socket>?streaming_id=<name>.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/sandbox/stdio.h"
#include "lib/async/awaitable.h"
#include "lib/ttrpc/stream.h"

namespace kata::sandbox {

inline constexpr const char* kStreamingService = "containerd.services.streaming.v1.Streaming";
inline constexpr const char* kStreamingMethod = "Stream";

// The name that such a stdio string carries; nothing for a string of another kind. kInvalidArgument when the
// name is missing.
std::optional<std::string> streaming_id(const std::string& uri);

// The streams of a pod by name, each joining a connection of containerd (or none, for the time being) to one
// end of a process. A process without a connection waits, as with a fifo that nobody reads. One thread.
class StreamTable {
 public:
  StreamTable();
  ~StreamTable();
  StreamTable(const StreamTable&) = delete;
  StreamTable& operator=(const StreamTable&) = delete;

  // Serves one stream of kStreamingService/kStreamingMethod until either side ends it. A later stream of the
  // same name takes the place of an earlier one. kInvalidArgument for a peer that breaks the protocol,
  // kResourceExhausted for one that sends more than it was allowed to.
  Awaitable<> serve(std::shared_ptr<ttrpc::Stream> stream);

  // Ends of a process. Destroying one ends its stream: the peer sees the end.
  std::unique_ptr<OutputSink> output(const asio::any_io_executor& executor, const std::string& id);
  std::unique_ptr<InputSource> input(const asio::any_io_executor& executor, const std::string& id);

 private:
  struct Channel;
  class Sink;
  class Source;
  using Channels = std::map<std::string, std::shared_ptr<Channel>>;

  std::shared_ptr<Channel> claim(const asio::any_io_executor& executor, const std::string& id);
  static void release(const std::shared_ptr<Channels>& channels, const std::string& id,
                      const std::shared_ptr<Channel>& channel);

  std::shared_ptr<Channels> channels_;
};

// The table of this process: a shim serves one pod.
StreamTable& stream_table();

}  // namespace kata::sandbox
