// What grpc.Spec cannot carry, kept between SetSpecExtras and the call it belongs to.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/oci/spec.h"

namespace kata::rpc {

class SpecExtras {
 public:
  // Parses and keeps `json` for a container (exec_id empty) or an exec. Replaces an earlier one.
  // kInvalidArgument when it does not parse, kResourceExhausted when too many wait.
  void put(const std::string& container_id, const std::string& exec_id, std::string_view json);
  // Moves what waits for that container or exec into the spec, if anything does.
  void apply(const std::string& container_id, oci::Spec& spec);
  void apply(const std::string& container_id, const std::string& exec_id, oci::Process& process);
  // Forgets what waits for a container and its execs.
  void forget(const std::string& container_id);

 private:
  using Key = std::pair<std::string, std::string>;
  std::map<Key, oci::Spec> waiting_;
};

// Fills fields of `to` that the message has no place for from `from`; nothing else changes.
void merge_extras(const oci::Process& from, oci::Process& to);
void merge_extras(const oci::Spec& from, oci::Spec& to);

}  // namespace kata::rpc
