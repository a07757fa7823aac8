#include "guest/cgroup/device_filter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/linux/bpf.h"

namespace kata::cgroup {
namespace {

using Rule = oci::DeviceCgroupRule;

uint32_t access_bits(const std::string& access) {
  uint32_t bits = 0;
  for (const char letter : access) {
    if (letter == 'm') {
      bits |= BPF_DEVCG_ACC_MKNOD;
    } else if (letter == 'r') {
      bits |= BPF_DEVCG_ACC_READ;
    } else if (letter == 'w') {
      bits |= BPF_DEVCG_ACC_WRITE;
    } else {
      throw Error(Code::kInvalidArgument,
                  "resources.devices: access \"" + access + "\" is not made of r, w, m");
    }
  }
  return bits == 0 ? BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE : bits;
}

// 0 and negative numbers on the agent's wire are wildcards; the caller leaves those absent.
std::optional<uint32_t> number(const std::optional<int64_t>& value) {
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint32_t>(std::min<int64_t>(*value, UINT32_MAX));
}

DevicePolicy::Entry entry_of(const Rule& rule) {
  const std::string type = rule.type.empty() ? "a" : rule.type;
  if (type != "a" && type != "b" && type != "c")
    throw Error(Code::kInvalidArgument, "resources.devices: unknown type \"" + type + "\"");
  return {.type = type[0],
          .major = number(rule.major),
          .minor = number(rule.minor),
          .access = access_bits(rule.access)};
}

bool same_device(const DevicePolicy::Entry& a, const DevicePolicy::Entry& b) {
  return a.type == b.type && a.major == b.major && a.minor == b.minor;
}

void add_rule(DevicePolicy& policy, const Rule& rule) {
  const DevicePolicy::Entry entry = entry_of(rule);
  if (entry.type == 'a' && !entry.major && !entry.minor) {
    // Everything at once: what came before has no meaning any more.
    policy.allow = rule.allow;
    policy.exceptions.clear();
    return;
  }
  const auto found = std::find_if(policy.exceptions.begin(), policy.exceptions.end(),
                                  [&](const auto& other) { return same_device(other, entry); });
  if (rule.allow != policy.allow) {
    if (found == policy.exceptions.end()) {
      policy.exceptions.push_back(entry);
    } else {
      found->access |= entry.access;
    }
  } else if (found != policy.exceptions.end()) {
    found->access &= ~entry.access;
    if (found->access == 0) policy.exceptions.erase(found);
  }
}

Rule allow(const char* type, std::optional<int64_t> major, std::optional<int64_t> minor, const char* access) {
  return {.allow = true, .type = type, .major = major, .minor = minor, .access = access};
}

// One instruction as the kernel lays it out.
uint64_t instruction(uint8_t code, uint8_t destination, uint8_t source, int16_t offset, int32_t immediate) {
  bpf_insn raw{};
  raw.code = code;
  raw.dst_reg = destination & 15;
  raw.src_reg = source & 15;
  raw.off = offset;
  raw.imm = immediate;
  return std::bit_cast<uint64_t>(raw);
}

uint64_t jump_unless_equal(uint8_t reg, uint32_t value) {
  return instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(value));
}

// R2 = type, R3 = access, R4 = major, R5 = minor.
void emit_entry(std::vector<uint64_t>& code, const DevicePolicy& policy, const DevicePolicy::Entry& entry) {
  std::vector<uint64_t> block;
  if (entry.type != 'a')
    block.push_back(
        jump_unless_equal(BPF_REG_2, entry.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
  // Allowed: every bit that is asked for is in the entry. Denied: any of them is.
  block.push_back(instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
  if (policy.allow) {
    block.push_back(
        instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, static_cast<int32_t>(entry.access)));
    block.push_back(instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0));
  } else {
    block.push_back(
        instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, static_cast<int32_t>(~entry.access)));
    block.push_back(jump_unless_equal(BPF_REG_1, 0));
  }
  if (entry.major) block.push_back(jump_unless_equal(BPF_REG_4, *entry.major));
  if (entry.minor) block.push_back(jump_unless_equal(BPF_REG_5, *entry.minor));
  block.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, policy.allow ? 0 : 1));
  block.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  // Every jump leads past this entry.
  for (size_t i = 0; i < block.size(); ++i) {
    bpf_insn raw = std::bit_cast<bpf_insn>(block[i]);
    const uint8_t kind = BPF_OP(raw.code);
    if (BPF_CLASS(raw.code) == BPF_JMP && (kind == BPF_JNE || kind == BPF_JEQ))
      raw.off = static_cast<int16_t>(block.size() - i - 1);
    code.push_back(std::bit_cast<uint64_t>(raw));
  }
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

