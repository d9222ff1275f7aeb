// The machine that this process runs on.
#ifndef REVERIE_CORE_HOST_H_
#define REVERIE_CORE_HOST_H_

#include <string>

namespace reverie {

// Its name; "unknown" where the system does not say.
std::string HostName();

}  // namespace reverie

#endif  // REVERIE_CORE_HOST_H_
