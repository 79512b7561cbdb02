# The tests of the CUDA kernels: their sources compiled for the host with an emulation of CUDA's
# headers, on every machine; and compiled by nvcc, where there is one, as tests labelled gpu.
file(GLOB cuda_tests CONFIGURE_DEPENDS cuda_*_test.cpp)
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/backends/libtorch/cuda/*.cu)

function(cuda_test_program program label prefix)
  add_executable(${program} ${ARGN})
  target_link_libraries(${program} PRIVATE expgraph_test_support)
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

  if(TARGET expgraph_cuda_kernels AND NOT name STREQUAL cuda_emulation)
    cuda_test_program(gpu_${program} gpu gpu_${name} ${source})
    target_compile_definitions(gpu_${program} PRIVATE EXPGRAPH_ON_DEVICE)
    target_link_libraries(gpu_${program} PRIVATE expgraph_cuda_kernels CUDA::cudart_static)
  endif()
endforeach()
