#include "host/sandbox/stdio.h"

#include <cerrno>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "host/sandbox/streaming.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

class FifoSink : public OutputSink {
 public:
  FifoSink(const asio::any_io_executor& executor, UniqueFd fd) : descriptor_(executor, fd.release()) {}
  Awaitable<size_t> write_some(std::string_view data) override {
    co_return co_await descriptor_.async_write_some(asio::buffer(data), asio::use_awaitable);
  }

 private:
  asio::posix::stream_descriptor descriptor_;
};

// A regular file is always ready, so it is written at once; epoll does not take it anyway.
class FileSink : public OutputSink {
 public:
  FileSink(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Awaitable<size_t> write_some(std::string_view data) override {
    write_all(fd_.get(), data, path_);
    co_return data.size();
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class FifoSource : public InputSource {
 public:
  FifoSource(const asio::any_io_executor& executor, UniqueFd fd) : descriptor_(executor, fd.release()) {}

  Awaitable<std::string> read(size_t limit) override {
    std::string data;
    for (;;) {
      // The buffer is there only while there is something to read: most processes never read anything.
      co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
      ssize_t n = 0;
      data.resize_and_overwrite(limit, [&](char* bytes, size_t size) {
        n = ::read(descriptor_.native_handle(), bytes, size);
        return n > 0 ? static_cast<size_t>(n) : size_t{0};
      });
      if (n > 0) co_return data;
      if (n < 0 && errno != EAGAIN && errno != EINTR) throw_errno("reading stdin");
      data = std::string();
    }
  }

  [[nodiscard]] bool drained() const override {
    int waiting = 0;
    auto& descriptor = const_cast<asio::posix::stream_descriptor&>(descriptor_);
    return ::ioctl(descriptor.native_handle(), FIONREAD, &waiting) != 0 || waiting == 0;
  }

 private:
  asio::posix::stream_descriptor descriptor_;
};

std::string path_of(const std::string& uri, std::string_view scheme) {
  return uri.substr(scheme.size());
}

bool has_scheme(const std::string& uri, std::string_view scheme) {
  return uri.starts_with(scheme);
}

std::string fifo_path(const std::string& uri) {
  constexpr std::string_view kFifo = "fifo://";
  if (has_scheme(uri, kFifo)) return path_of(uri, kFifo);
  const size_t colon = uri.find("://");
  if (colon != std::string::npos) {
    throw Error(Code::kUnimplemented,
                "stdio " + uri + ": streams of kind " + uri.substr(0, colon) + " are not supported");
  }
  if (uri.front() != '/') throw Error(Code::kInvalidArgument, "stdio path " + uri + " is not absolute");
  return uri;
}

// Non-blocking and checked to be a fifo: a device or a regular file here would be a caller's mistake.
UniqueFd open_fifo(const std::string& uri, int flags) {
  const std::string path = fifo_path(uri);
  UniqueFd fd(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, "opening stdio fifo " + path);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) throw_errno("looking at stdio fifo " + path);
  if (!S_ISFIFO(info.st_mode)) throw Error(Code::kInvalidArgument, "stdio path " + path + " is not a fifo");
  return fd;
}

}  // namespace

std::unique_ptr<OutputSink> open_output(const asio::any_io_executor& executor, const std::string& uri) {
  if (uri.empty()) return nullptr;
  if (const auto id = streaming_id(uri)) return stream_table().output(executor, *id);
  constexpr std::string_view kFile = "file://";
  if (has_scheme(uri, kFile)) {
    std::string path = path_of(uri, kFile);
    UniqueFd fd = open_file(path, O_WRONLY | O_APPEND | O_CREAT, 0640);
    return std::make_unique<FileSink>(std::move(fd), std::move(path));
  }
  // Read and write: opening does not wait for a reader, and a reader that comes back later (a restarted
  // containerd) finds the pipe intact.
  return std::make_unique<FifoSink>(executor, open_fifo(uri, O_RDWR));
}

std::unique_ptr<OutputSink> pipe_output(const asio::any_io_executor& executor, UniqueFd fd) {
  return std::make_unique<FifoSink>(executor, std::move(fd));
}

std::unique_ptr<InputSource> open_input(const asio::any_io_executor& executor, const std::string& uri) {
  if (uri.empty()) return nullptr;
  if (const auto id = streaming_id(uri)) return stream_table().input(executor, *id);
  // Read and write: with a writer of our own the fifo does not end with its last client.
  UniqueFd fifo = open_fifo(uri, O_RDWR);
  // The client fills it while a chunk is on its way into the guest. Where that is not allowed it stays as it
  // is.
  ::fcntl(fifo.get(), F_SETPIPE_SZ, 512 * 1024);
  return std::make_unique<FifoSource>(executor, std::move(fifo));
}

}  // namespace kata::sandbox
