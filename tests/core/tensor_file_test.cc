#include "reverie/core/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "oracle.h"
#include "run/file_size_limit.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class TensorFileTest : public testing::Test {
 protected:
  TensorFileTest() {
    content_.tensors["networks/weight"] = torch::arange(6, torch::kFloat32).reshape({2, 3});
    content_.tensors["count"] = torch::full({}, 7, torch::kInt64);
    content_.tensors["empty"] = torch::empty({0, 4});
    content_.tensors["wide"] = torch::tensor({0.1, -0.0}, torch::kFloat64);
    content_.tensors["bytes"] = torch::tensor({1, 255, 0}, torch::kUInt8);
    content_.texts["engine"] = "12 \"quoted\" \n words";
  }

  std::string Written() const {
    WriteTensorFile(path_, content_);
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // What reading a file of these bytes says.
  std::string Refusal(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      ReadTensorFile(path_);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "nothing";
  }
  // A file of that header, its checksum right.
  std::string WithHeader(const std::string& entries) const {
    std::string header = R"({"__metadata__":{"xxh3_64":"0000000000000000"})" + entries + "}";
    const uint64_t size = header.size();
    std::string bytes(sizeof size, '\0');
    std::memcpy(bytes.data(), &size, sizeof size);
    return bytes + header;
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "a.safetensors";
  TensorFile content_;
};

TEST_F(TensorFileTest, IsReadBackAsItWasWritten) {
  const std::string checksum = WriteTensorFile(path_, content_);
  const TensorFile read = ReadTensorFile(path_);
  EXPECT_EQ(read.checksum, checksum);
  EXPECT_EQ(read.texts, content_.texts);
  ASSERT_EQ(read.tensors.size(), content_.tensors.size());
  for (const auto& [name, tensor] : content_.tensors) {
    EXPECT_EQ(read.tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(read.tensors.at(name), tensor)) << name;
  }
  EXPECT_EQ(ReadTensorFileTexts(path_), content_.texts);
}

TEST_F(TensorFileTest, IsWhatPythonsSafetensorsReads) {
  WriteTensorFile(path_, content_);
  EXPECT_EQ(RunPython("core/tensor_file_oracle.py", folder_.path(), "a.safetensors"), 0);
}

TEST_F(TensorFileTest, EveryFlippedBitIsNoticed) {
  const std::string bytes = Written();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 5}) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_THAT(Refusal(flipped), testing::StartsWith(path_.string() + ": ")) << "byte " << i;
    }
  }
}

TEST_F(TensorFileTest, EveryTornFileIsNoticed) {
  const std::string bytes = Written();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(Refusal(bytes.substr(0, size)), testing::StartsWith(path_.string() + ": ")) << size;
  }
  EXPECT_THAT(Refusal(bytes + "x"), HasSubstr("cut off or damaged"));
}

TEST_F(TensorFileTest, AForeignFileIsNamed) {
  EXPECT_THAT(Refusal("PK\x03\x04 what another program has written"), HasSubstr("is no file of tensors"));
  EXPECT_THAT(Refusal(std::string(100, '\xff')), HasSubstr("is no file of tensors"));
  fs::remove(path_);
  EXPECT_THAT([&] { ReadTensorFile(path_); }, ThrowsMessage<std::runtime_error>(path_.string() + ": cannot be read"));
}

TEST_F(TensorFileTest, AHeaderThatLiesIsRefusedBeforeMemoryIsTaken) {
  const auto tensor = [](const std::string& type, const std::string& shape, const std::string& places) {
    return R"(,"x":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + places + "}";
  };
  for (const std::string& entries :
       {tensor("F32", "[1000000000000]", "[0,4000000000000]"), tensor("F32", "[4611686018427387904]", "[0,0]"),
        tensor("F32", "[-1,-1]", "[0,4]"), tensor("F32", "[1]", "[8,4]"), tensor("F32", "[0,-3]", "[0,0]"),
        tensor("F32", "[1]", "[\"a\",4]"), tensor("F32", "1", "[0,4]"), tensor("F32", "[]", "[]"),
        tensor("BF16", "[]", "[0,2]"), std::string(R"(,"x":3)"), "," + std::string(1000, '['),
        tensor("F32", std::string(30, '[') + std::string(30, ']'), "[0,4]")}) {
    EXPECT_THAT(Refusal(WithHeader(entries)), testing::StartsWith(path_.string() + ": ")) << entries;
  }
  EXPECT_THAT(Refusal(WithHeader("")), HasSubstr("checksum"));  // the rest of such a file would do
}

TEST_F(TensorFileTest, WithoutRoomTheOldFileStands) {
  WriteTensorFile(path_, content_);
  TensorFile larger = content_;
  larger.tensors["more"] = torch::zeros({10'000});
  {
    const FileSizeLimit limit(5000);
    EXPECT_THAT([&] { WriteTensorFile(path_, larger); },
                ThrowsMessage<std::runtime_error>(AllOf(HasSubstr(path_.string()), HasSubstr("File too large"))));
  }
  EXPECT_EQ(ReadTensorFile(path_).tensors.size(), content_.tensors.size());
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(TensorFileTest, WhatItCannotHoldIsRefused) {
  content_.tensors["half"] = torch::zeros({3}, torch::kFloat16);
  EXPECT_THROW(WriteTensorFile(path_, content_), std::logic_error);
  content_.tensors["half"] = torch::zeros({3, 3}).t();
  EXPECT_THROW(WriteTensorFile(path_, content_), std::logic_error);
}

}  // namespace
}  // namespace reverie
