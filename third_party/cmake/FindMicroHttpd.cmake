# Finds GNU libmicrohttpd. Defines MicroHttpd::MicroHttpd and MicroHttpd_VERSION.
find_path(MicroHttpd_INCLUDE_DIR microhttpd.h)
find_library(MicroHttpd_LIBRARY NAMES microhttpd)
mark_as_advanced(MicroHttpd_INCLUDE_DIR MicroHttpd_LIBRARY)

if(MicroHttpd_INCLUDE_DIR)
  # 0x00097500 is 0.9.75.
  file(STRINGS "${MicroHttpd_INCLUDE_DIR}/microhttpd.h" _version_line REGEX "^#define MHD_VERSION 0x")
  if(_version_line MATCHES "0x([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])")
    string(REGEX REPLACE "(^|\\.)0([0-9])" "\\1\\2" MicroHttpd_VERSION
           "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MicroHttpd REQUIRED_VARS MicroHttpd_LIBRARY MicroHttpd_INCLUDE_DIR
                                  VERSION_VAR MicroHttpd_VERSION)

if(MicroHttpd_FOUND AND NOT TARGET MicroHttpd::MicroHttpd)
  add_library(MicroHttpd::MicroHttpd UNKNOWN IMPORTED)
  set_target_properties(MicroHttpd::MicroHttpd PROPERTIES IMPORTED_LOCATION "${MicroHttpd_LIBRARY}")
  target_include_directories(MicroHttpd::MicroHttpd SYSTEM INTERFACE "${MicroHttpd_INCLUDE_DIR}")
endif()
