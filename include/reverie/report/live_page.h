// A page of this machine that follows something: read-only, on the loopback interface.
#ifndef REVERIE_REPORT_LIVE_PAGE_H_
#define REVERIE_REPORT_LIVE_PAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace reverie {

// Serves `page` at / and `data` at /data.json, each made anew when asked for, one at a time, on a thread of its own.
// Only GET and HEAD are answered, and only under the names 127.0.0.1 and localhost: a page from elsewhere in the same
// browser gets nothing. What either function throws is answered with status 500 and its words.
class LivePage {
 public:
  // Port 0: any free one. Throws std::runtime_error where the port cannot be had.
  LivePage(std::function<std::string()> page, std::function<std::string()> data, uint16_t port);
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
