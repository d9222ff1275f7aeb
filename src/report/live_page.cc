#include "reverie/report/live_page.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <strings.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "reverie/core/text.h"

namespace reverie {

struct LivePage::Server {
  std::function<std::string()> page, data;
  std::vector<std::string> names;
  uint16_t port = 0;
  MHD_Daemon* daemon = nullptr;

  MHD_Result Answer(MHD_Connection* connection, unsigned status, const char* type, std::string text) const {
    MHD_Response* response = MHD_create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
      return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    const MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
  }

  // Of NAME or NAME:PORT.
  static std::string NameOf(const std::string& host) {
    const size_t bracket = host.rfind(']');  // of an IPv6 address, which has colons of its own
    return host.substr(0, host.find(':', bracket == std::string::npos ? 0 : bracket));
  }

  // Names are compared as DNS does, whatever their case, and on whatever port.
  bool IsOurName(const std::string& host) const {
    return std::any_of(names.begin(), names.end(), [&](const std::string& ours) {
      return strcasecmp(NameOf(ours).c_str(), NameOf(host).c_str()) == 0;
    });
  }

  static MHD_Result Handle(void* self, MHD_Connection* connection, const char* url, const char* method, const char*,
                           const char*, size_t*, void**) {
    const auto& server = *static_cast<const Server*>(self);
    constexpr const char* kText = "text/plain; charset=utf-8";
    if (std::strcmp(method, MHD_HTTP_METHOD_GET) != 0 && std::strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
      return server.Answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, kText, "only GET and HEAD\n");
    }
    const char* host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (host == nullptr || !server.IsOurName(host)) {
      return server.Answer(
          connection, MHD_HTTP_FORBIDDEN, kText,
          "This page is shown under the names " + Joined(server.names) + "; --allow-host NAME adds another.\n");
    }
    try {
      if (std::strcmp(url, "/") == 0) {
        return server.Answer(connection, MHD_HTTP_OK, "text/html; charset=utf-8", server.page());
      }
      if (std::strcmp(url, "/data.json") == 0) {
        return server.Answer(connection, MHD_HTTP_OK, "application/json", server.data());
      }
    } catch (const std::exception& error) {
      return server.Answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, kText, error.what());
    }
    return server.Answer(connection, MHD_HTTP_NOT_FOUND, kText, "nothing here\n");
  }
};

LivePage::LivePage(std::function<std::string()> page, std::function<std::string()> data, uint16_t port,
                   std::vector<std::string> names)
    : server_(std::make_unique<Server>()) {
  server_->names = std::move(names);
  server_->names.insert(server_->names.begin(), {"127.0.0.1", "[::1]", "localhost"});
  server_->page = std::move(page);
  server_->data = std::move(data);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server_->daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, port, nullptr, nullptr,
                                     &Server::Handle, server_.get(), MHD_OPTION_SOCK_ADDR, &address,
                                     MHD_OPTION_CONNECTION_TIMEOUT, 30U, MHD_OPTION_END);
  if (server_->daemon == nullptr) {
    throw std::runtime_error("cannot listen on port " + std::to_string(port) +
                             " of 127.0.0.1: " + std::strerror(errno));
  }
  server_->port = MHD_get_daemon_info(server_->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

LivePage::~LivePage() { MHD_stop_daemon(server_->daemon); }

std::string LivePage::url() const { return "http://127.0.0.1:" + std::to_string(server_->port) + "/"; }

}  // namespace reverie
