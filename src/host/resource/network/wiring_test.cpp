#include "host/resource/network/wiring.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "host/resource/network/fake_net_kernel.h"

namespace kata::network {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Plan plan_of(const std::vector<std::pair<std::string, std::string>>& links) {
  Plan plan;
  for (const auto& [name, kind] : links) {
    Endpoint endpoint{.link = name, .index = 0, .kind = kind, .interface = {}};
    endpoint.interface.mtu = 1500;
    plan.endpoints.push_back(std::move(endpoint));
  }
  return plan;
}

Teardown collecting(std::vector<std::string>& warnings) {
  return Teardown("test", [&warnings](std::string_view warning) { warnings.emplace_back(warning); });
}

// A whole life; `traces` is what the journal said last.
struct Life {
  std::vector<Trace> traces;
  std::vector<Wire> wires;
  std::vector<std::string> warnings;
  std::string error;
  RateLimits limits = {};

  void wire_up(FakeNetKernel& kernel, const Plan& plan, Model model, size_t queues = 2) {
    Teardown teardown = collecting(warnings);
    const Journal journal = [this](const std::vector<Trace>& now) { traces = now; };
    try {
      wires = wire(kernel, plan, {.model = model, .queues = queues, .limits = limits}, journal, teardown);
    } catch (const Error& failure) {
      error = failure.message();
    }
  }
  void end(FakeNetKernel& kernel) {
    Teardown teardown = collecting(warnings);
    wires.clear();
    undo(kernel, traces, teardown);
  }
};

TEST(Wiring, RatesAreLimitedBothWays) {
  FakeNetKernel kernel;
  Life life;
  life.limits = {.received = 8'000'000, .sent = 4'000'000};
  life.wire_up(kernel, plan_of({{"eth0", "veth"}, {"net1", "tap"}}), Model::kTcFilter);
  EXPECT_EQ(life.error, "");
  const std::map<std::string, uint64_t> expected = {
      {"tap0_kata", 8'000'000}, {"eth0", 4'000'000}, {"net1", 8'000'000}};
  EXPECT_EQ(kernel.limits(), expected);
  life.end(kernel);
  EXPECT_THAT(kernel.left(), IsEmpty());
}

TEST(Wiring, TapsOfLaterLinksGoOnCounting) {
  FakeNetKernel kernel;
  std::vector<std::string> warnings;
  Teardown teardown = collecting(warnings);
  const auto wires = wire(
      kernel, plan_of({{"eth0", "veth"}, {"net1", "veth"}}), {.first = 7}, [](const std::vector<Trace>&) {},
      teardown);
  EXPECT_EQ(kernel.redirects().at("eth0"), "tap7_kata");
  EXPECT_EQ(kernel.redirects().at("net1"), "tap8_kata");
  // Each knows what it left itself.
  const std::vector<Trace> expected = {{.kind = Trace::Kind::kIngress, .link = "net1"},
                                       {.kind = Trace::Kind::kRedirect, .link = "net1"}};
  ASSERT_EQ(wires.size(), 2U);
  EXPECT_EQ(wires[1].traces, expected);
}

TEST(Wiring, FiltersBothWays) {
  FakeNetKernel kernel;
  Life life;
  life.wire_up(kernel, plan_of({{"eth0", "veth"}, {"net1", "macvlan"}}), Model::kTcFilter);
  EXPECT_EQ(life.error, "");
  const std::map<std::string, std::string> expected = {
      {"eth0", "tap0_kata"}, {"tap0_kata", "eth0"}, {"net1", "tap1_kata"}, {"tap1_kata", "net1"}};
  EXPECT_EQ(kernel.redirects(), expected);
  ASSERT_EQ(life.wires.size(), 2U);
  EXPECT_EQ(life.wires[0].queues.size(), 2U);
  EXPECT_THAT(life.traces,
              ElementsAre(Trace{Trace::Kind::kIngress, "eth0"}, Trace{Trace::Kind::kRedirect, "eth0"},
                          Trace{Trace::Kind::kIngress, "net1"}, Trace{Trace::Kind::kRedirect, "net1"}));
}

TEST(Wiring, ModelsAndKinds) {
  struct Row {
    std::string name, kind;
    Model model;
    std::vector<Trace> traces;
    int calls;
  };
  const Trace ingress{Trace::Kind::kIngress, "x"}, redirect{Trace::Kind::kRedirect, "x"};
  const std::vector<Row> rows = {
      {"macvtap on veth", "veth", Model::kMacvtap, {{Trace::Kind::kLink, "tap0_kata"}}, 3},
      {"macvtap cannot lie on ipvlan", "ipvlan", Model::kMacvtap, {ingress, redirect}, 6},
      {"macvtap cannot lie on macvlan", "macvlan", Model::kMacvtap, {ingress, redirect}, 6},
      {"none leaves the tap alone", "veth", Model::kNone, {}, 2},
      {"a tap of the pod is used as it is", "tap", Model::kTcFilter, {}, 1},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    FakeNetKernel kernel;
    Life life;
    life.wire_up(kernel, plan_of({{"x", row.kind}}), row.model);
    EXPECT_EQ(life.error, "");
    EXPECT_EQ(life.traces, row.traces);
    EXPECT_EQ(kernel.calls, row.calls);
    life.end(kernel);
    EXPECT_THAT(kernel.left(), IsEmpty());
  }
}

// Whatever call fails, in the set-up or in the undoing, nothing is left.
TEST(Wiring, NothingIsLeftWhicheverCallFails) {
  const std::vector<std::pair<std::string, std::string>> links = {
      {"eth0", "veth"}, {"net1", "ipvlan"}, {"tap9", "tap"}, {"net2", "device"}};
  for (const Model model : {Model::kTcFilter, Model::kMacvtap, Model::kNone}) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE("call " + std::to_string(n));
      FakeNetKernel kernel;
      kernel.fail_at = n;
      Life life;
      life.wire_up(kernel, plan_of(links), model);
      if (!life.error.empty()) {
        EXPECT_THAT(kernel.left(), IsEmpty());
      } else {
        life.end(kernel);
        EXPECT_THAT(kernel.left(), IsEmpty());
      }
      EXPECT_THAT(life.warnings, IsEmpty());
      ASSERT_LT(n, 100);
      if (kernel.calls < n) break;
    }
  }
}

