#include "guest/container/plan.h"

#include <concepts>
#include <cstring>
#include <type_traits>

namespace kata::container {
namespace {

// One list of fields per type, walked by the writer and the reader alike: they cannot disagree.
template <typename Archive>
void fields(Archive& archive, MountPlan& v) {
  archive(v.source, v.target, v.fstype, v.data, v.flags, v.cleared, v.propagation, v.recursive_set,
          v.recursive_clear, v.tmpcopyup, v.tree_fd, v.cgroup);
}
template <typename Archive>
void fields(Archive& archive, DevicePlan& v) {
  archive(v.path, v.mode, v.major, v.minor, v.uid, v.gid);
}
template <typename Archive>
void fields(Archive& archive, NamespaceJoin& v) {
  archive(v.kind, v.path);
}
template <typename Archive>
void fields(Archive& archive, CapabilityPlan& v) {
  archive(v.bounding, v.effective, v.inheritable, v.permitted, v.ambient);
}
template <typename Archive>
void fields(Archive& archive, RlimitPlan& v) {
  archive(v.resource, v.soft, v.hard);
}
template <typename Archive>
void fields(Archive& archive, SeccompPlan& v) {
  archive(v.program, v.flags);
}
template <typename Archive>
void fields(Archive& archive, SchedulerPlan& v) {
  archive(v.policy, v.priority, v.flags, v.runtime, v.deadline, v.period, v.nice);
}
template <typename Archive>
void fields(Archive& archive, std::pair<std::string, std::string>& v) {
  archive(v.first, v.second);
}
template <typename Archive>
void fields(Archive& archive, oci::Hook& v) {
  archive(v.path, v.args, v.env, v.timeout);
}
template <typename Archive>
void fields(Archive& archive, ProcessPlan& v) {
  archive(v.args, v.env, v.cwd, v.uid, v.gid, v.groups, v.umask, v.capabilities, v.rlimits,
          v.no_new_privileges, v.seccomp, v.oom_score_adj, v.terminal, v.rows, v.columns, v.apparmor_profile,
          v.selinux_label, v.scheduler, v.io_priority, v.personality, v.affinity);
}
template <typename Archive>
void fields(Archive& archive, ContainerPlan& v) {
  archive(v.rootfs, v.rootfs_propagation, v.readonly_root, v.mounts, v.devices, v.masked_paths,
          v.readonly_paths, v.sysctl, v.hostname, v.domainname, v.mount_label, v.cgroup_folders,
          v.cgroup_folder, v.create_container_hooks, v.start_container_hooks, v.hook_state_head,
          v.hook_state_tail, v.agent_hooks, v.time_offsets, v.user_namespace);
}
template <typename Archive>
void fields(Archive& archive, InitPlan& v) {
  archive(v.joins, v.join_of_init, v.unshare, v.container, v.process);
}

template <typename T>
concept Number = std::integral<T> || std::is_enum_v<T>;

class Writer {
 public:
  template <typename... Values>
  void operator()(Values&... values) {
    (put(values), ...);
  }
  std::string take() { return std::move(out_); }

 private:
  template <Number T>
  void put(T value) {
    std::array<char, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof value);
    out_.append(bytes.data(), bytes.size());
  }
  void put(std::string& text) {
    put(static_cast<uint32_t>(text.size()));
    out_ += text;
  }
  template <typename T>
  void put(std::vector<T>& list) {
    put(static_cast<uint32_t>(list.size()));
    for (T& element : list) put(element);
  }
  template <typename T>
  void put(std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <typename T>
    requires std::is_class_v<T>
  void put(T& value) {
    fields(*this, value);
  }

  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename... Values>
  void operator()(Values&... values) {
    (get(values), ...);
  }
  [[nodiscard]] bool complete() const { return good_ && in_.empty(); }

 private:
  template <Number T>
  void get(T& value) {
    if (!need(sizeof value)) return;
    if constexpr (std::is_same_v<T, bool>) {
      value = in_[0] != 0;
    } else {
      std::memcpy(&value, in_.data(), sizeof value);
    }
    in_.remove_prefix(sizeof value);
  }
  void get(std::string& text) {
    uint32_t size = 0;
    get(size);
    if (!need(size)) return;
    text.assign(in_.substr(0, size));
    in_.remove_prefix(size);
  }
  template <typename T>
  void get(std::vector<T>& list) {
    uint32_t count = 0;
    get(count);
    // Every element takes at least one byte, so a count beyond the rest is a lie.
    if (!need(count)) return;
    for (uint32_t i = 0; i < count && good_; ++i) get(list.emplace_back());
  }
  template <typename T>
  void get(std::optional<T>& value) {
    bool present = false;
    get(present);
    if (present && good_) get(value.emplace());
  }
  template <typename T>
    requires std::is_class_v<T>
  void get(T& value) {
    fields(*this, value);
  }

  bool need(size_t size) {
    good_ = good_ && in_.size() >= size;
    return good_;
  }

  std::string_view in_;
  bool good_ = true;
};

}  // namespace

std::string encode_plan(const InitPlan& plan) {
  Writer writer;
  writer(const_cast<InitPlan&>(plan));
  return writer.take();
}

std::expected<InitPlan, Error> decode_plan(std::string_view bytes) {
  InitPlan plan;
  Reader reader(bytes);
  reader(plan);
  if (!reader.complete()) {
    return std::unexpected(
        Error(Code::kInvalidArgument,
              "the description for the init stage (" + std::to_string(bytes.size()) + " bytes) is damaged"));
  }
  return plan;
}

}  // namespace kata::container
