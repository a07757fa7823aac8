// Where a sandbox keeps its files on the node. The only place that joins these paths.
//
//   /run/kata/<sandbox id>/   mode 0700
//     state.json          what exists or is about to (state_file.h); written before it exists
//     network             what to undo in the pod's network namespace; written before it exists
//     vsock.sock          hybrid Unix socket of the guest, if our vsock device carries it
//     vhost-vsock.sock    vhost-user socket between that device and the VMM
//     shim-monitor.sock   management socket of the shim
//   /run/kata-containers/shared/sandboxes/<sandbox id>/   the shared tree (host/resource/share_fs)
#pragma once

#include <string>
#include <string_view>

namespace kata::sandbox {

class RunDir {
 public:
  // `root` is another folder in tests.
  explicit RunDir(std::string sandbox_id, std::string root = "/run/kata");

  // Makes the folder; kAlreadyExists if another sandbox of this id has it.
  void create() const;
  // Removes the folder with all in it. Missing is success.
  void remove() const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string state_file() const { return path_ + "/state.json"; }
  [[nodiscard]] std::string vsock_socket() const { return path_ + "/vsock.sock"; }
  [[nodiscard]] std::string vhost_vsock_socket() const { return path_ + "/vhost-vsock.sock"; }
  [[nodiscard]] std::string network_journal() const { return path_ + "/network"; }
  [[nodiscard]] std::string monitor_socket() const { return path_ + "/shim-monitor.sock"; }

 private:
  std::string path_;
};

// Whether an id may become part of a path: letters, digits, '_', '.', '-', beginning with a letter or digit,
// 1 to 128 characters.
bool valid_id(std::string_view id);

}  // namespace kata::sandbox
