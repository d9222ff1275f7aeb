#include "reverie/core/tensor_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "reverie/core/file.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kBeginning = R"({"__metadata__":{"xxh3_64":")";
constexpr size_t kDigits = 16;
constexpr size_t kHashedFrom = kBeginning.size() + kDigits;  // in the header
constexpr size_t kAlignment = 64;                            // of the tensors' bytes in the file
constexpr uint64_t kMostHeaderBytes = uint64_t{8} << 20U;
constexpr int kDeepestHeader = 4;
constexpr size_t kMostDims = 16;

constexpr std::array<std::pair<torch::ScalarType, const char*>, 4> kTypes = {
    {{torch::kFloat64, "F64"}, {torch::kInt64, "I64"}, {torch::kFloat32, "F32"}, {torch::kUInt8, "U8"}}};

const char* TypeName(const std::string& name, const torch::Tensor& tensor) {
  for (const auto& [type, text] : kTypes) {
    if (tensor.scalar_type() == type && tensor.is_contiguous() && tensor.device().is_cpu()) {
      return text;
    }
  }
  throw std::logic_error(name + " cannot go into a file: " + tensor.toString());
}

std::string_view Bytes(const torch::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

// The running checksum of a file.
class Checksum {
 public:
  explicit Checksum(uint64_t header_bytes) {
    XXH3_64bits_reset(&state_);
    Add({reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes});
  }
  void Add(std::string_view bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
  std::string Digits() const {
    std::array<char, kDigits + 1> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx",
                  static_cast<unsigned long long>(XXH3_64bits_digest(&state_)));
    return digits.data();
  }

 private:
  XXH3_state_t state_{};
};

struct Entry {
  std::string name;
  torch::ScalarType type;
  std::vector<int64_t> sizes;
  uint64_t begin;
  uint64_t end;
};

class Reader {
 public:
  explicit Reader(const fs::path& path) : path_(path), file_(path, std::ios::binary) {
    std::error_code error;
    bytes_ = fs::file_size(path, error);
    if (!file_ || error) {
      Fail("cannot be read");
    }
    ReadBytes(reinterpret_cast<char*>(&header_bytes_), sizeof header_bytes_);
    if (header_bytes_ > kMostHeaderBytes || header_bytes_ < kHashedFrom) {
      Fail("is no file of tensors with a checksum");
    }
    header_.resize(header_bytes_);
    ReadBytes(header_.data(), header_.size());
    if (!header_.starts_with(kBeginning)) {
      Fail("is no file of tensors with a checksum");
    }
  }

  TensorFile Read() {
    TensorFile content;
    const std::vector<Entry> entries = Parse(content.texts);
    Checksum checksum(header_bytes_);
    checksum.Add(std::string_view(header_).substr(kHashedFrom));
    for (const Entry& entry : entries) {
      const torch::Tensor tensor = torch::empty(entry.sizes, entry.type);
      ReadBytes(static_cast<char*>(tensor.data_ptr()), tensor.nbytes());
      checksum.Add(Bytes(tensor));
      content.tensors.emplace(entry.name, tensor);
    }
    content.checksum = header_.substr(kBeginning.size(), kDigits);
    if (checksum.Digits() != content.checksum) {
      Fail("is damaged: its checksum is " + content.checksum + ", its content's " + checksum.Digits());
    }
    return content;
  }

  std::map<std::string, std::string> ReadTexts() {
    std::map<std::string, std::string> texts;
    Parse(texts);
    return texts;
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const { throw std::runtime_error(path_.string() + ": " + what); }

  void ReadBytes(char* to, size_t count) {
    if (!file_.read(to, static_cast<std::streamsize>(count))) {
      Fail("is cut off");
    }
  }

  Json ParseJson() const {
    const auto watch = [&](int depth, Json::parse_event_t, Json&) {
      if (depth > kDeepestHeader) {
        Fail("has a header nested deeper than any");
      }
      return true;
    };
    try {
      return Json::parse(header_, watch);
    } catch (const Json::exception&) {
      Fail("has a damaged header");
    }
  }

  // What the header says, by place in the file. The tensors fill the file behind the header without a gap.
  std::vector<Entry> Parse(std::map<std::string, std::string>& texts) const {
    const Json header = ParseJson();
    std::vector<Entry> entries;
    try {
      for (const auto& [name, value] : header.items()) {
        if (name == "__metadata__") {
          for (const auto& [key, text] : value.items()) {
            texts[key] = text.get<std::string>();
          }
          continue;
        }
        const auto& places = value.at("data_offsets");
        entries.push_back({.name = name,
                           .type = Type(value.at("dtype").get<std::string>()),
                           .sizes = value.at("shape").get<std::vector<int64_t>>(),
                           .begin = places.at(0).get<uint64_t>(),
                           .end = places.at(1).get<uint64_t>()});
      }
    } catch (const Json::exception&) {
      Fail("has a damaged header");
    }
    texts.erase("xxh3_64");
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    uint64_t place = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != place || entry.end < entry.begin || entry.end - entry.begin != ByteCount(entry)) {
        Fail("has a damaged header: " + entry.name + " is not where it should be");
      }
      place = entry.end;
    }
    if (bytes_ != sizeof header_bytes_ + header_bytes_ + place) {
      Fail("is cut off or damaged: it has " + std::to_string(bytes_) + " bytes, expected " +
           std::to_string(sizeof header_bytes_ + header_bytes_ + place));
    }
    return entries;
  }

  torch::ScalarType Type(const std::string& name) const {
    for (const auto& [type, text] : kTypes) {
      if (name == text) {
        return type;
      }
    }
    Fail("has a tensor of the type " + name + ", expected F32, F64, I64 or U8");
  }

  // More than there is where the sizes make no sense.
  uint64_t ByteCount(const Entry& entry) const {
    uint64_t count = c10::elementSize(entry.type);
    if (entry.sizes.size() > kMostDims) {
      return bytes_ + 1;
    }
    for (const int64_t size : entry.sizes) {
      if (size < 0 || (size > 0 && count > bytes_ / static_cast<uint64_t>(size))) {
        return bytes_ + 1;
      }
      count *= static_cast<uint64_t>(size);
    }
    return count;
  }

  fs::path path_;
  std::ifstream file_;
  uint64_t bytes_ = 0;
  uint64_t header_bytes_ = 0;
  std::string header_;
};

}  // namespace

