# Finds LibTorch in a PyTorch wheel (site-packages/torch) or a LibTorch archive, and imports its libraries directly:
# PyTorch's own CMake package fails without a CUDA toolkit and overrides the GPU architectures.
#
# Searched: CMAKE_PREFIX_PATH. Defines LibTorch::LibTorch (for the CPU), LibTorch::CUDA (what a program links besides it
# to use a GPU; only where LibTorch_HAS_CUDA), LibTorch_VERSION and LibTorch_HAS_CUDA.
find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h)
find_library(LibTorch_CPU_LIBRARY torch_cpu)
find_library(LibTorch_C10_LIBRARY c10)
find_library(LibTorch_CUDA_LIBRARY torch_cuda)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda)
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY
                 LibTorch_C10_CUDA_LIBRARY)

if(LibTorch_INCLUDE_DIR AND EXISTS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  file(STRINGS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h" _version_lines
       REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _version_numbers "${_version_lines}")
  list(JOIN _version_numbers "." LibTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION)

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY)
    set(LibTorch_HAS_CUDA TRUE)
  else()
    set(LibTorch_HAS_CUDA FALSE)
  endif()
  add_library(LibTorch::C10 SHARED IMPORTED)
  set_target_properties(LibTorch::C10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  add_library(LibTorch::CPU SHARED IMPORTED)
  set_target_properties(LibTorch::CPU PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}")
  if(LibTorch_HAS_CUDA)
    add_library(LibTorch::CUDA INTERFACE IMPORTED)
    # libtorch_cuda registers its kernels as it is loaded; nothing refers to it by a symbol.
    target_link_libraries(LibTorch::CUDA INTERFACE
      "-Wl,--no-as-needed,${LibTorch_CUDA_LIBRARY},${LibTorch_C10_CUDA_LIBRARY},--as-needed")
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::CPU LibTorch::C10)
endif()
