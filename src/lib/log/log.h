// Structured log of a program: a level, a message and named fields per line.
//
// One sink per process, chosen at start: containerd's log fifo (JSON lines), stderr (key=value) or a test's
// vector. Everything runs on the program's one thread or is guarded by a mutex, so pool threads may log too.
// A sink that cannot take a line drops it: logging never blocks or ends a pod.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kata::log {

enum class Level { kTrace, kDebug, kInfo, kWarning, kError };

// "trace", "debug", "info", "warning", "error"; as containerd and logrus spell them.
std::string_view level_name(Level level);
// The level of such a name; "warn", "critical", "fatal" and "panic" are understood too. False when unknown.
bool parse_level(std::string_view name, Level& level);

struct Field {
  std::string_view key;
  std::string value;
};

struct Record {
  Level level;
  std::string_view message;
  // Identity fields (sandbox, ...) first, then those of the call.
  std::vector<Field> fields;
  // Wall clock, nanoseconds since the epoch.
  long long time_ns;
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(const Record& record) = 0;
};

// {"level":"info","msg":...,"time":RFC 3339,...}\n into `fd` (kept, not owned): what containerd's shim log
// expects. Non-blocking descriptors lose the line when full.
std::unique_ptr<Sink> json_sink(int fd);
// time=... level=info msg="..." key=value\n
std::unique_ptr<Sink> text_sink(int fd);

// Replaces the sink; none = lines are dropped. Until the first call lines go to stderr as text.
void set_sink(std::unique_ptr<Sink> sink);
void set_level(Level level);
[[nodiscard]] Level level();
// Fields that every line of this process carries, like sandbox=<id>. Keys must outlive the process
// (literals).
void set_identity(std::vector<Field> fields);

void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void trace(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kTrace, message, fields);
}
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kWarning, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kError, message, fields);
}

// The line formats, for sinks and tests. Control characters and invalid UTF-8 are escaped: a line stays one
// line.
std::string format_json(const Record& record);
std::string format_text(const Record& record);

}  // namespace kata::log