std::string WriteTensorFile(const fs::path& path, const TensorFile& content) {
  // Wide types first: every tensor lies at a multiple of its number's size.
  std::vector<std::pair<std::string, torch::Tensor>> tensors(content.tensors.begin(), content.tensors.end());
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto& a, const auto& b) { return a.second.element_size() > b.second.element_size(); });
  Json texts{{"xxh3_64", std::string(kDigits, '0')}};
  texts.update(Json(content.texts));
  Json header{{"__metadata__", texts}};
  std::vector<std::string_view> pieces(2);
  uint64_t place = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t end = place + tensor.nbytes();
    header[name] = {{"dtype", TypeName(name, tensor)}, {"shape", tensor.sizes().vec()}, {"data_offsets", {place, end}}};
    pieces.push_back(Bytes(tensor));
    place = end;
  }
  std::string text = header.dump();
  text.append((2 * kAlignment - sizeof(uint64_t) - text.size() % kAlignment) % kAlignment, ' ');
  const uint64_t header_bytes = text.size();
  Checksum checksum(header_bytes);
  checksum.Add(std::string_view(text).substr(kHashedFrom));
  for (size_t i = 2; i < pieces.size(); ++i) {
    checksum.Add(pieces[i]);
  }
  std::string digits = checksum.Digits();
  text.replace(kBeginning.size(), kDigits, digits);
  pieces[0] = {reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes};
  pieces[1] = text;
  const PartialFile file(path);
  file.Write(pieces);
  file.MoveIntoPlace();
  return digits;
}

TensorFile ReadTensorFile(const fs::path& path) { return Reader(path).Read(); }

std::map<std::string, std::string> ReadTensorFileTexts(const fs::path& path) { return Reader(path).ReadTexts(); }

}  // namespace reverie
