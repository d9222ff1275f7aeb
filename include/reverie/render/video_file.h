// A video, a GIF or a folder of PNG files, written by ffmpeg.
#ifndef REVERIE_RENDER_VIDEO_FILE_H_
#define REVERIE_RENDER_VIDEO_FILE_H_

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "reverie/core/file.h"

namespace reverie {

// The ending of the name says which: .mp4 (H.264), .gif, or none for a folder with 000001.png, ... (NAME/ for a folder
// with a dot in its name). A video is there whole once Finish has returned, or not at all. ffmpeg is the one on PATH,
// or what the environment variable REVERIE_FFMPEG names.
class VideoFile {
 public:
  // Throws std::invalid_argument if the name has another ending, the size is odd for .mp4, or the folder is there and
  // not empty; std::runtime_error if there is no ffmpeg.
  VideoFile(const std::filesystem::path& path, int64_t width, int64_t height, double frames_per_second);
  ~VideoFile();
  VideoFile(const VideoFile&) = delete;
  VideoFile& operator=(const VideoFile&) = delete;

  // rgb [height, width, 3]. Throws std::runtime_error with what ffmpeg said if it takes no more.
  void Add(std::span<const uint8_t> rgb);
  void Finish();

 private:
  [[noreturn]] void Fail();

  std::filesystem::path said_;  // what ffmpeg says
  std::unique_ptr<PartialFile> file_;
  FILE* pipe_ = nullptr;
  size_t frame_bytes_;
  struct sigaction former_ {};
};

}  // namespace reverie

#endif  // REVERIE_RENDER_VIDEO_FILE_H_
