#include "guest/boot/reaper.h"

#include <csignal>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "lib/fd/unique_fd.h"

namespace kata::boot {
namespace {

pid_t child_that_exits(int code) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(code);
  // Until it is a zombie, without reaping it.
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  return pid;
}

bool exists(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

TEST(Reaper, TakesOrphansAndLeavesWatchedChildren) {
  const pid_t watched = child_that_exits(7);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, watched, 0)));
  ASSERT_TRUE(pidfd);
  EXPECT_TRUE(watched_pids().contains(watched));
  EXPECT_TRUE(reap_orphans());
  int status = 0;
  ASSERT_EQ(::waitpid(watched, &status, 0), watched);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  const pid_t orphan = child_that_exits(1);
  EXPECT_FALSE(reap_orphans());
  EXPECT_FALSE(exists(orphan));
}

TEST(Reaper, FindsOrphansBehindAWatchedOne) {
  boost::asio::io_context io;
  Reaper reaper(io.get_executor());
  reaper.start();
  const pid_t watched = child_that_exits(3);
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, watched, 0)));
  const pid_t orphan = child_that_exits(1);
  io.run_for(std::chrono::milliseconds(30));
  int status = 0;
  ASSERT_EQ(::waitpid(watched, &status, 0), watched);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  for (int i = 0; i < 200 && exists(orphan); ++i) io.run_one_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(exists(orphan));
  reaper.stop();
  io.run();
}

}  // namespace
}  // namespace kata::boot
