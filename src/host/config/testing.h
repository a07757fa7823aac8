// A folder with a configuration that loads, for tests: dummy programs and guest files, one text to change.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "host/config/config.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::config {

class ConfigFolder {
 public:
  ConfigFolder() {
    std::string pattern = testing::TempDir() + "kata_config_XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw_errno("making " + pattern);
    path_ = std::filesystem::canonical(pattern).string();
    for (const char* name :
         {"qemu", "vmlinux", "initrd.img", "guest.img", "virtiofsd", "vsockdev", "firmware"}) {
      write_file(file(name), "");
    }
  }
  ~ConfigFolder() { std::filesystem::remove_all(path_); }
  ConfigFolder(const ConfigFolder&) = delete;
  ConfigFolder& operator=(const ConfigFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
    write_file(file(name), text);
  }

  // A complete configuration. The extra lines go into their tables; @ in them stands for the folder.
  [[nodiscard]] std::string text(const std::string& hypervisor = "", const std::string& agent = "",
                                 const std::string& runtime = "", const std::string& more = "") const {
    const std::string whole =
        "[hypervisor.qemu]\npath = \"@/qemu\"\nkernel = \"@/vmlinux\"\ninitrd = \"@/initrd.img\"\n" +
        hypervisor + "\n[agent.kata]\n" + agent +
        "\n[runtime]\nname = \"virt_container\"\nhypervisor_name = \"qemu\"\nagent_name = \"kata\"\n" +
        runtime + "\n" + more;
    return expand(whole);
  }

  [[nodiscard]] std::string expand(std::string text) const {
    for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at + path_.size())) {
      text.replace(at, 1, path_);
    }
    return text;
  }

  [[nodiscard]] LoadRequest request() const {
    LoadRequest request;
    request.default_paths = {file("configuration.toml")};
    request.host = {.cpus = 8, .memory_mib = 16384};
    return request;
  }

  // Writes the text as configuration.toml and loads it.
  [[nodiscard]] Config load_text(const std::string& text,
                                 std::map<std::string, std::string> annotations = {}) const {
    write("configuration.toml", text);
    LoadRequest with = request();
    with.annotations = std::move(annotations);
    return load(with);
  }

 private:
  std::string path_;
};

// The message of the Error that `body` throws; "" and a test failure when it throws none.
template <typename Body>
std::string error_of(Body body) {
  try {
    (void)body();
  } catch (const Error& error) {
    return error.message();
  }
  ADD_FAILURE() << "no error";
  return {};
}

}  // namespace kata::config
