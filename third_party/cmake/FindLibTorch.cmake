# Finds LibTorch in a PyTorch wheel (site-packages/torch) or a LibTorch archive, and imports its libraries directly:
# PyTorch's own CMake package fails without a CUDA toolkit and overrides the GPU architectures.
#
# Searched: CMAKE_PREFIX_PATH. Defines LibTorch::LibTorch (for the CPU), LibTorch::CUDA (what a program links besides it
# to use a GPU, the CUDA runtime that LibTorch loads included; only where LibTorch_HAS_CUDA), LibTorch_VERSION and
# LibTorch_HAS_CUDA.
find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h)
find_library(LibTorch_CPU_LIBRARY torch_cpu)
find_library(LibTorch_C10_LIBRARY c10)
find_library(LibTorch_CUDA_LIBRARY torch_cuda)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda)
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY
                 LibTorch_C10_CUDA_LIBRARY)

# A program needs the very file that LibTorch loads: a second CUDA runtime would have streams of its own. An archive has
# it beside LibTorch, a wheel in a wheel of its own, and a LibTorch built from source takes the toolkit's.
if(LibTorch_C10_CUDA_LIBRARY AND NOT LibTorch_CUDART_LIBRARY)
  get_filename_component(_libtorch_folder "${LibTorch_C10_CUDA_LIBRARY}" DIRECTORY)
  file(GLOB _libtorch_cudart
    "${_libtorch_folder}/libcudart*.so*"
    "${_libtorch_folder}/../../nvidia/cu*/lib/libcudart.so.*"
    "${_libtorch_folder}/../../nvidia/cuda_runtime/lib/libcudart.so.*")
  if(_libtorch_cudart)
    list(GET _libtorch_cudart 0 _libtorch_cudart)
    get_filename_component(_libtorch_cudart "${_libtorch_cudart}" ABSOLUTE)
    set(LibTorch_CUDART_LIBRARY "${_libtorch_cudart}" CACHE FILEPATH "The CUDA runtime that LibTorch loads")
  else()
    find_library(LibTorch_CUDART_LIBRARY cudart HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES lib64)
  endif()
endif()
mark_as_advanced(LibTorch_CUDART_LIBRARY)

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
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY AND LibTorch_CUDART_LIBRARY)
    set(LibTorch_HAS_CUDA TRUE)
  else()
    set(LibTorch_HAS_CUDA FALSE)
  endif()
  add_library(LibTorch::C10 SHARED IMPORTED)
  set_target_properties(LibTorch::C10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  add_library(LibTorch::CPU SHARED IMPORTED)
  set_target_properties(LibTorch::CPU PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}")
  if(LibTorch_HAS_CUDA)
    add_library(LibTorch::CudaRuntime SHARED IMPORTED)
    set_target_properties(LibTorch::CudaRuntime PROPERTIES IMPORTED_LOCATION "${LibTorch_CUDART_LIBRARY}")
    add_library(LibTorch::CUDA INTERFACE IMPORTED)
    # libtorch_cuda registers its kernels as it is loaded; nothing refers to it by a symbol.
    target_link_libraries(LibTorch::CUDA INTERFACE
      "-Wl,--no-as-needed,${LibTorch_CUDA_LIBRARY},${LibTorch_C10_CUDA_LIBRARY},--as-needed" LibTorch::CudaRuntime)
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::CPU LibTorch::C10)
endif()
