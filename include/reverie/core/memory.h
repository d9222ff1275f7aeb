// Memory of this process.
#ifndef REVERIE_CORE_MEMORY_H_
#define REVERIE_CORE_MEMORY_H_

namespace reverie {

// Resident memory in MiB, as the kernel counts it now.
double ResidentMib();

}  // namespace reverie

#endif  // REVERIE_CORE_MEMORY_H_
