#include "host/config/annotations.h"

#include <charconv>
#include <memory>
#include <optional>

#include <regex.h>

#include "host/config/assign.h"
#include "host/config/kernel_params.h"
#include "host/config/nearest.h"
#include "host/config/paths.h"
#include "host/config/vmm_traits.h"

namespace kata::config {

namespace {

// The expressions of enable_annotations. One that does not compile disables all: what it was meant to allow
// or keep out is unknown.
class EnabledNames {
 public:
  explicit EnabledNames(const StringList& patterns) {
    for (const std::string& pattern : patterns) {
      auto* compiled = new regex_t;
      const int failure = regcomp(compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
      if (failure != 0) {
        char text[128];
        regerror(failure, compiled, text, sizeof text);
        delete compiled;
        problem_ = "\"" + pattern + "\" is no regular expression: " + text;
        expressions_.clear();
        return;
      }
      expressions_.emplace_back(compiled);
    }
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] bool allows(const std::string& name) const {
    for (const auto& expression : expressions_) {
      if (regexec(expression.get(), name.c_str(), 0, nullptr, 0) == 0) return true;
    }
    return false;
  }

 private:
  struct Free {
    void operator()(regex_t* expression) const {
      regfree(expression);
      delete expression;
    }
  };
  std::vector<std::unique_ptr<regex_t, Free>> expressions_;
  std::string problem_;
};

std::string words_of(const StringList& list) {
  std::string text;
  for (const std::string& one : list) text += (text.empty() ? "" : ", ") + one;
  return text.empty() ? "nothing" : text;
}

class Applier {
 public:
  Applier(Tables& tables, Problems& problems)
      : tables_(tables),
        problems_(problems),
        vmm_(tables.runtime.hypervisor_name),
        hypervisor_(tables.hypervisors.at(vmm_)),
        enabled_(hypervisor_.enable_annotations) {
    if (!enabled_.problem().empty()) {
      problems_.warnings.push_back("hypervisor." + vmm_ + ".enable_annotations: " + enabled_.problem() +
                                   "; no hypervisor annotation is honoured");
    }
  }

  void apply(const std::string& annotation, const std::string& value) {
    const std::string name = annotation.substr(kAnnotationPrefix.size());
    const bool guarded = name.starts_with("hypervisor.");
    if (guarded && !enabled_.allows(name.substr(std::string_view("hypervisor.").size()))) {
      problems_.warnings.push_back("annotation " + annotation + " is ignored: hypervisor." + vmm_ +
                                   ".enable_annotations does not list it");
      return;
    }
    const AnnotationTarget target = find_annotation(name);
    if (target.key == nullptr) {
      unknown(annotation, guarded);
    } else if (target.key->annotation.kind != Annotation::Kind::kTableName) {
      change(annotation, *target.table, *target.key, value);
    }
  }

 private:
  void unknown(const std::string& annotation, bool guarded) {
    const std::string text = "annotation " + annotation + " is unknown";
    if (guarded) {
      problems_.errors.push_back(text + "; remove it");
    } else {
      problems_.warnings.push_back(text + " and ignored");
    }
  }

  // The structure that the key's row describes, and its table's full name.
  std::pair<void*, std::string> object_of(const TableInfo& table) {
    if (&table == &kHypervisorTable) return {&hypervisor_, "hypervisor." + vmm_};
    if (&table == &kRuntimeTable) return {&tables_.runtime, "runtime"};
    const std::string& agent = tables_.runtime.agent_name;
    return {&tables_.agents.at(agent), "agent." + agent};
  }

  void change(const std::string& annotation, const TableInfo& table, const KeyInfo& key,
              const std::string& value) {
    const auto [object, table_name] = object_of(table);
    const std::string full = table_name + "." + std::string(key.name);
    const std::string origin = "set by annotation " + annotation;
    ignored_.clear();
    const std::string problem = key.annotation.kind == Annotation::Kind::kJson
                                    ? assign_json(key, object, value, full, annotation)
                                    : assign(key, object, value);
    if (!problem.empty()) {
      problems_.errors.push_back("annotation " + annotation + ": " + problem);
    } else if (!ignored_.empty()) {
      problems_.warnings.push_back("annotation " + annotation + " is ignored: " + ignored_);
    } else {
      tables_.origins[full] = origin;
    }
  }

  // Each answers what is wrong, "" = nothing.
  std::string assign(const KeyInfo& key, void* object, const std::string& value) {
    switch (key.annotation.kind) {
      case Annotation::Kind::kAppended:
        return append(key, object, value);
      case Annotation::Kind::kExisting:
        if (!real_path(value)) return "\"" + value + "\" does not exist on the host";
        return assign_text(key, object, value);
      case Annotation::Kind::kAllowedBy:
        return assign_listed(key, object, value);
      case Annotation::Kind::kMerged: {
        std::string& params = member<std::string>(key, object);
        params = merge_kernel_params(params, value);
        return {};
      }
      case Annotation::Kind::kMemorySize:
        return assign_memory(key, object, value);
      case Annotation::Kind::kVcpus:
        return assign_vcpus(key, object, value);
      case Annotation::Kind::kAtMost: {
        std::string problem = assign_text(key, object, value);
        if (!problem.empty() || member<uint32_t>(key, object) <= key.annotation.limit) return problem;
        return "must not be above " + std::to_string(key.annotation.limit) + ", found " +
               std::string(trimmed(value));
      }
      case Annotation::Kind::kInitdata:
        return "initdata is not supported yet; remove it";
      case Annotation::Kind::kRuntimeName:
        return assign_runtime_name(key, object, value);
      case Annotation::Kind::kRefused:
        ignored_ = "the host's folders are shared by the configuration file only";
        return {};
      default:
        return assign_text(key, object, value);
    }
  }

