# lra_room(NAME [PUBLIC target...] [PRIVATE target...]): one folder, one static library, one door.
# All *.cpp of the folder belong to it; others include its headers as "<room>/file.h".
function(lra_room name)
  cmake_parse_arguments(arg "" "" "PUBLIC;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_library(lra_${name} STATIC ${sources})
  add_library(lra::${name} ALIAS lra_${name})
  set_target_properties(lra_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(lra_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/harness> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/lra>)
  target_link_libraries(lra_${name} PUBLIC ${arg_PUBLIC} PRIVATE $<BUILD_INTERFACE:lra_flags> ${arg_PRIVATE})
endfunction()
