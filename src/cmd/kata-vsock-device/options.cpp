#include "cmd/kata-vsock-device/options.h"

#include <array>
#include <charconv>
#include <string_view>

#include <getopt.h>

#include "lib/error/error.h"

namespace kata::vsock_device {
namespace {

enum Flag : int {
  kSocket = 256,
  kFd,
  kUds,
  kUdsFd,
  kCid,
  kMaxStreams,
  kReadyFd,
  kLogFd,
  kLogLevel,
  kHelp,
  kVersion,
};

constexpr std::array kFlags = {
    option{"socket", required_argument, nullptr, kSocket},
    option{"fd", required_argument, nullptr, kFd},
    option{"uds", required_argument, nullptr, kUds},
    option{"uds-fd", required_argument, nullptr, kUdsFd},
    option{"cid", required_argument, nullptr, kCid},
    option{"max-streams", required_argument, nullptr, kMaxStreams},
    option{"ready-fd", required_argument, nullptr, kReadyFd},
    option{"log-fd", required_argument, nullptr, kLogFd},
    option{"log-level", required_argument, nullptr, kLogLevel},
    option{"help", no_argument, nullptr, kHelp},
    option{"version", no_argument, nullptr, kVersion},
    option{nullptr, 0, nullptr, 0},
};

template <typename T>
T number(std::string_view flag, std::string_view text, T low, T high) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    throw Error(Code::kInvalidArgument, "--" + std::string(flag) + " " + std::string(text) +
                                            ": expected a number from " + std::to_string(low) + " to " +
                                            std::to_string(high));
  return value;
}

int descriptor(std::string_view flag, std::string_view text) {
  return number<int>(flag, text, 0, 1 << 20);
}

void apply(Options& options, int flag, const char* value) {
  switch (flag) {
    case kSocket:
      options.socket_path = value;
      break;
    case kFd:
      options.socket_fd = descriptor("fd", value);
      break;
    case kUds:
      options.uds_path = value;
      break;
    case kUdsFd:
      options.uds_fd = descriptor("uds-fd", value);
      break;
    case kCid:
      options.cid = number<uint32_t>("cid", value, 3, 0xfffffffe);
      break;
    case kMaxStreams:
      options.max_streams = number<size_t>("max-streams", value, 1, 65536);
      break;
    case kReadyFd:
      options.ready_fd = descriptor("ready-fd", value);
      break;
    case kLogFd:
      options.log_fd = descriptor("log-fd", value);
      break;
    case kLogLevel:
      if (!log::parse_level(value, options.log_level))
        throw Error(Code::kInvalidArgument,
                    "--log-level " + std::string(value) + ": expected trace, debug, info, warning or error");
      break;
    case kHelp:
      options.action = Options::Action::kHelp;
      break;
    case kVersion:
      options.action = Options::Action::kVersion;
      break;
    default:
      throw Error(Code::kInvalidArgument, "unknown flag or missing value; --help lists the flags");
  }
}

void check(const Options& options) {
  if (options.socket_path.empty() == (options.socket_fd < 0))
    throw Error(Code::kInvalidArgument, "expected exactly one of --socket and --fd");
  if (options.uds_path.empty()) throw Error(Code::kInvalidArgument, "expected --uds <path>");
  if (options.cid == 0) throw Error(Code::kInvalidArgument, "expected --cid <context id of the guest>");
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  opterr = 0;
  optind = 1;
  for (int flag = 0; (flag = ::getopt_long(argc, argv, "", kFlags.data(), nullptr)) != -1;)
    apply(options, flag, optarg);
  if (optind < argc) throw Error(Code::kInvalidArgument, "unexpected argument " + std::string(argv[optind]));
  if (options.action == Options::Action::kRun) check(options);
  return options;
}

const char* usage() {
  return "usage: kata-vsock-device (--socket PATH | --fd N) --uds PATH --cid N [flags]\n"
         "\n"
         "A vhost-user vsock device for one QEMU; ends when QEMU closes the connection.\n"
         "  --socket PATH      listen here for the vhost-user front-end\n"
         "  --fd N             vhost-user socket handed over: listening or connected\n"
         "  --uds PATH         host programs connect here and send CONNECT <port>; connections of the\n"
         "                     guest to port P of the host go to PATH_P\n"
         "  --uds-fd N         the socket of --uds, listening already\n"
         "  --cid N            context id of the guest, 3 or more\n"
         "  --max-streams N    most connections at a time (1024)\n"
         "  --ready-fd N       gets one byte once both sockets listen\n"
         "  --log-fd N         log lines, JSON unless it is standard error (2)\n"
         "  --log-level LEVEL  trace, debug, info, warning, error\n";
}

}  // namespace kata::vsock_device
