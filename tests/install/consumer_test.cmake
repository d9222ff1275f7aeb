# Installs Reverie into a folder of its own, builds the project in consumer/ against it by find_package, and trains
# there on that project's environments.
#
# cmake -DBUILD_DIR=... -DWORK_DIR=... -DCXX=... -DCXX_FLAGS=... -DBUILD_TYPE=... -DVERSION=... -P consumer_test.cmake
function(run output)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message("${text}")
    message(FATAL_ERROR "exit code ${code}: ${command}")
  endif()
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

function(expect text what)
  string(FIND "${text}" "${what}" at)
  if(at EQUAL -1)
    message("${text}")
    message(FATAL_ERROR "expected in the output above: ${what}")
  endif()
endfunction()

# The run ended as asked, evaluated from the first step to the last.
function(expect_run folder)
  file(READ "${folder}/run.json" status)
  string(JSON status GET "${status}" status)
  expect("${status}" "finished")
  file(READ "${folder}/eval.csv" rows)
  foreach(step 0 60 120)
    expect("${rows}" "\n${step},")
  endforeach()
endfunction()

file(REMOVE_RECURSE "${WORK_DIR}")
set(prefix "${WORK_DIR}/prefix")
run(ignored "${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${prefix}")
run(answer "${prefix}/bin/reverie" --version)
expect("${answer}" "reverie ${VERSION}")

# Nothing but Reverie's own prefix is named: it knows where its LibTorch and MuJoCo are.
run(ignored "${CMAKE_COMMAND}" -E env --unset=CMAKE_PREFIX_PATH
    "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${WORK_DIR}/build" -G Ninja
    "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}"
    "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}")
run(ignored "${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
set(consumer "${WORK_DIR}/build/consumer")
run(answer "${consumer}" --version)
expect("${answer}" "reverie ${VERSION}")
run(answer "${consumer}" envs)
expect("${answer}" "Cart-v0")
expect("${answer}" "HalfCheetah-v5")
run(answer "${consumer}" envs Cart-v0)
expect("${answer}" "half the rail's length, in metres")

# MBPO on it: first with its own reward and termination functions, then on the same cart without either.
set(config "${CMAKE_CURRENT_LIST_DIR}/consumer/mbpo.yaml")
run(answer "${consumer}" train "${config}" --run-dir "${WORK_DIR}/cart")
expect("${answer}" "imagined rewards are the task's own, imagined ends the task's own")
expect_run("${WORK_DIR}/cart")
run(answer "${consumer}" train "${config}" --run-dir "${WORK_DIR}/plain" --set env.id=PlainCart-v0)
expect("${answer}" "imagined rewards are learned")
expect("${answer}" "the model learns no end")
expect_run("${WORK_DIR}/plain")

file(REMOVE_RECURSE "${WORK_DIR}")
