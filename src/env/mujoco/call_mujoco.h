// Calls of MuJoCo's engine that may fail.
#ifndef REVERIE_SRC_ENV_MUJOCO_CALL_MUJOCO_H_
#define REVERIE_SRC_ENV_MUJOCO_CALL_MUJOCO_H_

#include <c10/util/FunctionRef.h>

namespace reverie {

// Calls MuJoCo's engine. Its error leaves the call at once and is thrown from here as std::runtime_error, so that no
// exception passes through C. Nothing in `call` beside MuJoCo may need a destructor.
void CallMujoco(c10::function_ref<void()> call);

}  // namespace reverie

#endif  // REVERIE_SRC_ENV_MUJOCO_CALL_MUJOCO_H_
