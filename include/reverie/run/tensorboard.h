// Event files as TensorBoard reads them, written without TensorBoard.
//
// A file is a sequence of records: length (uint64), masked CRC of the length, payload, masked CRC of the payload; all
// little-endian, CRC being CRC-32C and masked(c) = rotate_right(c, 15) + 0xa282ead8. A payload is an `Event` message in
// the protocol buffers' wire format. Source: TensorFlow's record format and TensorBoard's event.proto, summary.proto.
#ifndef REVERIE_RUN_TENSORBOARD_H_
#define REVERIE_RUN_TENSORBOARD_H_

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "reverie/core/metrics.h"

namespace reverie {

class TensorBoardWriter {
 public:
  // Begins a new events.out.tfevents.* file in `folder`. Files of several writers there are read in the order in which
  // they were begun, and their times do not go back, whatever the clocks of their machines say: a clock that is behind
  // the last event there is taken to go on from that event. `restart_step`: readers drop what earlier files say of that
  // step and later ones (a resumed run). `clock`: seconds since 1970; the system's if empty. Throws std::runtime_error
  // naming the file if it cannot be written. Cost: the last event file there is read.
  explicit TensorBoardWriter(const std::filesystem::path& folder, std::optional<int64_t> restart_step = std::nullopt,
                             std::function<double()> clock = {});

  // Writes one point per metric, as float32, with the present time; readers find it when this returns. Throws as the
  // constructor does.
  void Append(int64_t step, const Metrics& scalars);

  const std::filesystem::path& path() const { return path_; }

 private:
  double Now();
  std::string NewEvent(int64_t step);
  void WriteRecord(std::string_view payload);

  std::function<double()> clock_;
  double time_ = 0;   // of the last event
  double ahead_ = 0;  // of the clock, at the first
  std::filesystem::path path_;
  std::ofstream file_;
};

// CRC-32C (Castagnoli) of the bytes.
uint32_t Crc32c(std::string_view bytes);

}  // namespace reverie

#endif  // REVERIE_RUN_TENSORBOARD_H_
