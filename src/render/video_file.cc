#include "reverie/render/video_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "reverie/core/shell.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;

std::string Ffmpeg() {
  const char* named = std::getenv("REVERIE_FFMPEG");
  std::string program = named != nullptr && *named != '\0' ? named : "ffmpeg";
  try {
    ShellOutput(ShellQuoted(program) + " -version >/dev/null");
  } catch (const std::runtime_error&) {
    throw std::runtime_error(
        "there is no ffmpeg to write a video with: install it, or name it in REVERIE_FFMPEG (tried " + program + ")");
  }
  return program;
}

}  // namespace

VideoFile::VideoFile(const fs::path& path, int64_t width, int64_t height, double frames_per_second)
    : frame_bytes_(static_cast<size_t>(3 * width * height)) {
  const std::string ending = path.extension().string();
  std::string how;
  if (ending == ".mp4") {
    if (width % 2 != 0 || height % 2 != 0) {
      throw std::invalid_argument("an MP4 of " + std::to_string(width) + "x" + std::to_string(height) +
                                  " pixels: expected even numbers");
    }
    how = "-c:v libx264 -preset fast -crf 18 -pix_fmt yuv420p -movflags +faststart -f mp4";
  } else if (ending == ".gif") {
    how = "-filter_complex '[0]split[a][b];[a]palettegen[p];[b][p]paletteuse' -f gif";
  } else if (ending.empty()) {
    if (fs::exists(path) && !(fs::is_directory(path) && fs::is_empty(path))) {
      throw std::invalid_argument(path.string() + " is there already; PNG files go into a folder of their own");
    }
    how = "-f image2";
  } else {
    throw std::invalid_argument(path.string() +
                                ": expected a name ending in .mp4 or .gif, or a folder for PNG files, as NAME/");
  }
  const std::string ffmpeg = Ffmpeg();
  std::string target;
  if (ending.empty()) {
    MakeFolder(path);
    for (const char c : path.string()) {  // ffmpeg takes a % for the beginning of a pattern
      target += c == '%' ? "%%" : std::string(1, c);
    }
    target += "/%06d.png";
  } else {
    if (path.has_parent_path()) {
      MakeFolder(path.parent_path());
    }
    file_ = std::make_unique<PartialFile>(path);
    target = file_->partial().string();
  }
  std::string said = (fs::temp_directory_path() / "reverie-ffmpeg-XXXXXX").string();
  const int said_file = mkstemp(said.data());
  if (said_file < 0) {
    throw std::runtime_error("cannot write " + said);
  }
  close(said_file);
  said_ = said;
  std::ostringstream command;
  command << ShellQuoted(ffmpeg) << " -v error -y -f rawvideo -pixel_format rgb24 -video_size " << width << "x"
          << height << " -framerate " << frames_per_second << " -i - " << how << " "
          << ShellQuoted("file:" + target)  // else it takes what stands before a colon for a protocol
          << " 2> " << ShellQuoted(said_.string());
  pipe_ = popen(command.str().c_str(), "w");
  if (pipe_ == nullptr) {
    fs::remove(said_);
    throw std::runtime_error("cannot start " + ffmpeg);
  }
  // ffmpeg may end before us; writing to it is then an error to report, not the end of the process.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &former_);
}

VideoFile::~VideoFile() {
  if (pipe_ != nullptr) {
    pclose(pipe_);
  }
  sigaction(SIGPIPE, &former_, nullptr);
  std::error_code ignored;
  fs::remove(said_, ignored);
}

void VideoFile::Add(std::span<const uint8_t> rgb) {
  if (rgb.size() != frame_bytes_) {
    throw std::logic_error("a picture of " + std::to_string(rgb.size()) + " bytes, expected " +
                           std::to_string(frame_bytes_));
  }
  if (std::fwrite(rgb.data(), 1, rgb.size(), pipe_) != rgb.size()) {
    Fail();
  }
}

void VideoFile::Finish() {
  const int status = pclose(pipe_);
  pipe_ = nullptr;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    Fail();
  }
  if (file_) {
    file_->MoveIntoPlace();
  }
}

void VideoFile::Fail() {
  std::ifstream file(said_);
  std::ostringstream text;
  text << file.rdbuf();
  throw std::runtime_error("ffmpeg failed: " + text.str());
}

}  // namespace reverie
