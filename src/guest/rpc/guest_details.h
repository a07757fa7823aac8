// What the guest is, and its entropy.
#pragma once

#include <string_view>

#include "guest/boot/boot.h"

#include "agent/agent.pb.h"

namespace kata::rpc {

grpc::GuestDetailsResponse describe_guest(const grpc::GuestDetailsRequest& request, boot::Role role);

// Adds `data` to the kernel's entropy pool, credited, and makes the generator use it. kInvalidArgument for
// none.
void reseed_entropy(std::string_view data);

}  // namespace kata::rpc
