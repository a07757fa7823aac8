#include "guest/device/cdi.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "guest/device/node_numbers.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/text/split.h"

namespace kata::device {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAnnotation = "cdi.k8s.io/";
constexpr std::string_view kVariable = "VISIBLE_CDI_DEVICES=";
constexpr const char* kContainerType = "io.katacontainers.pkg.oci.container_type";
constexpr size_t kMaxFile = size_t{4} << 20;

using Specs = std::map<std::string, std::vector<oci::CdiSpec>>;

[[noreturn]] void refuse(const std::string& where, const std::string& value, const char* expected) {
  throw Error(Code::kInvalidArgument, where + ": \"" + value.substr(0, 200) + "\": expected " + expected);
}

void add(std::vector<CdiName>& names, CdiName name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
}

bool is_kind(const std::string& text) {
  const size_t slash = text.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < text.size();
}

void names_of_annotation(const std::string& key, const std::string& value, std::vector<CdiName>& names) {
  for (const std::string& entry : split_words(value, ',')) {
    const size_t equals = entry.find('=');
    const std::string kind = entry.substr(0, equals);
    if (equals == std::string::npos || equals + 1 == entry.size() || !is_kind(kind))
      refuse("annotation " + key.substr(0, 200), entry, "vendor/class=device");
    add(names, {.kind = kind, .device = entry.substr(equals + 1)});
  }
}

void names_of_variable(const std::string& value, std::vector<CdiName>& names) {
  if (value == "none" || value == "void") return;
  for (const std::string& part : split_words(value, ':')) {
    const size_t equals = part.find('=');
    const std::string kind = part.substr(0, equals);
    const std::vector<std::string> devices =
        equals == std::string::npos ? std::vector<std::string>() : split_words(part.substr(equals + 1), ',');
    if (devices.empty() || !is_kind(kind))
      refuse("VISIBLE_CDI_DEVICES", part, "vendor/class=all or vendor/class=0,1");
    for (const std::string& device : devices) add(names, {.kind = kind, .device = device});
  }
}

Specs read_specs(const std::string& folder, std::vector<std::string>& passed_over) {
  Specs specs;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string path = entry.path();
    if (!path.ends_with(".json")) {
      passed_over.push_back(entry.path().filename());
      continue;
    }
    try {
      auto spec = oci::parse_cdi_spec(read_file(path, kMaxFile));
      if (!spec) throw spec.error();
      std::vector<oci::CdiSpec>& kind = specs[spec->kind];
      kind.push_back(std::move(*spec));
    } catch (const Error& error) {
      log::warning("CDI file passed over", {{"path", path}, {"error", error.message()}});
      passed_over.push_back(entry.path().filename());
    }
  }
  return specs;
}

NodeNumbers numbers_of(const oci::CdiNode& node, const DeviceTree& tree) {
  if (!node.type.empty() && node.major && node.minor)
    return {.type = node.type, .major = *node.major, .minor = *node.minor};
  std::string path = node.host_path.empty() ? node.path : node.host_path;
  if (path.starts_with("/dev/")) path = tree.dev + path.substr(4);
  return with_context("CDI device", [&] { return numbers_of_node(path); });
}

void add_node(const oci::CdiNode& node, const DeviceTree& tree, oci::Linux& config) {
  const NodeNumbers numbers = numbers_of(node, tree);
  std::erase_if(config.devices, [&](const oci::Device& device) { return device.path == node.path; });
  config.devices.push_back({.path = node.path,
                            .type = numbers.type,
                            .major = numbers.major,
                            .minor = numbers.minor,
                            .file_mode = node.file_mode,
                            .uid = node.uid,
                            .gid = node.gid});
  if (!config.resources) config.resources.emplace();
  config.resources->devices.push_back({.allow = true,
                                       .type = numbers.type,
                                       .major = numbers.major,
                                       .minor = numbers.minor,
                                       .access = node.permissions.empty() ? "rwm" : node.permissions});
}

void set_variable(std::vector<std::string>& environment, const std::string& entry) {
  const std::string name = entry.substr(0, entry.find('=')) + "=";
  std::erase_if(environment, [&](const std::string& old) { return old.starts_with(name); });
  environment.push_back(entry);
}

void add_hook(const oci::CdiHook& hook, oci::Hooks& hooks) {
  const std::map<std::string, std::vector<oci::Hook>*> kinds = {
      {"prestart", &hooks.prestart},
      {"createRuntime", &hooks.create_runtime},
      {"createContainer", &hooks.create_container},
      {"startContainer", &hooks.start_container},
      {"poststart", &hooks.poststart},
      {"poststop", &hooks.poststop},
  };
  const auto found = kinds.find(hook.hook_name);
  if (found == kinds.end())
    throw Error(Code::kInvalidArgument, "CDI hook " + hook.hook_name.substr(0, 100) + " is unknown");
  found->second->push_back({.path = hook.path, .args = hook.args, .env = hook.env, .timeout = hook.timeout});
}

