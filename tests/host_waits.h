// Counts the operations of this thread that would wait for a GPU to answer, while it lives: the capture of a graph
// refuses them. On the CPU, where they cost nothing, it stands in for the capture.
//
// Not seen: copies of numbers that lie on the host.
#ifndef REVERIE_TESTS_HOST_WAITS_H_
#define REVERIE_TESTS_HOST_WAITS_H_

#include <ATen/record_function.h>

#include <set>
#include <string>
#include <vector>

namespace reverie {

class HostWaits {
 public:
  HostWaits() {
    Seen().clear();
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& function) {
          static const std::set<std::string> kWaits{
              "aten::_local_scalar_dense", "aten::equal",    "aten::masked_select", "aten::nonzero",   "aten::_unique2",
              "aten::unique_dim",          "aten::bincount", "aten::allclose",      "aten::is_nonzero"};
          if (kWaits.contains(function.name())) {
            Seen().emplace_back(function.name());
          }
          return std::unique_ptr<at::ObserverContext>();
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~HostWaits() { at::removeCallback(handle_); }
  HostWaits(const HostWaits&) = delete;
  HostWaits& operator=(const HostWaits&) = delete;

  const std::vector<std::string>& names() const { return Seen(); }

 private:
  static std::vector<std::string>& Seen() {
    thread_local std::vector<std::string> seen;
    return seen;
  }

  at::CallbackHandle handle_;
};

}  // namespace reverie

#endif  // REVERIE_TESTS_HOST_WAITS_H_
