# Writes the header with the versions that are known when building; the file is touched only where its text changes.
#
# cmake -DSOURCE_DIR=... -DHEADER=... -DVERSION=... -DYAML_CPP_VERSION=... -DSPDLOG_VERSION=... -P version.cmake
set(revision unknown)
find_program(GIT git)
if(GIT)
  set(git "${GIT}" --no-optional-locks -C "${SOURCE_DIR}")
  execute_process(COMMAND ${git} rev-parse --show-toplevel --short HEAD
                  OUTPUT_VARIABLE answer RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed AND answer MATCHES "^(.*)\n([0-9a-f]+)$")
    set(commit "${CMAKE_MATCH_2}")
    file(REAL_PATH "${CMAKE_MATCH_1}" checkout)
    file(REAL_PATH "${SOURCE_DIR}" source_dir)
    if(checkout STREQUAL source_dir)
      set(revision "${commit}")
      execute_process(COMMAND ${git} diff --quiet HEAD -- CMakeLists.txt include src third_party RESULT_VARIABLE differs)
      if(differs)
        string(APPEND revision "-dirty")
      endif()
    endif()
  endif()
endif()

set(text "#define REVERIE_VERSION \"${VERSION}\"\n#define REVERIE_GIT_REVISION \"${revision}\"\n")
string(APPEND text "#define REVERIE_YAML_CPP_VERSION \"${YAML_CPP_VERSION}\"\n")
string(APPEND text "#define REVERIE_SPDLOG_VERSION \"${SPDLOG_VERSION}\"\n")
file(CONFIGURE OUTPUT "${HEADER}" CONTENT "${text}" @ONLY)
