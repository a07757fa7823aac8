#include "host/resource/network/direct.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <net/if.h>
#include <optional>
#include <sys/random.h>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace kata::network {
namespace {

namespace json = boost::json;

constexpr size_t kMostDevices = 32;
constexpr size_t kMostEntries = 4096;
constexpr uint64_t kMostQueues = 256;
constexpr uint64_t kOrdinaryQueueSize = 256;
constexpr uint64_t kOrdinaryMtu = 1500;
// The least that IPv4 asks of a link, and the most that a tap carries.
constexpr uint64_t kLeastMtu = 68, kMostMtu = 65521;

// A value and its place in the file. What is wrong with it is thrown as kInvalidArgument and caught by
// parse_direct_network().
class Node {
 public:
  Node(const json::value* value, std::string place) : value_(value), place_(std::move(place)) {}

  [[noreturn]] void fail(const std::string& what, Code code = Code::kInvalidArgument) const {
    throw Error(code, (place_.empty() ? "the file" : place_) + " " + what);
  }
  // Null counts as missing.
  [[nodiscard]] bool missing() const { return value_ == nullptr || value_->is_null(); }
  [[nodiscard]] Node at(const char* key) const {
    if (missing()) fail("is missing");
    if (!value_->is_object()) fail("is no object");
    return {value_->as_object().if_contains(key), place_.empty() ? key : place_ + "." + key};
  }
  [[nodiscard]] std::vector<Node> list(size_t most) const {
    std::vector<Node> nodes;
    if (missing()) return nodes;
    if (!value_->is_array()) fail("is no list");
    const json::array& array = value_->as_array();
    if (array.size() > most) fail("has more than " + std::to_string(most) + " entries");
    for (size_t i = 0; i < array.size(); ++i)
      nodes.emplace_back(&array[i], place_ + "[" + std::to_string(i) + "]");
    return nodes;
  }
  [[nodiscard]] std::string text() const {
    if (missing()) return {};
    const json::string* text = value_->if_string();
    if (text == nullptr) fail("is no string");
    if (text->find('\0') != json::string::npos) fail("has a zero byte");
    return std::string(*text);
  }
  [[nodiscard]] std::string needed_text() const {
    std::string text = this->text();
    if (text.empty()) fail("is missing or empty");
    return text;
  }
  [[nodiscard]] uint64_t number(uint64_t most, uint64_t absent = 0) const {
    if (missing()) return absent;
    boost::system::error_code error;
    const auto number = value_->to_number<uint64_t>(error);
    if (error || number > most) fail("is no number from 0 to " + std::to_string(most));
    return number;
  }

 private:
  const json::value* value_;
  std::string place_;
};

std::string shown(const std::string& text) {
  return "\"" + text.substr(0, 100) + "\"";
}

std::string link_name(const Node& node) {
  std::string name = node.needed_text();
  const bool odd =
      std::ranges::any_of(name, [](unsigned char c) { return std::isspace(c) != 0 || c == '/' || c == ':'; });
  if (odd || name.size() >= IFNAMSIZ || name == "." || name == "..")
    node.fail(shown(name) + " is no name of a link");
  return name;
}

std::string random_mac() {
  std::array<uint8_t, 6> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_errno("getting a random number");
  // Of one station, and nobody's.
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0xfcU) | 2U);
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2],
                bytes[3], bytes[4], bytes[5]);
  return text.data();
}

std::string mac(const Node& node) {
  std::string text = node.text();
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < text.size(); ++i)
    good = i % 3 == 2 ? text[i] == ':' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  if (!good) node.fail(shown(text) + " is no hardware address");
  return text;
}

std::string station_mac(const Node& node) {
  if (node.missing()) return random_mac();
  std::string text = mac(node);
  const int low = std::isdigit(static_cast<unsigned char>(text[1])) != 0 ? text[1] - '0' : text[1] - 'a' + 10;
  if (low % 2 == 1 || text == "00:00:00:00:00:00")
    node.fail(shown(text) + " is no address that one NIC can have");
  return text;
}

// Bits of an address of that family; 0 = it is none.
unsigned address_bits(const std::string& text) {
  std::array<unsigned char, 16> bytes;
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return 32;
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return 128;
  return 0;
}

std::string address(const Node& node) {
  std::string text = node.text();
  if (!text.empty() && address_bits(text) == 0) node.fail(shown(text) + " is no IP address");
  return text;
}

std::optional<agent::IpAddress> parse_cidr(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  agent::IpAddress result{.address = text.substr(0, slash), .prefix = 0};
  unsigned prefix = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix);
  const unsigned bits = address_bits(result.address);
  if (error != std::errc{} || stop != end || bits == 0 || prefix > bits) return std::nullopt;
  result.prefix = static_cast<uint8_t>(prefix);
  return result;
}

agent::IpAddress cidr(const Node& node) {
  const std::string text = node.needed_text();
  if (auto result = parse_cidr(text)) return *result;
  node.fail(shown(text) + " is no address with a prefix length (10.0.0.2/24)");
}

agent::Route route(const Node& node, const std::string& device) {
  agent::Route route;
  route.device = device;
  const Node destination = node.at("dest");
  if (!destination.text().empty()) {
    const agent::IpAddress range = cidr(destination);
    route.ipv6 = range.address.find(':') != std::string::npos;
    // The default route goes without.
    if (range.prefix != 0) route.destination = destination.text();
  }
  route.gateway = address(node.at("gateway"));
  route.source = address(node.at("source"));
  route.ipv6 = route.ipv6 || route.gateway.find(':') != std::string::npos;
  route.scope = static_cast<uint32_t>(node.at("scope").number(UINT8_MAX));
  route.flags = static_cast<uint32_t>(node.at("flags").number(UINT32_MAX));
  route.mtu = static_cast<uint32_t>(node.at("mtu").number(kMostMtu));
  return route;
}

