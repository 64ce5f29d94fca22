# lra_unite(TARGET): its sources of one folder are compiled as one, since reading the headers takes longer than the code.
# Private names must therefore differ within a folder. For clang-tidy and the like: -D LRA_UNITE=OFF.
option(LRA_UNITE "Compile the sources of a folder as one" ON)
function(lra_unite target)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source PARENT_PATH folder)
    string(MAKE_C_IDENTIFIER "${target}/${folder}" group)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${LRA_UNITE} UNITY_BUILD_MODE GROUP)
endfunction()

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
  lra_unite(lra_${name})
endfunction()
