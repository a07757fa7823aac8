#include "host/config/document.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sys/stat.h>
#include <utility>

#include <dirent.h>

#include "host/config/paths.h"
#include "lib/fd/io.h"

namespace kata::config {

namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20;

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

std::string from_variable(const std::string& value, const std::vector<std::string>& allowed) {
  const auto real = value.empty() ? std::nullopt : real_path(value);
  const bool fits =
      real && std::ranges::any_of(allowed, [&](const auto& one) { return real_path(one) == real; });
  if (fits) return *real;
  throw Error(Code::kInvalidArgument, "KATA_CONF_FILE is \"" + value + "\", which is " +
                                          (real ? "none of the files it may name" : "not there") + ": " +
                                          join(allowed) + "; correct or unset it");
}

Table parse_file(const std::string& path) {
  std::expected<Table, Error> table = parse_toml(read_file(path, kMaxFile), path);
  if (!table) throw table.error();
  return *std::move(table);
}

// Paths of the entries of a folder, in byte order; none when there is no such folder.
StringList drop_ins(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), &closedir);
  if (!entries && errno == ENOENT) return {};
  if (!entries) throw_errno("reading the drop-in folder " + folder);
  StringList paths;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    std::string path = folder + "/" + std::string(name);
    struct stat status{};
    if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
      throw Error(Code::kInvalidArgument,
                  "drop-in " + path +
                      " is no file: config.d may hold only regular files and symbolic links "
                      "to them; move it away");
    }
    paths.push_back(std::move(path));
  }
  std::ranges::sort(paths);
  return paths;
}

}  // namespace

std::string_view Value::kind() const {
  constexpr std::string_view kNames[] = {
      "a date or time", "a boolean", "an integer", "a number with a fraction",
      "a string",       "an array",  "a table"};
  return kNames[data.index()];
}

void merge(Table& base, Table&& over) {
  for (auto& [key, value] : over) {
    auto found = base.find(key);
    Table* old_table = found == base.end() ? nullptr : std::get_if<Table>(&found->second.data);
    Table* new_table = std::get_if<Table>(&value.data);
    if (old_table != nullptr && new_table != nullptr) {
      merge(*old_table, std::move(*new_table));
    } else {
      base.insert_or_assign(key, std::move(value));
    }
  }
}

std::vector<std::string> LoadRequest::default_config_paths() {
  std::vector<std::string> paths{"/etc/kata-containers/runtime-rs/configuration.toml",
                                 "/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
                                 "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml"};
  // Where `make install PREFIX=...` put ours.
  const std::string installed = KATA_PREFIX "/share/defaults/kata-containers/runtime-rs/configuration.toml";
  if (std::ranges::find(paths, installed) == paths.end()) paths.push_back(installed);
  return paths;
}

std::string find_config(const LoadRequest& request) {
  if (request.conf_file_variable) return from_variable(*request.conf_file_variable, request.default_paths);
  if (!request.config_path.empty()) {
    if (auto real = real_path(request.config_path)) return *std::move(real);
    throw Error(Code::kNotFound,
                "the configuration file " + request.config_path +
                    " that the create request names does not exist; correct ConfigPath in containerd's "
                    "runtime options");
  }
  for (const std::string& path : request.default_paths) {
    if (auto real = real_path(path)) return *std::move(real);
  }
  throw Error(Code::kNotFound, "no configuration file; looked for " + join(request.default_paths));
}

std::optional<Document> document_of_body(const LoadRequest& request) {
  if (request.conf_file_variable || !request.config_path.empty() || request.config_body.empty())
    return std::nullopt;
  const std::string name = "ConfigBody of containerd's runtime options";
  auto root = parse_toml(request.config_body, name);
  if (!root) throw root.error();
  if (!root->contains("hypervisor") && !root->contains("runtime")) return std::nullopt;
  return Document{.root = *std::move(root), .path = name, .warnings = {}};
}

Document read_document(const std::string& path) {
  Document document{.root = parse_file(path), .path = path, .warnings = {}};
  for (const std::string& drop_in : drop_ins(path.substr(0, path.rfind('/')) + "/config.d")) {
    if (!drop_in.ends_with(".toml")) {
      document.warnings.push_back(
          drop_in +
          " counts as a drop-in although its name does not end in .toml; remove it if that is not meant");
    }
    merge(document.root, parse_file(drop_in));
  }
  return document;
}

}  // namespace kata::config