agent::Neighbour neighbour(const Node& node, const std::string& device) {
  agent::Neighbour neighbour;
  neighbour.device = device;
  neighbour.ip = address(node.at("ip_address"));
  if (neighbour.ip.empty()) node.at("ip_address").fail("is missing or empty");
  if (const Node hardware = node.at("hardware_addr"); !hardware.text().empty()) neighbour.mac = mac(hardware);
  neighbour.state = static_cast<int32_t>(node.at("state").number(UINT16_MAX));
  neighbour.flags = static_cast<int32_t>(node.at("flags").number(UINT8_MAX));
  return neighbour;
}

void read_tap(const Node& device, size_t queues, Endpoint& endpoint) {
  const std::string type = device.at("type").needed_text();
  if (type == "vhost-user")
    device.at("type").fail("vhost-user is not supported: host-tap is", Code::kUnimplemented);
  if (type != "host-tap") device.at("type").fail(shown(type) + " is not known: expected host-tap");
  endpoint.link = link_name(device.at("tap_name"));
  endpoint.kind = "tap";
  endpoint.queues = device.at("queue_num").number(kMostQueues);
  if (endpoint.queues == 0) endpoint.queues = queues;
  const uint64_t size = device.at("queue_size").number(UINT32_MAX);
  endpoint.queue_size = static_cast<uint32_t>(size == 0 ? kOrdinaryQueueSize : size);
  if (endpoint.queue_size != 256 && endpoint.queue_size != 512 && endpoint.queue_size != 1024)
    device.at("queue_size").fail(std::to_string(size) + " is none of 256, 512 and 1024");
}

void read_info(const Node& info, const std::string& name, Endpoint& endpoint, Plan& plan) {
  const Node interface = info.at("interface");
  for (const Node& entry : interface.at("ip_addresses").list(kMostEntries))
    endpoint.interface.addresses.push_back(cidr(entry));
  if (interface.at("ip_addresses").missing()) interface.at("ip_addresses").fail("is missing");
  const uint64_t mtu = interface.at("mtu").number(kMostMtu, kOrdinaryMtu);
  if (mtu < kLeastMtu) interface.at("mtu").fail(std::to_string(mtu) + " is too small for any packet");
  endpoint.interface.mtu = mtu;
  endpoint.interface.type = interface.at("ntype").text();
  endpoint.interface.raw_flags = static_cast<uint32_t>(interface.at("flags").number(UINT32_MAX));
  for (const Node& entry : info.at("routes").list(kMostEntries)) plan.routes.push_back(route(entry, name));
  for (const Node& entry : info.at("neighbors").list(kMostEntries))
    plan.neighbours.push_back(neighbour(entry, name));
}

void check_unique(const Node& node, const Endpoint& endpoint, const Plan& plan) {
  for (const Endpoint& other : plan.endpoints) {
    if (other.interface.name == endpoint.interface.name)
      node.at("name").fail(shown(endpoint.interface.name) + " is used twice");
    if (other.interface.mac == endpoint.interface.mac)
      node.at("guest_mac").fail(shown(endpoint.interface.mac) + " is used twice");
    if (other.link == endpoint.link)
      node.at("device").at("tap_name").fail(shown(endpoint.link) + " is used twice");
  }
}

DirectNetwork read(const Node& root, size_t queues) {
  DirectNetwork network;
  network.netns = root.at("netns").text();
  if (!network.netns.empty() && !network.netns.starts_with('/'))
    root.at("netns").fail(shown(network.netns) + " is no absolute path");
  for (const Node& node : root.at("devices").list(kMostDevices)) {
    Endpoint endpoint;
    const std::string name = link_name(node.at("name"));
    endpoint.interface.device = name;
    endpoint.interface.name = name;
    endpoint.interface.mac = station_mac(node.at("guest_mac"));
    read_tap(node.at("device"), queues, endpoint);
    read_info(node.at("network_info"), name, endpoint, network.plan);
    check_unique(node, endpoint, network.plan);
    network.plan.endpoints.push_back(std::move(endpoint));
  }
  return network;
}

}  // namespace

std::expected<DirectNetwork, Error> parse_direct_network(std::string_view text, size_t queues) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object())
    return std::unexpected(Error(Code::kInvalidArgument, "the file is no JSON object"));
  try {
    return read(Node(&value, ""), queues);
  } catch (const Error& wrong) {
    return std::unexpected(wrong);
  }
}

void check_taps(const DirectNetwork& network, const std::vector<kernel::Link>& links) {
  for (const Endpoint& endpoint : network.plan.endpoints) {
    const auto found = std::ranges::find(links, endpoint.link, &kernel::Link::name);
    const std::string where =
        network.netns.empty() ? "the host's network namespace" : "the network namespace " + network.netns;
    if (found == links.end())
      throw Error(Code::kNotFound, "device " + endpoint.interface.name + ": there is no tap " +
                                       endpoint.link + " in " + where);
    if (found->kind != "tun" || found->mac.empty())
      throw Error(Code::kInvalidArgument,
                  "device " + endpoint.interface.name + ": " + endpoint.link + " in " + where + " is no tap");
  }
}

}  // namespace kata::network
