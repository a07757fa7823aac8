#include "lib/log/log.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <utility>

#include <unistd.h>

#include "lib/log/guest_json.h"

namespace kata::log {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"trace", "debug", "info", "warning", "error"};

struct State {
  std::mutex mutex;
  std::unique_ptr<Sink> sink = text_sink(STDERR_FILENO);
  std::vector<Field> identity;
};

State& state() {
  static State instance;
  return instance;
}

std::atomic<Level> current_level = Level::kInfo;

// Length of the valid UTF-8 sequence at the front of `text`, 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 && first < 0xF5   ? 4
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xC2 && first < 0xE0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const char c = text.front();
    const size_t length = utf8_length(text);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (length == 0 || (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F))) {
      std::array<char, 8> buffer;
      // A broken byte is shown by its number as a code point, so that the line stays valid JSON.
      std::snprintf(buffer.data(), buffer.size(), "\\u%04x", static_cast<unsigned char>(c));
      out += buffer.data();
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

std::string rfc3339(long long time_ns) {
  const std::time_t seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> date;
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 64> out;
  std::snprintf(out.data(), out.size(), "%s.%09lldZ", date.data(), time_ns % 1'000'000'000);
  return out.data();
}

class FdSink : public Sink {
 public:
  FdSink(int fd, std::string (*format)(const Record&)) : fd_(fd), format_(format) {}
  void write(const Record& record) override {
    const std::string line = format_(record);
    // One write: lines of several writers to a pipe do not mix up to PIPE_BUF, and a full pipe loses the
    // line, not the pod.
    [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
  }

 private:
  int fd_;
  std::string (*format_)(const Record&);
};

}  // namespace

std::string_view level_name(Level level) {
  return kNames.at(static_cast<size_t>(level));
}

bool parse_level(std::string_view name, Level& level) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) {
      level = static_cast<Level>(i);
      return true;
    }
  }
  if (name == "warn") {
    level = Level::kWarning;
  } else if (name == "critical" || name == "fatal" || name == "panic") {
    level = Level::kError;
  } else {
    return false;
  }
  return true;
}

std::string format_json(const Record& record) {
  std::string out = "{\"level\":\"";
  out.append(level_name(record.level)).append("\",\"msg\":\"");
  append_escaped(out, record.message);
  out.append("\",\"time\":\"").append(rfc3339(record.time_ns)).push_back('"');
  for (const Field& field : record.fields) {
    out += ",\"";
    append_escaped(out, field.key);
    out += "\":\"";
    append_escaped(out, field.value);
    out.push_back('"');
  }
  out += "}\n";
  return out;
}

std::string format_guest_json(const Record& record) {
  static constexpr std::array<std::string_view, 5> kShort = {"TRCE", "DEBG", "INFO", "WARN", "ERRO"};
  std::string out = "{\"msg\":\"";
  append_escaped(out, record.message);
  out.append("\",\"level\":\"").append(kShort.at(static_cast<size_t>(record.level)));
  out.append("\",\"ts\":\"").append(rfc3339(record.time_ns));
  out += "\",\"name\":\"kata-agent\",\"source\":\"agent\"";
  bool subsystem = false;
  for (const Field& field : record.fields) {
    // A key that stands twice makes readers choose.
    if (field.key == "msg" || field.key == "level" || field.key == "ts" || field.key == "name" ||
        field.key == "source")
      continue;
    subsystem = subsystem || field.key == "subsystem";
    out += ",\"";
    append_escaped(out, field.key);
    out += "\":\"";
    append_escaped(out, field.value);
    out.push_back('"');
  }
  if (!subsystem) out += ",\"subsystem\":\"root\"";
  out += "}\n";
  return out;
}

std::string format_text(const Record& record) {
  std::string out = "time=" + rfc3339(record.time_ns) + " level=";
  out.append(level_name(record.level)).append(" msg=\"");
  append_escaped(out, record.message);
  out.push_back('"');
  for (const Field& field : record.fields) {
    out.append(" ").append(field.key).append("=\"");
    append_escaped(out, field.value);
    out.push_back('"');
  }
  out.push_back('\n');
  return out;
}

std::unique_ptr<Sink> json_sink(int fd) {
  return std::make_unique<FdSink>(fd, format_json);
}
std::unique_ptr<Sink> text_sink(int fd) {
  return std::make_unique<FdSink>(fd, format_text);
}

void set_sink(std::unique_ptr<Sink> sink) {
  const std::lock_guard lock(state().mutex);
  state().sink = std::move(sink);
}

void set_level(Level level) {
  current_level = level;
}
Level level() {
  return current_level;
}

void set_identity(std::vector<Field> fields) {
  const std::lock_guard lock(state().mutex);
  state().identity = std::move(fields);
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (level < current_level.load()) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Record record{.level = level,
                .message = message,
                .fields = {},
                .time_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()};
  const std::lock_guard lock(state().mutex);
  if (!state().sink) return;
  record.fields = state().identity;
  record.fields.insert(record.fields.end(), fields.begin(), fields.end());
  state().sink->write(record);
}

}  // namespace kata::log
