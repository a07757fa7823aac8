#include "guest/metrics/metrics.h"

#include <algorithm>
#include <array>
#include <set>
#include <sys/statvfs.h>

#include <unistd.h>

#include "guest/metrics/proc_text.h"
#include "guest/metrics/text_writer.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::metrics {
namespace {

constexpr size_t kTextLimit = size_t{4} << 20;
constexpr size_t kMaxFilesystems = 64;

// Empty when it cannot be read.
std::string text_of(const std::string& path) {
  try {
    return read_file(path, kTextLimit);
  } catch (const Error& error) {
    log::debug("no figures", {{"file", path}, {"error", error.message()}});
    return {};
  }
}

void write_items(TextWriter& out, const char* name, const char* help, const std::vector<Item>& items) {
  out.family(name, help, "gauge");
  for (const Item& item : items) out.sample(item.value, {{"item", item.name}});
}

void write_groups(TextWriter& out, const char* name, const char* help, const char* label,
                  const std::vector<Group>& groups) {
  out.family(name, help, "gauge");
  for (const Group& group : groups) {
    for (const Item& item : group.items) out.sample(item.value, {{label, group.name}, {"item", item.name}});
  }
}

void write_value(TextWriter& out, const char* name, const char* help, double value) {
  out.family(name, help, "gauge");
  out.sample(value);
}

void write_agent(TextWriter& out, const std::string& proc) {
  const std::string self = proc + "/self";
  if (const auto stat = parse_process_stat(text_of(self + "/stat"))) {
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    write_value(out, "kata_agent_threads", "Threads of the agent.", stat->threads);
    write_value(out, "kata_agent_total_time", "CPU time of the agent in seconds.",
                (stat->user_time + stat->system_time) / ticks);
    write_value(out, "kata_agent_total_vm", "Virtual memory of the agent in bytes.", stat->virtual_bytes);
    write_value(out, "kata_agent_total_rss", "Resident memory of the agent in bytes.",
                stat->resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    write_items(out, "kata_agent_proc_stat", "CPU time of the agent in clock ticks.",
                {{"utime", stat->user_time},
                 {"stime", stat->system_time},
                 {"cutime", stat->children_user_time},
                 {"cstime", stat->children_system_time}});
  }
  write_items(out, "kata_agent_io_stat", "Input and output of the agent.",
              parse_pairs(text_of(self + "/io")));
  write_items(out, "kata_agent_proc_status", "Memory and switches of the agent.",
              parse_status(text_of(self + "/status")));
}

void write_guest(TextWriter& out, const std::string& proc) {
  if (const auto load = parse_load(text_of(proc + "/loadavg"))) {
    write_items(out, "kata_guest_load", "Load averages of the guest.",
                {{"load1", load->one}, {"load5", load->five}, {"load15", load->fifteen}});
    write_items(out, "kata_guest_tasks", "Tasks of the guest, runnable and all.",
                {{"cur", load->running}, {"max", load->tasks}});
  }
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  write_groups(out, "kata_guest_cpu_time", "CPU times of the guest in milliseconds.", "cpu",
               parse_cpu_times(text_of(proc + "/stat"), ticks));
  write_items(out, "kata_guest_vm_stat", "Virtual memory of the guest.",
              parse_pairs(text_of(proc + "/vmstat")));
  write_groups(out, "kata_guest_netdev_stat", "Network interfaces of the guest.", "interface",
               parse_net_devices(text_of(proc + "/net/dev")));
  write_groups(out, "kata_guest_diskstat", "Disks of the guest.", "disk",
               parse_diskstats(text_of(proc + "/diskstats")));
  write_items(out, "kata_guest_meminfo", "Memory of the guest in bytes.",
              parse_meminfo(text_of(proc + "/meminfo")));
}

// Only file systems that answer from the guest's own memory and disks: asking for the figures of one that the
// host serves (or an overlay of it) can hang pid 1.
bool is_local(const std::string& fstype) {
  constexpr std::array kLocal = {"ext2",  "ext3",     "ext4",  "xfs",  "btrfs",
                                 "erofs", "squashfs", "tmpfs", "ramfs"};
  return std::ranges::find(kLocal, fstype) != kLocal.end();
}

struct Filesystem {
  std::string mount_point;
  struct statvfs figures;
};

std::vector<Filesystem> filesystems(const std::string& proc) {
  std::vector<Filesystem> found;
  const auto entries = kernel::parse_mountinfo(text_of(proc + "/self/mountinfo"));
  if (!entries) return found;
  std::set<std::string> seen;
  std::set<unsigned long> ids;
  for (const kernel::MountEntry& entry : *entries) {
    if (found.size() >= kMaxFilesystems) break;
    if (!is_local(entry.fstype) || !seen.insert(entry.mount_point).second) continue;
    struct statvfs figures{};
    if (::statvfs(entry.mount_point.c_str(), &figures) != 0 || figures.f_blocks == 0) continue;
    // A bind mount shows the same file system once more.
    if (figures.f_fsid != 0 && !ids.insert(figures.f_fsid).second) continue;
    found.push_back({.mount_point = entry.mount_point, .figures = figures});
  }
  return found;
}

void write_usage(TextWriter& out, const std::string& mount_point, double total, double free,
                 double available) {
  const auto sample = [&](std::string_view item, double value) {
    out.sample(value, {{"mountpoint", mount_point}, {"item", item}});
  };
  sample("total", total);
  sample("used", total - free);
  sample("free", free);
  sample("available", available);
}

void write_filesystems(TextWriter& out, const std::string& proc) {
  const std::vector<Filesystem> all = filesystems(proc);
  out.family("kata_guest_filesystem_bytes", "Space of the guest's file systems in bytes.", "gauge");
  for (const auto& [mount_point, figures] : all) {
    const auto block = static_cast<double>(figures.f_frsize);
    write_usage(out, mount_point, static_cast<double>(figures.f_blocks) * block,
                static_cast<double>(figures.f_bfree) * block, static_cast<double>(figures.f_bavail) * block);
  }
  out.family("kata_guest_filesystem_inodes", "Inodes of the guest's file systems.", "gauge");
  for (const auto& [mount_point, figures] : all) {
    write_usage(out, mount_point, static_cast<double>(figures.f_files), static_cast<double>(figures.f_ffree),
                static_cast<double>(figures.f_favail));
  }
}

}  // namespace

std::string collect(const std::string& proc, uint64_t scrapes) {
  TextWriter out;
  out.family("kata_agent_scrape_count", "How often these figures were asked for.", "counter");
  out.sample(static_cast<double>(scrapes));
  write_agent(out, proc);
  write_guest(out, proc);
  write_filesystems(out, proc);
  return out.take();
}

}  // namespace kata::metrics
