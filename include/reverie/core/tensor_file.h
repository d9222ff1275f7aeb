// A file of named tensors and texts that is read back whole or refused.
//
// The format is safetensors, which the library of that name reads in Python: the length of the header (8 bytes, little
// endian), the header (JSON: names, types, shapes, places; texts under "__metadata__"), the tensors' bytes. The first
// text is "xxh3_64", the XXH3 checksum of everything but its own sixteen hexadecimal digits. Such a file holds numbers
// and texts alone; nothing in it is ever run.
#ifndef REVERIE_CORE_TENSOR_FILE_H_
#define REVERIE_CORE_TENSOR_FILE_H_

#include <filesystem>
#include <map>
#include <string>

#include "reverie/core/tensor.h"

namespace reverie {

struct TensorFile {
  std::map<std::string, torch::Tensor> tensors;  // contiguous, on the CPU: float32, float64, int64 or uint8
  std::map<std::string, std::string> texts;      // UTF-8
  std::string checksum;                          // of the file it was read from
};

// Replaces the file at `path`, whole or not at all. Returns the checksum. Throws std::runtime_error naming the path
// where it cannot be written, std::logic_error where a tensor is not as above.
std::string WriteTensorFile(const std::filesystem::path& path, const TensorFile& content);

// Throws std::runtime_error "PATH: what is wrong with it" where the file cannot be read, is not of that format, is cut
// off or differs from what was written. Memory: the tensors' own, and some multiple of the header, which is at most
// 8 MiB.
TensorFile ReadTensorFile(const std::filesystem::path& path);

// The texts alone, from the header: little is read and the checksum not looked at.
std::map<std::string, std::string> ReadTensorFileTexts(const std::filesystem::path& path);

}  // namespace reverie

#endif  // REVERIE_CORE_TENSOR_FILE_H_