  static std::string append(const KeyInfo& key, void* object, std::string_view value) {
    StringList& list = member<StringList>(key, object);
    while (!value.empty()) {
      const std::string_view one = value.substr(0, value.find(key.annotation.separator));
      value.remove_prefix(std::min(value.size(), one.size() + 1));
      if (!trimmed(one).empty()) list.emplace_back(trimmed(one));
    }
    return {};
  }

  std::string assign_listed(const KeyInfo& key, void* object, const std::string& value) {
    const StringList& list = hypervisor_.*key.annotation.allowed;
    if (allowed_by_globs(value, list)) return assign_text(key, object, value);
    return "\"" + value + "\" is not allowed; the configuration allows " + words_of(list);
  }

  std::string assign_memory(const KeyInfo& key, void* object, const std::string& value) {
    const auto mib = parse_memory_mib(value);
    if (!mib) {
      ignored_ = "\"" + value + "\" is no memory size; expected MiB or a number with a unit, like 2GiB";
      return {};
    }
    const uint32_t least = vmm_traits(vmm_).min_memory_mib;
    if (*mib < least) {
      return std::to_string(*mib) + " MiB is too little to boot; " + vmm_ + " needs at least " +
             std::to_string(least);
    }
    member<uint32_t>(key, object) = *mib;
    return {};
  }

  std::string assign_vcpus(const KeyInfo& key, void* object, const std::string& value) {
    std::string problem = assign_text(key, object, value);
    const uint32_t most = vmm_traits(vmm_).max_vcpus;
    if (problem.empty() && member<double>(key, object) > most) {
      problem = std::string(trimmed(value)) + " is more than the " + std::to_string(most) + " that " + vmm_ +
                " can have";
    }
    return problem;
  }

  // Of the original's three names none is the handler that exists; its own spelling is meant by the first.
  static std::string assign_runtime_name(const KeyInfo& key, void* object, const std::string& value) {
    if (value != "virt-container" && value != "virt_container") {
      return "\"" + value + "\" is not allowed; expected virt-container";
    }
    member<std::string>(key, object) = "virt_container";
    return {};
  }

  std::string assign_json(const KeyInfo& key, void* object, const std::string& text, const std::string& full,
                          const std::string& annotation) {
    const std::expected<Value, Error> value = parse_json_value(text, "annotation " + annotation);
    if (!value) return value.error().message();
    read_table_array(*value, key, object, full, tables_.origins, problems_);
    return {};
  }

  Tables& tables_;
  Problems& problems_;
  std::string vmm_;
  HypervisorConfig& hypervisor_;
  EnabledNames enabled_;
  // Why the annotation being applied has no effect.
  std::string ignored_;
};

template <typename Map>
void select_table(const Annotations& annotations, const std::string& name, const Map& tables,
                  std::string& selected, Tables& all, Problems& problems) {
  const auto found = annotations.find(std::string(kAnnotationPrefix) + "runtime." + name);
  if (found == annotations.end()) return;
  if (found->second.empty() || tables.contains(found->second)) {
    selected = found->second;
    all.origins["runtime." + name] = "set by annotation " + found->first;
  } else {
    problems.warnings.push_back("annotation " + found->first +
                                " is ignored: the configuration has no table for \"" + found->second + "\"");
  }
}

}  // namespace

std::optional<uint32_t> parse_memory_mib(std::string_view text) {
  text = trimmed(text);
  uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return std::nullopt;
  std::string_view unit = trimmed(text.substr(static_cast<std::size_t>(end - text.data())));
  if (unit.empty()) return number <= UINT32_MAX ? std::optional(static_cast<uint32_t>(number)) : std::nullopt;
  if (unit.ends_with('B') || unit.ends_with('b')) unit.remove_suffix(1);
  const bool binary = unit.ends_with('i');
  if (binary) unit.remove_suffix(1);
  constexpr std::string_view kScales = "KMGT";
  const std::size_t scale =
      unit.size() == 1 ? kScales.find(unit.front() == 'k' ? 'K' : unit.front()) : kScales.npos;
  if (scale == kScales.npos && !(unit.empty() && !binary)) return std::nullopt;
  uint64_t bytes = number;
  const std::size_t steps = unit.empty() ? 0 : scale + 1;
  for (std::size_t i = 0; i < steps; ++i) {
    if (__builtin_mul_overflow(bytes, binary ? 1024u : 1000u, &bytes)) return std::nullopt;
  }
  const uint64_t mib = bytes >> 20;
  return mib <= UINT32_MAX ? std::optional(static_cast<uint32_t>(mib)) : std::nullopt;
}

void apply_table_annotations(const Annotations& annotations, Tables& tables, Problems& problems) {
  select_table(annotations, "hypervisor_name", tables.hypervisors, tables.runtime.hypervisor_name, tables,
               problems);
  select_table(annotations, "agent_name", tables.agents, tables.runtime.agent_name, tables, problems);
}

void apply_annotations(const Annotations& annotations, Tables& tables, Problems& problems) {
  Applier applier(tables, problems);
  const std::string prefix(kAnnotationPrefix);
  for (auto entry = annotations.lower_bound(prefix);
       entry != annotations.end() && entry->first.starts_with(prefix); ++entry) {
    applier.apply(entry->first, entry->second);
  }
}

}  // namespace kata::config
