# libtorch: the CUDA kernels where nvcc is; the module of the LibTorch backend where LibTorch is,
# which is what Torch_DIR (environment) names, else what tools/setup.sh has unpacked; and the
# module's CUDA part where both are.
if(CMAKE_CUDA_COMPILER)
  file(GLOB cuda_kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libtorch/cuda/*.cu)
  add_library(expgraph_cuda_kernels STATIC ${cuda_kernels})
  target_include_directories(expgraph_cuda_kernels PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(expgraph_cuda_kernels PRIVATE --expt-relaxed-constexpr)
  set_target_properties(expgraph_cuda_kernels PROPERTIES CUDA_VISIBILITY_PRESET hidden)
endif()

if(EXPGRAPH_SANITIZE)
  return()  # what LibTorch allocates is not watched, and containers cross its border
endif()
if(DEFINED ENV{Torch_DIR})
  cmake_path(SET torch NORMALIZE "$ENV{Torch_DIR}/../../..")  # of <torch>/share/cmake/Torch
else()
  set(torch ${EXPGRAPH_DEPS_DIR}/libtorch/torch)
endif()
set(torch_version_file ${torch}/include/torch/headeronly/version.h)
if(NOT EXISTS ${torch_version_file})
  if(DEFINED ENV{Torch_DIR})
    message(FATAL_ERROR "Torch_DIR is $ENV{Torch_DIR}: there is no LibTorch 2.11 in ${torch}")
  endif()
  return()  # ./expgraph --backend libtorch and ./dev fetch it
endif()
file(STRINGS ${torch_version_file} torch_version REGEX "^#define TORCH_VERSION_M(AJOR|INOR) ")
list(TRANSFORM torch_version REPLACE "^.* " "")
list(JOIN torch_version . torch_version)
if(NOT torch_version STREQUAL "2.11")
  message(FATAL_ERROR "${torch} is LibTorch ${torch_version}, expected 2.11")
endif()

# The headers are seen by the module alone, and last: they bring their own fmt and oneDNN. Tests make
# another module of the same objects, with another device.cpp.
file(GLOB libtorch_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libtorch/*.cpp)
list(FILTER libtorch_sources EXCLUDE REGEX "/(device|driver)\\.cpp$")
add_library(expgraph_libtorch_objects OBJECT ${libtorch_sources})
set_target_properties(expgraph_libtorch_objects PROPERTIES CXX_VISIBILITY_PRESET hidden)
target_compile_options(expgraph_libtorch_objects PUBLIC "SHELL:-idirafter ${torch}/include")
target_compile_definitions(expgraph_libtorch_objects PUBLIC AT_PER_OPERATOR_HEADERS)
target_link_libraries(expgraph_libtorch_objects PUBLIC expgraph_core ${torch}/lib/libtorch_cpu.so
  ${torch}/lib/libc10.so)
target_precompile_headers(expgraph_libtorch_objects PRIVATE libtorch/aten.h)

add_library(expgraph_libtorch MODULE libtorch/device.cpp libtorch/driver.cpp)
set_target_properties(expgraph_libtorch PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden)
target_link_libraries(expgraph_libtorch PRIVATE expgraph_libtorch_objects)

add_custom_target(program_libtorch DEPENDS program expgraph_libtorch)

if(TARGET expgraph_cuda_kernels AND EXISTS ${torch}/lib/libtorch_cuda.so)
  # A module of its own: without a GPU nothing of CUDA is loaded. What it does not find in itself or
  # in the libraries named here would be found missing on a machine with a GPU alone.
  file(GLOB cuda_part CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libtorch/cuda/*.cpp)
  add_library(expgraph_libtorch_cuda MODULE ${cuda_part} libtorch/driver.cpp)
  set_target_properties(expgraph_libtorch_cuda PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden
    CUDA_RUNTIME_LIBRARY Shared)
  target_compile_options(expgraph_libtorch_cuda PRIVATE "SHELL:-idirafter ${torch}/include")
  target_compile_definitions(expgraph_libtorch_cuda PRIVATE AT_PER_OPERATOR_HEADERS)
  target_link_libraries(expgraph_libtorch_cuda PRIVATE expgraph_core expgraph_cuda_kernels
    -Wl,--no-as-needed ${torch}/lib/libtorch_cuda.so -Wl,--as-needed ${torch}/lib/libc10_cuda.so
    ${torch}/lib/libtorch_cpu.so ${torch}/lib/libc10.so CUDA::cudart
    -Wl,--no-undefined -Wl,--allow-shlib-undefined)
  add_dependencies(program_libtorch expgraph_libtorch_cuda)
endif()
