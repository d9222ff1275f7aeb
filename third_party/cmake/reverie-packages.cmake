# The packages that Reverie links: looked for by its own build, and again by the installed package's configuration.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(LibTorch 2.11 REQUIRED)
find_package(MuJoCo 4.0 REQUIRED)
find_package(MicroHttpd REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)  # before 0.8 without a namespace
  add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED)
  target_link_libraries(yaml-cpp::yaml-cpp INTERFACE yaml-cpp)
endif()
