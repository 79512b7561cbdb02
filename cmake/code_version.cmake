# code_version: the sources that decide the bits of a run -> code_version.cpp. One version a backend:
# a hash of core (without core/study, which only stores and prints) and of the backend's own folder.
# Run as: cmake -DSOURCE=<root> -DVERSION=<x.y.z> -DOUTPUT=<file> -P code_version.cmake

function(hash_of result)
  set(digests "")
  foreach(file IN LISTS ARGN)
    file(SHA256 ${SOURCE}/${file} digest)
    string(APPEND digests "${file} ${digest}\n")
  endforeach()
  string(SHA256 digest "${digests}")
  set(${result} ${digest} PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE core RELATIVE ${SOURCE} ${SOURCE}/core/*.cpp ${SOURCE}/core/*.h)
list(FILTER core EXCLUDE REGEX "^core/study/")
hash_of(core_hash ${core})

set(cases "")
file(GLOB backends RELATIVE ${SOURCE} ${SOURCE}/backends/*)
foreach(backend IN LISTS backends)
  file(GLOB_RECURSE sources RELATIVE ${SOURCE} ${SOURCE}/${backend}/*.cpp ${SOURCE}/${backend}/*.h
    ${SOURCE}/${backend}/*.cu ${SOURCE}/${backend}/*.cuh)
  if(sources)
    hash_of(backend_hash ${sources})
    string(SHA256 both "${core_hash} ${backend_hash}")
    string(SUBSTRING ${both} 0 12 short)
    get_filename_component(name ${backend} NAME)
    string(APPEND cases "  if (backend == \"${name}\") return \"${VERSION}-${short}\";\n")
  endif()
endforeach()

file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
// code_version: made by cmake/code_version.cmake from the sources.
#include "core/study/code_version.h"

namespace expgraph {

std::string code_version(std::string_view backend) {
@cases@  return "@VERSION@";
}

}  // namespace expgraph
]])
