// What the init stage and the agent tell each other over their socket (SOCK_SEQPACKET: one message, one
// packet).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::container {

enum class Message : char {
  // Stage → agent.
  kError = 'E',     // body: an Error; the stage ends
  kWarning = 'W',   // body: text
  kConsole = 'C',   // carries the master of the pty
  kMapUser = 'U',   // the user namespace exists: write the id maps, answer kGo
  kRunHooks = 'H',  // the mounts are there: run the agent's hooks, answer kGo
  kReady = 'R',     // set up; waits for kStart
  // Agent → stage.
  kGo = 'g',
  kStart = 's',  // exec the program; the socket closes by that
};

struct Packet {
  Message kind = Message::kError;
  std::string body;
  UniqueFd descriptor;
};

constexpr size_t kMaxPacket = 8192;

// Sends; waits while the socket is full. Throws when the peer is gone.
void send_packet(int fd, Message kind, std::string_view body = {}, int descriptor = -1);
// Receives one packet; nothing at end of stream. On a non-blocking socket without a packet: kUnavailable.
std::optional<Packet> receive_packet(int fd);

std::string encode_error(const Error& error);
Error decode_error(std::string_view body);

}  // namespace kata::container