// The journal alone is enough to clean up at any point, as after a crash.
TEST(Wiring, JournalKnowsEveryTraceBeforeItIsMade) {
  FakeNetKernel kernel;
  std::vector<std::string> warnings;
  Teardown teardown = collecting(warnings);
  std::vector<Trace> traces;
  const Journal journal = [&](const std::vector<Trace>& now) {
    for (const std::string& thing : kernel.left()) {
      if (thing.starts_with("ingress"))
        EXPECT_THAT(now, testing::Contains(Trace{Trace::Kind::kIngress, "eth0"}));
    }
    traces = now;
  };
  const auto wires = wire(kernel, plan_of({{"eth0", "veth"}}), {}, journal, teardown);
  EXPECT_EQ(traces_from_text(traces_to_text(traces)), traces);
}

TEST(Wiring, JournalThatCannotBeWrittenStopsTheSetUp) {
  FakeNetKernel kernel;
  std::vector<std::string> warnings;
  Teardown teardown = collecting(warnings);
  const Journal journal = [](const std::vector<Trace>&) {
    throw Error(Code::kResourceExhausted, "disk full");
  };
  EXPECT_THROW(wire(kernel, plan_of({{"eth0", "veth"}}), {}, journal, teardown), Error);
  EXPECT_THAT(kernel.left(), IsEmpty());
}

TEST(Wiring, PlaceForFiltersOfSomebodyElseStays) {
  FakeNetKernel kernel;
  kernel.foreign_ingress = {"eth0"};
  Life life;
  life.wire_up(kernel, plan_of({{"eth0", "veth"}}), Model::kTcFilter);
  EXPECT_THAT(life.traces, ElementsAre(Trace{Trace::Kind::kRedirect, "eth0"}));
  life.end(kernel);
  EXPECT_TRUE(kernel.foreign_ingress.contains("eth0"));
  EXPECT_THAT(kernel.left(), IsEmpty());
}

TEST(Wiring, BusyIsTriedFiveTimes) {
  for (const int busy : {4, 5}) {
    SCOPED_TRACE(busy);
    FakeNetKernel kernel;
    kernel.error = EBUSY;
    kernel.fail_at = 3;  // the first ingress
    kernel.fail_more = busy - 1;
    Life life;
    life.wire_up(kernel, plan_of({{"eth0", "veth"}}), Model::kTcFilter);
    EXPECT_EQ(life.error.empty(), busy == 4) << life.error;
  }
}

TEST(Wiring, UndoingThatFailsIsWarnedOfAndTheRestGoesOn) {
  FakeNetKernel kernel;
  Life life;
  life.wire_up(kernel, plan_of({{"eth0", "veth"}, {"net1", "veth"}}), Model::kTcFilter);
  kernel.fail_at = kernel.calls + 1;
  kernel.fail_more = 1;
  life.end(kernel);
  EXPECT_THAT(life.warnings, ElementsAre(testing::HasSubstr("redirect net1")));
  EXPECT_THAT(kernel.left(), IsEmpty()) << "the place of the filter goes and takes it along";
}

TEST(Wiring, TextOfTraces) {
  struct Row {
    std::string text;
    std::vector<Trace> traces;
  };
  const std::vector<Row> rows = {{"", {}},
                                 {"ingress eth0\nlink tap0_kata\n",
                                  {{Trace::Kind::kIngress, "eth0"}, {Trace::Kind::kLink, "tap0_kata"}}},
                                 {"redirect eth0", {{Trace::Kind::kRedirect, "eth0"}}},
                                 {"nonsense\n\nlink\nlink \ningressx eth0\n", {}}};
  for (const Row& row : rows) EXPECT_EQ(traces_from_text(row.text), row.traces) << row.text;
}

TEST(Wiring, Models) {
  EXPECT_EQ(parse_model("tcfilter"), Model::kTcFilter);
  EXPECT_EQ(parse_model(""), Model::kTcFilter);
  EXPECT_EQ(parse_model("macvtap"), Model::kMacvtap);
  EXPECT_EQ(parse_model("none"), Model::kNone);
  EXPECT_THROW(parse_model("l3forwarding"), Error);
  EXPECT_THROW(parse_model("bridge"), Error);
}

}  // namespace
}  // namespace kata::network
