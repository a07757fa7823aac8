// Descriptors that `start` leaves to the process that serves.
#pragma once

namespace kata::shim {

// The listening socket.
inline constexpr int kListenFd = 3;
// A file with the serialised Any of the runtime options; may be absent.
inline constexpr int kOptionsFd = 4;
// The mount namespace of whoever started the shim; may be absent.
inline constexpr int kOuterMountsFd = 5;

}  // namespace kata::shim