// The edits of one name, or none while no file has its kind.
std::optional<std::vector<const oci::CdiEdits*>> find_edits(const Specs& specs, const CdiName& name) {
  const auto kind = specs.find(name.kind);
  if (kind == specs.end()) return std::nullopt;
  std::vector<const oci::CdiEdits*> exact;
  std::vector<const oci::CdiEdits*> every;
  for (const oci::CdiSpec& spec : kind->second) {
    for (const oci::CdiDevice& device : spec.devices) {
      auto& list = device.name == name.device ? exact : every;
      list.push_back(&spec.edits);
      list.push_back(&device.edits);
    }
  }
  if (!exact.empty()) return exact;
  if (name.device == "all" && !every.empty()) return every;
  throw Error(Code::kNotFound, "CDI device " + name.kind.substr(0, 200) + "=" + name.device.substr(0, 200) +
                                   ": the guest has its kind, but no device of this name");
}

// The edits of all names, each set once; none while a kind is missing.
std::optional<std::vector<const oci::CdiEdits*>> find_all(const Specs& specs,
                                                          const std::vector<CdiName>& names,
                                                          std::string& missing) {
  std::vector<const oci::CdiEdits*> all;
  std::set<const oci::CdiEdits*> seen;
  for (const CdiName& name : names) {
    const auto edits = find_edits(specs, name);
    if (!edits) {
      missing = name.kind;
      return std::nullopt;
    }
    for (const oci::CdiEdits* edit : *edits) {
      if (seen.insert(edit).second) all.push_back(edit);
    }
  }
  return all;
}

}  // namespace

std::vector<CdiName> cdi_names(const oci::Spec& spec, bool visible_devices) {
  std::vector<CdiName> names;
  const auto type = spec.annotations.find(kContainerType);
  if (type != spec.annotations.end() && type->second == "pod_sandbox") return names;
  for (const auto& [key, value] : spec.annotations) {
    if (key.starts_with(kAnnotation)) names_of_annotation(key, value, names);
  }
  if (!visible_devices || !spec.process) return names;
  for (const std::string& entry : spec.process->env) {
    if (entry.starts_with(kVariable)) names_of_variable(entry.substr(kVariable.size()), names);
  }
  return names;
}

void apply_cdi_edits(const oci::CdiEdits& edits, const DeviceTree& tree, oci::Spec& spec) {
  if (!spec.process) spec.process.emplace();
  if (!spec.linux_config) spec.linux_config.emplace();
  for (const std::string& entry : edits.env) set_variable(spec.process->env, entry);
  for (const oci::CdiNode& node : edits.device_nodes) add_node(node, tree, *spec.linux_config);
  for (const oci::CdiMount& mount : edits.mounts) {
    std::erase_if(spec.mounts,
                  [&](const oci::Mount& old) { return old.destination == mount.container_path; });
    spec.mounts.push_back({.destination = mount.container_path,
                           .source = mount.host_path,
                           .type = mount.type.empty() ? "bind" : mount.type,
                           .options = mount.options,
                           .uid_mappings = {},
                           .gid_mappings = {}});
  }
  for (const oci::CdiHook& hook : edits.hooks) add_hook(hook, spec.hooks);
  std::vector<uint32_t>& groups = spec.process->user.additional_gids;
  for (const uint32_t gid : edits.additional_gids) {
    if (gid != 0 && std::ranges::find(groups, gid) == groups.end()) groups.push_back(gid);
  }
}

Awaitable<> inject_cdi(CdiOptions options, oci::Spec& spec) {
  const std::vector<CdiName> names = cdi_names(spec, options.visible_devices);
  if (names.empty()) co_return;
  const auto end = std::chrono::steady_clock::now() + options.limit;
  for (;;) {
    std::vector<std::string> passed_over;
    std::string missing;
    const Specs specs = read_specs(options.folder, passed_over);
    if (const auto edits = find_all(specs, names, missing)) {
      for (const oci::CdiEdits* edit : *edits) apply_cdi_edits(*edit, options.tree, spec);
      co_return;
    }
    if (std::chrono::steady_clock::now() >= end) {
      std::string text = "CDI kind " + missing.substr(0, 200) + ": no file in " + options.folder +
                         " has it after " + duration_text(options.limit);
      for (const std::string& file : passed_over) text += ", " + file + " is no JSON that can be read";
      throw Error(Code::kDeadlineExceeded, text);
    }
    co_await pause_for(options.pause);
  }
}

}  // namespace kata::device
