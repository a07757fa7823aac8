#include "host/config/key_table.h"

#include <algorithm>
#include <iterator>

namespace kata::config {

namespace {

// The vocabulary of the columns in keys/*.def.
constexpr Check any{};
constexpr Check not_zero{.kind = Check::Kind::kNotZero};
constexpr Check not_negative{.kind = Check::Kind::kNotNegative};
constexpr Check sector_size{.kind = Check::Kind::kSectorSize};
constexpr Check verity{.kind = Check::Kind::kVerity};
constexpr Check log_level{.kind = Check::Kind::kLogLevel};
constexpr Check extension_name{.kind = Check::Kind::kExtensionName};
constexpr Check not_empty{.kind = Check::Kind::kNotEmpty};
constexpr Check shared_path{.kind = Check::Kind::kSharedPath};
constexpr Check one_of(std::string_view words) {
  return {.kind = Check::Kind::kOneOf, .words = words};
}
constexpr Check up_to(uint64_t limit) {
  return {.kind = Check::Kind::kUpTo, .limit = limit};
}
constexpr Check block_driver =
    one_of("virtio-blk-pci|virtio-blk-ccw|virtio-blk-mmio|virtio-pmem|virtio-scsi");

using Kind = Annotation::Kind;
constexpr Annotation none{};
constexpr Annotation plain(std::string_view name) {
  return {.kind = Kind::kPlain, .name = name};
}
constexpr Annotation existing(std::string_view name) {
  return {.kind = Kind::kExisting, .name = name};
}
constexpr Annotation merged(std::string_view name) {
  return {.kind = Kind::kMerged, .name = name};
}
constexpr Annotation memory_size(std::string_view name) {
  return {.kind = Kind::kMemorySize, .name = name};
}
constexpr Annotation vcpus(std::string_view name) {
  return {.kind = Kind::kVcpus, .name = name};
}
constexpr Annotation initdata(std::string_view name) {
  return {.kind = Kind::kInitdata, .name = name};
}
constexpr Annotation runtime_name(std::string_view name) {
  return {.kind = Kind::kRuntimeName, .name = name};
}
constexpr Annotation table_name(std::string_view name) {
  return {.kind = Kind::kTableName, .name = name};
}
constexpr Annotation json(std::string_view name) {
  return {.kind = Kind::kJson, .name = name};
}
constexpr Annotation refused(std::string_view name) {
  return {.kind = Kind::kRefused, .name = name};
}
constexpr Annotation appended(std::string_view name, char separator) {
  return {.kind = Kind::kAppended, .separator = separator, .name = name};
}
constexpr Annotation at_most(std::string_view name, uint32_t limit) {
  return {.kind = Kind::kAtMost, .limit = limit, .name = name};
}
constexpr Annotation allowed_by(std::string_view name, StringList HypervisorConfig::* list) {
  return {.kind = Kind::kAllowedBy, .name = name, .allowed = list};
}

using enum Use;

template <Type kind>
struct Plain {
  static constexpr Type type = kind;
  static constexpr const TableInfo* table = nullptr;
  static constexpr void* (*grow)(void*) = nullptr;
  static constexpr void (*clear)(void*) = nullptr;
};

template <typename T>
struct Traits;
template <>
struct Traits<bool> : Plain<Type::kBool> {};
template <>
struct Traits<uint32_t> : Plain<Type::kU32> {};
template <>
struct Traits<int32_t> : Plain<Type::kI32> {};
template <>
struct Traits<uint64_t> : Plain<Type::kU64> {};
template <>
struct Traits<double> : Plain<Type::kDouble> {};
template <>
struct Traits<std::string> : Plain<Type::kString> {};
template <>
struct Traits<StringList> : Plain<Type::kStringList> {};
template <>
struct Traits<std::vector<uint32_t>> : Plain<Type::kU32List> {};
template <>
struct Traits<OptionalBool> : Plain<Type::kOptionalBool> {};
template <>
struct Traits<OptionalU8> : Plain<Type::kOptionalU8> {};
template <>
struct Traits<OptionalU64> : Plain<Type::kOptionalU64> {};
template <>
struct Traits<OptionalI64> : Plain<Type::kOptionalI64> {};
template <>
struct Traits<OptionalString> : Plain<Type::kOptionalString> {};

template <const TableInfo* info>
struct Inner : Plain<Type::kTable> {
  static constexpr const TableInfo* table = info;
};

template <typename Element, const TableInfo* info>
struct InnerArray {
  static constexpr Type type = Type::kTableArray;
  static constexpr const TableInfo* table = info;
  static void* grow(void* vector) { return &static_cast<std::vector<Element>*>(vector)->emplace_back(); }
  static void clear(void* vector) { static_cast<std::vector<Element>*>(vector)->clear(); }
};

extern const TableInfo kFactoryTable, kExtensionImageTable, kSharedMountTable, kRootlessUserTable,
    kMemAgentTable;

template <>
struct Traits<FactoryConfig> : Inner<&kFactoryTable> {};
template <>
struct Traits<RootlessUser> : Inner<&kRootlessUserTable> {};
template <>
struct Traits<MemAgentConfig> : Inner<&kMemAgentTable> {};
template <>
struct Traits<std::vector<ExtensionImage>> : InnerArray<ExtensionImage, &kExtensionImageTable> {};
template <>
struct Traits<std::vector<SharedMount>> : InnerArray<SharedMount, &kSharedMountTable> {};

// One row per line of the .def files; Owner is the structure being described.
#define KATA_KEY(type_, name_, initial_, check_, annotation_, use_) \
  KeyInfo{.name = #name_,                                           \
          .type = Traits<decltype(Owner::name_)>::type,             \
          .use = use_,                                              \
          .offset = offsetof(Owner, name_),                         \
          .check = check_,                                          \
          .annotation = annotation_,                                \
          .table = Traits<decltype(Owner::name_)>::table,           \
          .grow = Traits<decltype(Owner::name_)>::grow,             \
          .clear = Traits<decltype(Owner::name_)>::clear},

template <typename Owner>
struct Rows;

template <>
struct Rows<FactoryConfig> {
  using Owner = FactoryConfig;
  static constexpr KeyInfo keys[] = {
#define KATA_FACTORY_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_FACTORY_KEYS
  };
};

template <>
struct Rows<ExtensionImage> {
  using Owner = ExtensionImage;
  static constexpr KeyInfo keys[] = {
#define KATA_EXTENSION_IMAGE_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_EXTENSION_IMAGE_KEYS
  };
};

template <>
struct Rows<SharedMount> {
  using Owner = SharedMount;
  static constexpr KeyInfo keys[] = {
#define KATA_SHARED_MOUNT_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_SHARED_MOUNT_KEYS
  };
};

template <>
struct Rows<RootlessUser> {
  using Owner = RootlessUser;
  static constexpr KeyInfo keys[] = {
#define KATA_ROOTLESS_USER_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_ROOTLESS_USER_KEYS
  };
};

template <>
struct Rows<MemAgentConfig> {
  using Owner = MemAgentConfig;
  static constexpr KeyInfo keys[] = {
#include "host/config/keys/mem_agent.def"
  };
};

template <>
struct Rows<HypervisorConfig> {
  using Owner = HypervisorConfig;
  static constexpr KeyInfo keys[] = {
#include "host/config/keys/hypervisor.def"
  };
};

template <>
struct Rows<AgentConfig> {
  using Owner = AgentConfig;
  static constexpr KeyInfo keys[] = {
#include "host/config/keys/agent.def"
  };
};

template <>
struct Rows<RuntimeConfig> {
  using Owner = RuntimeConfig;
  static constexpr KeyInfo keys[] = {
#include "host/config/keys/runtime.def"
  };
};

#undef KATA_KEY

constexpr TableInfo kFactoryTable{.keys = Rows<FactoryConfig>::keys, .strict = true};
constexpr TableInfo kExtensionImageTable{.keys = Rows<ExtensionImage>::keys, .strict = false};
constexpr TableInfo kSharedMountTable{.keys = Rows<SharedMount>::keys, .strict = true};
constexpr TableInfo kRootlessUserTable{.keys = Rows<RootlessUser>::keys, .strict = true};
constexpr TableInfo kMemAgentTable{.keys = Rows<MemAgentConfig>::keys, .strict = true};

// Second names that files in the field use.
struct Alias {
  const TableInfo* table;
  std::string_view alias, name;
};
constexpr Alias kAliases[] = {
    {&kMemAgentTable, "mem_agent_enable", "enable"},
    {&kHypervisorTable, "dbg_monitor_socket", "extra_monitor_socket"},
};

void collect(const TableInfo& table, const std::string& prefix, Use use, std::vector<std::string>& out) {
  for (const KeyInfo& key : table.keys) {
    const std::string name = prefix + "." + std::string(key.name);
    if (key.type == Type::kTable || key.type == Type::kTableArray) {
      collect(*key.table, name, use, out);
    } else if (key.use == use) {
      out.push_back(name);
    }
  }
}

}  // namespace

constexpr TableInfo kHypervisorTable{.keys = Rows<HypervisorConfig>::keys, .strict = false};
constexpr TableInfo kAgentTable{.keys = Rows<AgentConfig>::keys, .strict = true};
constexpr TableInfo kRuntimeTable{.keys = Rows<RuntimeConfig>::keys, .strict = false};

const KeyInfo* TableInfo::find(std::string_view name) const {
  for (const Alias& alias : kAliases) {
    if (alias.table == this && alias.alias == name) name = alias.name;
  }
  const auto found = std::ranges::find(keys, name, &KeyInfo::name);
  return found == keys.end() ? nullptr : &*found;
}

AnnotationTarget find_annotation(std::string_view name) {
  for (const TableInfo* table : {&kHypervisorTable, &kAgentTable, &kRuntimeTable}) {
    for (const KeyInfo& key : table->keys) {
      if (key.annotation.kind != Annotation::Kind::kNone && key.annotation.name == name) return {table, &key};
    }
  }
  return {};
}

std::vector<std::string> keys_with(Use use) {
  std::vector<std::string> names;
  collect(kHypervisorTable, "hypervisor", use, names);
  collect(kAgentTable, "agent", use, names);
  collect(kRuntimeTable, "runtime", use, names);
  return names;
}

}  // namespace kata::config
