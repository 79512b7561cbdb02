# The tests of the CUDA kernels: their sources compiled for the host with an emulation of CUDA's
# headers, on every machine; and compiled by nvcc, where there is one, as tests labelled gpu.
file(GLOB cuda_tests CONFIGURE_DEPENDS cuda_*_test.cpp)
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/backends/libtorch/cuda/*.cu)

function(cuda_test_program program label prefix)
  add_executable(${program} ${ARGN})
  target_link_libraries(${program} PRIVATE expgraph_test_support)
  target_compile_definitions(${program} PRIVATE
    EXPGRAPH_SOURCE_DIR="${CMAKE_SOURCE_DIR}" EXPGRAPH_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_dependencies(${program} expgraph_reference)
  doctest_discover_tests(${program} TEST_PREFIX "${prefix}: "
    PROPERTIES LABELS ${label} SKIP_REGULAR_EXPRESSION "test skipped: ")
endfunction()

# A driver for tests of what is said where the GPU is not as it should be.
add_library(fake_driver SHARED support/cuda/fake_driver.cpp)
set_target_properties(fake_driver PROPERTIES OUTPUT_NAME cuda SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fake_driver)
target_sources(driver_test PRIVATE ${CMAKE_SOURCE_DIR}/backends/libtorch/driver.cpp)
target_compile_definitions(driver_test PRIVATE EXPGRAPH_FAKE_DRIVER="$<TARGET_FILE:fake_driver>")
add_dependencies(driver_test fake_driver)
add_dependencies(libtorch_test fake_driver)

add_library(cuda_kernels_on_host STATIC ${cuda_sources} support/cuda/emulation.cpp)
set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX)
target_include_directories(cuda_kernels_on_host BEFORE PUBLIC support/cuda)
target_link_libraries(cuda_kernels_on_host PUBLIC expgraph_core)

# The LibTorch backend as on a GPU, with kernels and launches emulated on the CPU: a module of its own
# in a folder of its own.
if(TARGET expgraph_libtorch_objects)
  set(emulated ${CMAKE_BINARY_DIR}/emulated)
  set(libtorch ${CMAKE_SOURCE_DIR}/backends/libtorch)
  add_library(expgraph_libtorch_emulated MODULE support/cuda/host_part.cpp
    ${libtorch}/cuda/augment_lowering.cpp ${libtorch}/cuda/lowering.cpp
    ${libtorch}/cuda/norm_fusion.cpp ${libtorch}/cuda/update_lowering.cpp)
  set_target_properties(expgraph_libtorch_emulated PROPERTIES PREFIX "" OUTPUT_NAME expgraph_libtorch
    LIBRARY_OUTPUT_DIRECTORY ${emulated} CXX_VISIBILITY_PRESET hidden)
  target_link_libraries(expgraph_libtorch_emulated PRIVATE expgraph_libtorch_objects
    cuda_kernels_on_host)
  add_custom_command(TARGET expgraph_libtorch_emulated POST_BUILD COMMAND ${CMAKE_COMMAND} -E
    create_symlink $<TARGET_FILE:expgraph_reference> ${emulated}/$<TARGET_FILE_NAME:expgraph_reference>)
endif()

foreach(source ${cuda_tests})
  get_filename_component(program ${source} NAME_WE)
  string(REGEX REPLACE "_test$" "" name ${program})
  if(name STREQUAL cuda_emulation)
    set(label quick)
  else()
    set(label backends)
  endif()
  cuda_test_program(${program} ${label} ${name} ${source})
  target_link_libraries(${program} PRIVATE cuda_kernels_on_host)
  if(name MATCHES "cuda_(backend|feed|run)" AND TARGET expgraph_libtorch_objects)
    add_dependencies(${program} expgraph_libtorch_emulated)
  endif()

  if(TARGET expgraph_cuda_kernels AND NOT name STREQUAL cuda_emulation)
    cuda_test_program(gpu_${program} gpu gpu_${name} ${source})
    target_compile_definitions(gpu_${program} PRIVATE EXPGRAPH_ON_DEVICE)
    target_link_libraries(gpu_${program} PRIVATE expgraph_cuda_kernels CUDA::cudart_static)
    if(name MATCHES "cuda_(backend|feed|run)" AND TARGET expgraph_libtorch_cuda)
      add_dependencies(gpu_${program} expgraph_libtorch expgraph_libtorch_cuda)
    endif()
  endif()
endforeach()
