#include "guest/container/init/stage.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "guest/container/launcher.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

constexpr size_t kMaxPlan = size_t{64} << 20;

// The agent may block or ignore signals; the user's program starts with none of that.
void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

InitPlan read_plan() {
  const UniqueFd fd(kPlanFd);
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) throw_errno("reading the description of the container");
  auto plan = decode_plan(read_all(fd.get(), kMaxPlan, "the description of the container"));
  if (!plan) throw plan.error();
  return std::move(*plan);
}

void join_namespaces(const InitPlan& plan) {
  for (const NamespaceJoin& join : plan.joins) {
    const UniqueFd fd = open_file(join.path, O_RDONLY);
    if (::setns(fd.get(), static_cast<int>(join.kind)) != 0)
      throw_errno("joining the namespace " + join.path);
  }
  if (plan.join_of_init != 0) {
    const UniqueFd init(kJoinFd);
    if (::setns(init.get(), static_cast<int>(plan.join_of_init)) != 0)
      throw_errno("joining the namespaces of the container");
  }
  if (plan.unshare != 0 && ::unshare(static_cast<int>(plan.unshare)) != 0) throw_errno("making namespaces");
  if (plan.container && !plan.container->time_offsets.empty())
    write_existing("/proc/self/timens_offsets", plan.container->time_offsets);
}

void become_root_there() {
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    throw_errno("becoming root of the user namespace");
}

void enter_user_namespace(const AgentLink& agent) {
  agent.tell(Message::kMapUser);
  agent.expect(Message::kGo);
  become_root_there();
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

[[noreturn]] void execute(const std::string& program, ProcessPlan& process) {
  const auto argv = pointers(process.args);
  const auto env = pointers(process.env);
  ::execve(program.c_str(), argv.data(), env.data());
  const int error = errno;
  throw Error(errno_code(error), "exec " + program + ": " + plain_errno_text(error));
}

[[noreturn]] void run(const AgentLink& agent) {
  InitPlan plan = read_plan();
  ProcessPlan& process = plan.process;
  // Nothing in a shared pid namespace may look into this program while it has the agent's rights.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw_errno("hiding the init stage");
  const bool own_users = plan.container && plan.container->user_namespace;
  if (!own_users) apply_early_limits(process, agent);
  if (::setsid() < 0) throw_errno("making a session");
  if (own_users) enter_user_namespace(agent);
  join_namespaces(plan);
  if ((plan.join_of_init & CLONE_NEWUSER) != 0) become_root_there();
  ::umask(0022);
  if (plan.container) build_root(plan, agent);
  if (process.terminal) open_console(process, plan.container.has_value(), agent);
  if (plan.container) finish_root(*plan.container);
  complete_environment(process);
  become_user(process);
  const std::string program = find_program(process);
  if (plan.container) {
    agent.tell(Message::kReady);
    agent.expect(Message::kStart);
    run_hooks(plan.container->start_container_hooks, "startContainer",
              plan.container->hook_state_head + "created" + plan.container->hook_state_tail);
  }
  restrict_finally(process);
  execute(program, process);
}

}  // namespace

void AgentLink::expect(Message answer) const {
  const auto packet = receive_packet(kControlFd);
  if (!packet) ::_exit(1);
  if (packet->kind != answer)
    throw Error(Code::kInternal, "the init stage was told something it did not wait for");
}

bool is_init_stage(int argc, char** argv) {
  return argc == 2 && std::strcmp(argv[1], "init") == 0;
}

int run_init_stage() {
  reset_signals();
  const AgentLink agent;
  try {
    if (::fcntl(kControlFd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(kPlanFd, F_GETFD) < 0)
      throw Error(Code::kFailedPrecondition, "the init stage is started by the agent only");
    run(agent);
  } catch (...) {
    const Error error = to_error(std::current_exception());
    try {
      send_packet(kControlFd, Message::kError, encode_error(error));
    } catch (const Error&) {
      ::dprintf(2, "%s\n", error.what());
    }
  }
  return 1;
}

}  // namespace kata::container
