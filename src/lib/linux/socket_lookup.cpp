#include "lib/linux/socket_lookup.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/linux/bpf.h"

namespace kata::kernel {
namespace {

// Keys of the map.
constexpr uint32_t kIpv4 = 0, kIpv6 = 1;

UniqueFd make_map() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_SOCKMAP;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = sizeof(uint64_t);
  attributes.max_entries = 2;
  return bpf_call(BPF_MAP_CREATE, attributes, "making a BPF map of sockets");
}

void put(int map, uint32_t key, int socket) {
  if (socket < 0) return;
  const auto value = static_cast<uint64_t>(socket);
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = reinterpret_cast<uint64_t>(&key);
  attributes.value = reinterpret_cast<uint64_t>(&value);
  if (::syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof attributes) != 0)
    throw_errno("putting a listener into a BPF map");
}

bpf_insn instruction(int code, uint8_t to, uint8_t from, int offset, int32_t immediate) {
  return {.code = static_cast<uint8_t>(code),
          .dst_reg = static_cast<uint8_t>(to & 15),
          .src_reg = static_cast<uint8_t>(from & 15),
          .off = static_cast<int16_t>(offset),
          .imm = immediate};
}

bpf_insn load_field(uint8_t to, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_6, static_cast<int>(offset), 0);
}
bpf_insn move(uint8_t to, uint8_t from) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}
bpf_insn set(uint8_t to, int32_t value) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}
bpf_insn call(bpf_func_id function) {
  return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, function);
}
bpf_insn jump_if(int condition, uint8_t of, int32_t value, int by) {
  return instruction(BPF_JMP | condition | BPF_K, of, 0, by, value);
}

// if (protocol == TCP && (socket = map[family == AF_INET6])) sk_assign(socket); return SK_PASS;
UniqueFd load_program(int map) {
  const std::array program = {
      move(BPF_REG_6, BPF_REG_1),
      load_field(BPF_REG_2, offsetof(bpf_sk_lookup, protocol)),
      jump_if(BPF_JNE, BPF_REG_2, IPPROTO_TCP, 18),
      load_field(BPF_REG_2, offsetof(bpf_sk_lookup, family)),
      set(BPF_REG_3, kIpv6),
      jump_if(BPF_JEQ, BPF_REG_2, AF_INET6, 1),
      set(BPF_REG_3, kIpv4),
      instruction(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_3, -4, 0),
      instruction(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
      instruction(0, 0, 0, 0, 0),
      move(BPF_REG_2, BPF_REG_10),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
      call(BPF_FUNC_map_lookup_elem),
      jump_if(BPF_JEQ, BPF_REG_0, 0, 7),
      move(BPF_REG_7, BPF_REG_0),
      move(BPF_REG_1, BPF_REG_6),
      move(BPF_REG_2, BPF_REG_7),
      set(BPF_REG_3, 0),
      call(BPF_FUNC_sk_assign),
      move(BPF_REG_1, BPF_REG_7),
      call(BPF_FUNC_sk_release),
      set(BPF_REG_0, SK_PASS),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
  attributes.expected_attach_type = BPF_SK_LOOKUP;
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.insn_cnt = program.size();
  return load_bpf_program(attributes, "loading the socket lookup program");
}

}  // namespace

UniqueFd take_all_connections(int netns, int ipv4, int ipv6) {
  const UniqueFd map = make_map();
  put(map.get(), kIpv4, ipv4);
  put(map.get(), kIpv6, ipv6);
  const UniqueFd program = load_program(map.get());
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program.get());
  attributes.link_create.target_fd = static_cast<uint32_t>(netns);
  attributes.link_create.attach_type = BPF_SK_LOOKUP;
  return bpf_call(BPF_LINK_CREATE, attributes, "attaching the socket lookup program");
}

}  // namespace kata::kernel
