#include "host/shim/flags.h"

#include <array>

namespace kata::shim {
namespace {

struct TextFlag {
  std::string_view name;
  std::string Flags::* member;
};

struct BoolFlag {
  std::string_view name;
  bool Flags::* member;
};

constexpr std::array kTextFlags = {
    TextFlag{"namespace", &Flags::containerd_namespace},
    TextFlag{"address", &Flags::address},
    TextFlag{"publish-binary", &Flags::publish_binary},
    TextFlag{"id", &Flags::id},
    TextFlag{"bundle", &Flags::bundle},
    TextFlag{"socket", &Flags::socket},
    TextFlag{"debug-socket", &Flags::debug_socket},
};

constexpr std::array kBoolFlags = {
    BoolFlag{"debug", &Flags::debug}, BoolFlag{"v", &Flags::version}, BoolFlag{"version", &Flags::version},
    BoolFlag{"info", &Flags::info},   BoolFlag{"h", &Flags::help},    BoolFlag{"help", &Flags::help},
};

std::unexpected<Error> bad(std::string message) {
  return std::unexpected(Error(Code::kInvalidArgument, std::move(message)));
}

std::expected<bool, Error> parse_bool(std::string_view name, std::string_view value) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (value == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (value == no) return false;
  }
  return bad("flag -" + std::string(name) + ": '" + std::string(value) + "' is neither true nor false");
}

// A flag argument taken apart.
struct Word {
  std::string_view name;
  std::string_view value;
  bool has_value = false;
};

std::expected<Word, Error> split(std::string_view argument) {
  Word word;
  word.name = argument.substr(argument.starts_with("--") ? 2 : 1);
  if (word.name.empty() || word.name.starts_with('-') || word.name.starts_with('='))
    return bad("bad flag syntax: " + std::string(argument));
  if (const size_t equals = word.name.find('='); equals != std::string_view::npos) {
    word.value = word.name.substr(equals + 1);
    word.name = word.name.substr(0, equals);
    word.has_value = true;
  }
  return word;
}

std::expected<void, Error> set_action(Flags& flags, std::span<const std::string_view> rest) {
  if (rest.empty()) return {};
  if (rest[0] == "start") {
    flags.action = Flags::Action::kStart;
  } else if (rest[0] == "delete") {
    flags.action = Flags::Action::kDelete;
  } else {
    return bad("unknown action '" + std::string(rest[0]) + "': it is start, delete or none");
  }
  return {};
}

}  // namespace

std::expected<Flags, Error> parse_flags(std::span<const std::string_view> arguments) {
  Flags flags;
  while (!arguments.empty() && arguments[0].size() > 1 && arguments[0].starts_with('-')) {
    const std::string_view argument = arguments[0];
    arguments = arguments.subspan(1);
    if (argument == "--") break;
    const auto word = split(argument);
    if (!word) return std::unexpected(word.error());
    bool known = false;
    for (const BoolFlag& flag : kBoolFlags) {
      if (flag.name != word->name) continue;
      known = true;
      const auto value = word->has_value ? parse_bool(flag.name, word->value) : true;
      if (!value) return std::unexpected(value.error());
      flags.*flag.member = *value;
    }
    for (const TextFlag& flag : kTextFlags) {
      if (flag.name != word->name) continue;
      known = true;
      if (!word->has_value && arguments.empty())
        return bad("flag needs an argument: -" + std::string(flag.name));
      flags.*flag.member = word->has_value ? word->value : arguments[0];
      if (!word->has_value) arguments = arguments.subspan(1);
    }
    if (!known) return bad("flag provided but not defined: -" + std::string(word->name));
  }
  if (const auto set = set_action(flags, arguments); !set) return std::unexpected(set.error());
  return flags;
}

std::string_view usage() {
  return "usage: containerd-shim-kata-v2 [flags] [start|delete]\n"
         "containerd and CRI-O call this program; it is not meant to be run by hand.\n"
         "  -namespace NAME        containerd's namespace\n"
         "  -address SOCKET        containerd's gRPC socket; empty under CRI-O\n"
         "  -publish-binary FILE   accepted and not used\n"
         "  -id ID                 container or sandbox id\n"
         "  -bundle DIR            bundle directory (delete)\n"
         "  -socket FILE           socket that the serving process listens on\n"
         "  -debug                 log at debug level\n"
         "  -info                  print what this runtime is and can, as containerd reads it\n"
         "  -v, -version           print the version\n";
}

bool valid_id(std::string_view id) {
  if (id.empty() || id.size() > 76) return false;
  bool separator = true;
  for (const char c : id) {
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!word && (separator || (c != '.' && c != '_' && c != '-'))) return false;
    separator = !word;
  }
  return !separator;
}

}  // namespace kata::shim
