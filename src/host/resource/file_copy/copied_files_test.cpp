#include "host/resource/file_copy/copied_files.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/resource/file_copy/copy_test_folder.h"
#include "host/resource/file_copy/fake_guest_files.h"

namespace kata::file_copy {
namespace {

namespace fs = std::filesystem;
using share_fs::ShareTree;
using std::chrono_literals::operator""ms;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

size_t open_files() {
  return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

class CopiedFilesTest : public CopyTest {
 protected:
  void SetUp() override {
    CopyTest::SetUp();
    make({});
  }
  void TearDown() override {
    run(files_->release());
    CopyTest::TearDown();
  }
  void make(CopyLimits limits) {
    auto guest = std::make_unique<FakeGuestFiles>();
    guest_ = guest.get();
    files_ = std::make_unique<CopiedFiles>(context_.get_executor(), std::move(guest), limits);
  }
  std::optional<std::string> share(const std::string& source, const std::string& place = "/v") {
    return run(files_->share_path({.source = source,
                                   .access = ShareTree::Access::kReadOnly,
                                   .container_id = "c1",
                                   .destination = place}));
  }
  // Runs the loop until the guest is as wanted.
  bool becomes(const std::function<bool()>& condition) {
    auto wait = [&condition]() -> Awaitable<bool> {
      for (int i = 0; i < 200 && !condition(); ++i) co_await pause_for(10ms);
      co_return condition();
    };
    return run(wait());
  }

  FakeGuestFiles* guest_ = nullptr;
  std::unique_ptr<CopiedFiles> files_;
};

TEST_F(CopiedFilesTest, ChangesReachTheGuest) {
  fs::create_directory(source_ + "/d");
  file("d/file", "1");
  const std::string place = share(source_).value();
  EXPECT_THAT(place, MatchesRegex("/run/kata-containers/shared/containers/c1-[0-9a-f]{16}-v"));
  EXPECT_EQ(guest_->at(place + "/d/file"), "1");
  file("d/file", "2");
  EXPECT_TRUE(becomes([&] { return guest_->at(place + "/d/file") == "2"; }));
  // Folders that are made later are followed, too.
  fs::create_directories(source_ + "/later/on");
  EXPECT_TRUE(becomes([&] { return guest_->things.contains(place + "/later/on"); }));
  file("later/on/file", "3");
  EXPECT_TRUE(becomes([&] { return guest_->at(place + "/later/on/file") == "3"; }));
  fs::remove_all(source_ + "/d");
  EXPECT_TRUE(becomes([&] { return !guest_->things.contains(place + "/d"); }));
}

TEST_F(CopiedFilesTest, OneCopyForAllOfItsUsers) {
  file("file", "1");
  const size_t before = open_files();
  const std::string place = share(source_, "/a").value();
  EXPECT_EQ(share(source_, "/b"), place);
  EXPECT_NE(share(source_ + "/file", "/c"), place);
  EXPECT_EQ(files_->watches(), 2U);
  run(files_->unshare_path(place));
  EXPECT_EQ(guest_->at(place + "/file"), "1");
  run(files_->unshare_path(place));
  run(files_->unshare_path(place));
  EXPECT_EQ(guest_->at(place + "/file"), "<none>");
  EXPECT_EQ(files_->watches(), 1U);
  // The inotify instance, and what the pool's thread has to be woken with.
  const size_t working = open_files();
  for (int i = 0; i < 20; ++i) run(files_->unshare_path(share(source_).value()));
  EXPECT_EQ(open_files(), working);
  run(files_->release());
  files_.reset();
  EXPECT_LE(open_files(), before + 1);
  make({});
}

TEST_F(CopiedFilesTest, ABurstIsFewLooks) {
  file("file", "0");
  const std::string place = share(source_).value();
  guest_->calls.clear();
  for (int i = 1; i <= 100; ++i) file("file", std::to_string(i));
  EXPECT_TRUE(becomes([&] { return guest_->at(place + "/file") == "100"; }));
  EXPECT_LT(guest_->calls.size(), 10U);
}

TEST_F(CopiedFilesTest, SpecialFilesAreLeftOut) {
  ASSERT_EQ(::mkfifo((base_ + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(share(base_ + "/pipe"), std::nullopt);
  EXPECT_THAT(guest_->things, IsEmpty());
  EXPECT_EQ(files_->watches(), 0U);
}

TEST_F(CopiedFilesTest, WhatCannotBeCopiedIsRefused) {
  make({.entries = 3, .bytes = 100});
  file("file", std::string(101, 'x'));
  fs::create_directory(base_ + "/many");
  for (const char* name : {"/1", "/2", "/3"}) write_file(base_ + "/many" + name, "x");
  struct Row {
    const char* name;
    std::string source;
    Code code;
    const char* words;
  };
  for (const Row& row : {Row{"missing", base_ + "/missing", Code::kNotFound, "missing"},
                         Row{"too large", source_, Code::kResourceExhausted, "files of more than"},
                         Row{"too many", base_ + "/many", Code::kResourceExhausted, "more than 3 files"}}) {
    const Error error = error_of([&] { share(row.source); });
    EXPECT_EQ(error.code(), row.code) << row.name;
    EXPECT_THAT(error.message(), HasSubstr(row.words)) << row.name;
  }
  guest_->fail = Error(Code::kInternal, "no space in the guest");
  write_file(base_ + "/small", "x");
  EXPECT_THAT(error_of([&] { share(base_ + "/small"); }).message(), HasSubstr("no space in the guest"));
  EXPECT_EQ(files_->watches(), 0U);
  guest_->fail.reset();
  EXPECT_EQ(guest_->at(share(base_ + "/small").value()), "x") << "the next try starts anew";
  EXPECT_EQ(error_of([&] { files_->share_rootfs("c1", "/x"); }).code(), Code::kFailedPrecondition);
}

TEST_F(CopiedFilesTest, ATreeThatOutgrowsTheLimitIsFollowedAgainWhenItFits) {
  make({.entries = 3, .bytes = 100});
  file("a", "1");
  const std::string place = share(source_).value();
  file("b", "2");
  file("c", "3");
  file("a", "changed");
  // Nothing of it comes; a moment later it fits, and comes.
  auto moment = []() -> Awaitable<> { co_await pause_for(300ms); };
  run(moment());
  EXPECT_EQ(guest_->at(place + "/a"), "1");
  fs::remove(source_ + "/c");
  EXPECT_TRUE(
      becomes([&] { return guest_->at(place + "/a") == "changed" && guest_->at(place + "/b") == "2"; }));
}

TEST_F(CopiedFilesTest, TheEndWhileSomethingIsCopied) {
  file("file", "1");
  const std::string place = share(source_).value();
  guest_->before_put = [&](const agent::FileChunk&) { file("more", "x"); };
  file("file", "2");
  EXPECT_TRUE(becomes([&] { return guest_->at(place + "/file") == "2"; }));
  run(files_->release());
  run(files_->release());
  run(files_->unshare_path(place));
  EXPECT_EQ(run(files_->daemon_end()), "");
}

}  // namespace
}  // namespace kata::file_copy
