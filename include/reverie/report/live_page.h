// A web page that is made anew whenever it is asked for, on this machine's loopback interface.
#ifndef REVERIE_REPORT_LIVE_PAGE_H_
#define REVERIE_REPORT_LIVE_PAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace reverie {

// Serves `page` at / and `data` at /data.json, each made anew when asked for, one at a time, on a thread of its own.
// Only GET and HEAD are answered, and only if the browser asks for this machine by name: 127.0.0.1, [::1], localhost,
// or one of `names`. A foreign page whose own name was made to lead here (DNS rebinding) gets status 403. The port that
// the browser names is its own affair: it may have been forwarded. What either function throws is answered with status
// 500 and its words.
class LivePage {
 public:
  // Port 0: any free one. `names` are host names without a port. Throws std::runtime_error if the port cannot be had.
  LivePage(std::function<std::string()> page, std::function<std::string()> data, uint16_t port,
           std::vector<std::string> names = {});
  ~LivePage();
  LivePage(const LivePage&) = delete;
  LivePage& operator=(const LivePage&) = delete;

  // "http://127.0.0.1:8787/"
  std::string url() const;

 private:
  struct Server;  // keeps libmicrohttpd out of this header
  std::unique_ptr<Server> server_;
};

}  // namespace reverie

#endif  // REVERIE_REPORT_LIVE_PAGE_H_
