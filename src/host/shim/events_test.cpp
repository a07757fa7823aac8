#include "host/shim/events.h"

#include "host/shim/service_harness.h"

#include "containerd/events.pb.h"

namespace kata::shim {
namespace {

class EventPublisherTest : public testing::Test {
 public:
  EventPublisherTest() : root_(::mkdtemp(name_)) { log::set_sink(nullptr); }
  ~EventPublisherTest() override { std::filesystem::remove_all(root_); }

  static Event event(const std::string& id) {
    containerd::events::TaskOOM message;
    message.set_container_id(id);
    return make_event("/tasks/oom", message);
  }

  static std::string id_of(const containerd::types::Envelope& envelope) {
    containerd::events::TaskOOM message;
    EXPECT_TRUE(message.ParseFromString(envelope.event().value()));
    return message.container_id();
  }

  // Runs `body` beside a publisher's sender.
  template <typename Body>
  void with_publisher(const std::string& address, Body body) {
    EventPublisher publisher(loop_.get_executor(), address, "ns");
    TaskGroup group(loop_.get_executor(),
                    [](std::string_view, const Error& error) { ADD_FAILURE() << error.message(); });
    group.spawn("sender", publisher.run());
    bool finished = false;
    asio::co_spawn(
        loop_,
        [&]() -> Awaitable<> {
          co_await with_deadline(body(publisher), std::chrono::seconds(20), "the test");
          group.cancel();
          co_await group.join();
          finished = true;
        },
        asio::detached);
    loop_.run();
    EXPECT_TRUE(finished);
  }

  asio::io_context loop_;
  char name_[32] = "/tmp/kata-events-XXXXXX";
  std::string root_;
};

TEST_F(EventPublisherTest, EventsWaitForContainerd) {
  with_publisher("unix://" + root_ + "/events", [this](EventPublisher& publisher) -> Awaitable<> {
    publisher.publish(event("a"));
    publisher.publish(event("b"));
    // Gives up in time, with nobody there.
    co_await publisher.flush(std::chrono::milliseconds(150));
    FakeContainerd containerd(loop_.get_executor(), root_ + "/events");
    co_await publisher.flush(std::chrono::seconds(10));
    EXPECT_EQ(containerd.envelopes.size(), 2U);
    if (containerd.envelopes.size() == 2) {
      EXPECT_EQ(id_of(containerd.envelopes[0]), "a");
      EXPECT_EQ(id_of(containerd.envelopes[1]), "b");
      EXPECT_EQ(containerd.envelopes[0].event().type_url(), "containerd.events.TaskOOM");
      EXPECT_EQ(containerd.envelopes[0].namespace_(), "ns");
    }
    co_await containerd.stop();
  });
}

TEST_F(EventPublisherTest, ARestartOfContainerdLosesNothing) {
  with_publisher(root_ + "/events", [this](EventPublisher& publisher) -> Awaitable<> {
    {
      FakeContainerd first(loop_.get_executor(), root_ + "/events");
      publisher.publish(event("a"));
      co_await first.until(1);
      co_await first.stop();
    }
    publisher.publish(event("b"));
    FakeContainerd second(loop_.get_executor(), root_ + "/events");
    co_await second.until(1);
    EXPECT_EQ(id_of(second.envelopes[0]), "b");
    co_await second.stop();
  });
}

TEST_F(EventPublisherTest, OneThatIsRefusedFiveTimesIsDropped) {
  with_publisher(root_ + "/events", [this](EventPublisher& publisher) -> Awaitable<> {
    FakeContainerd containerd(loop_.get_executor(), root_ + "/events");
    containerd.refusals = 5;
    publisher.publish(event("a"));
    publisher.publish(event("b"));
    co_await containerd.until(1);
    EXPECT_EQ(id_of(containerd.envelopes[0]), "b");
    co_await containerd.stop();
  });
}

TEST_F(EventPublisherTest, TheQueueIsBoundedAndKeepsTheNewest) {
  with_publisher(root_ + "/events", [this](EventPublisher& publisher) -> Awaitable<> {
    for (size_t i = 0; i < EventPublisher::kQueueLimit + 10; ++i) publisher.publish(event(std::to_string(i)));
    FakeContainerd containerd(loop_.get_executor(), root_ + "/events");
    co_await containerd.until(EventPublisher::kQueueLimit);
    EXPECT_EQ(id_of(containerd.envelopes.back()), std::to_string(EventPublisher::kQueueLimit + 9));
    EXPECT_EQ(containerd.envelopes.size(), EventPublisher::kQueueLimit);
    co_await containerd.stop();
  });
}

TEST_F(EventPublisherTest, WithoutAnAddressEventsAreOnlyLogged) {
  for (const char* address : {"", "vsock://2:1"}) {
    loop_.restart();
    with_publisher(address, [](EventPublisher& publisher) -> Awaitable<> {
      publisher.publish(event("a"));
      co_await publisher.flush(std::chrono::hours(1));
    });
  }
}

}  // namespace
}  // namespace kata::shim
