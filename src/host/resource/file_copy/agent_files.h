// Copies by the guest's agent.
#pragma once

#include <functional>
#include <memory>

#include "host/agent/agent_client.h"
#include "host/resource/file_copy/guest_files.h"

namespace kata::file_copy {

// Asked for at each call, since the agent is there only when the guest is up; throws when it is not.
using FindAgent = std::function<std::shared_ptr<agent::AgentClient>()>;

std::unique_ptr<GuestFiles> files_by_agent(FindAgent find_agent);

}  // namespace kata::file_copy
