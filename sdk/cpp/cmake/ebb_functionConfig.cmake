include(${CMAKE_CURRENT_LIST_DIR}/ebb_functionTargets.cmake)

# ebb_add_function(NAME SOURCE...): the library NAME.so, written beside the CMakeLists.txt that calls it, where
# `ebb deploy` packs it. The C++ library is inside it, so that the node needs none of the same version.
function(ebb_add_function name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE ebb::function)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" CXX_VISIBILITY_PRESET hidden
                                           VISIBILITY_INLINES_HIDDEN ON
                                           LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc -Wl,--no-undefined)
endfunction()