UniqueFd load(const std::vector<uint64_t>& code) {
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(code.data());
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  return kernel::load_bpf_program(attributes, "loading the device rules (eBPF)");
}

}  // namespace

const std::vector<Rule>& default_device_rules() {
  static const std::vector<Rule> kRules = {
      allow("c", std::nullopt, std::nullopt, "m"),
      allow("b", std::nullopt, std::nullopt, "m"),
      allow("c", 1, 3, "rwm"),               // null
      allow("c", 1, 5, "rwm"),               // zero
      allow("c", 1, 7, "rwm"),               // full
      allow("c", 1, 8, "rwm"),               // random
      allow("c", 1, 9, "rwm"),               // urandom
      allow("c", 5, 0, "rwm"),               // tty
      allow("c", 5, 1, "rwm"),               // console
      allow("c", 5, 2, "rwm"),               // ptmx
      allow("c", 136, std::nullopt, "rwm"),  // pts
      allow("c", 10, 200, "rwm"),            // net/tun
  };
  return kRules;
}

DevicePolicy device_policy(const std::vector<Rule>& rules) {
  DevicePolicy policy;
  for (const Rule& rule : rules) add_rule(policy, rule);
  for (const Rule& rule : default_device_rules()) add_rule(policy, rule);
  return policy;
}

std::vector<uint64_t> compile_device_policy(const DevicePolicy& policy) {
  std::vector<uint64_t> code;
  const auto field = [](uint8_t reg, size_t offset) {
    return instruction(BPF_LDX | BPF_MEM | BPF_W, reg, BPF_REG_1, static_cast<int16_t>(offset), 0);
  };
  code.push_back(field(BPF_REG_2, offsetof(bpf_cgroup_dev_ctx, access_type)));
  code.push_back(instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0));
  code.push_back(instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff));
  code.push_back(instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16));
  code.push_back(field(BPF_REG_4, offsetof(bpf_cgroup_dev_ctx, major)));
  code.push_back(field(BPF_REG_5, offsetof(bpf_cgroup_dev_ctx, minor)));
  for (const DevicePolicy::Entry& entry : policy.exceptions) emit_entry(code, policy, entry);
  code.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, policy.allow ? 1 : 0));
  code.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return code;
}

void DeviceFilter::replace(int cgroup_directory, const std::vector<Rule>& rules) {
  const DevicePolicy policy = device_policy(rules);
  UniqueFd next;
  if (!policy.allow || !policy.exceptions.empty()) {
    next = load(compile_device_policy(policy));
    bpf_attr attributes{};
    attributes.target_fd = static_cast<uint32_t>(cgroup_directory);
    attributes.attach_bpf_fd = static_cast<uint32_t>(next.get());
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, attributes) != 0) throw_errno("attaching the device rules (eBPF)");
  }
  if (program_) {
    bpf_attr attributes{};
    attributes.target_fd = static_cast<uint32_t>(cgroup_directory);
    attributes.attach_bpf_fd = static_cast<uint32_t>(program_.get());
    attributes.attach_type = BPF_CGROUP_DEVICE;
    if (bpf(BPF_PROG_DETACH, attributes) != 0) throw_errno("detaching the earlier device rules (eBPF)");
  }
  program_ = std::move(next);
}

}  // namespace kata::cgroup
