# What an installed copy holds beside the programs in bin: variants in lib/lra/variants, where the programs look for them,
# and in the component `sdk` what a variant in another tree is built with: headers, the math room, find_package(Lra) and
# lra_add_variant().
include(CMakePackageConfigHelpers)
set(LRA_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Lra)

get_property(variants GLOBAL PROPERTY LRA_VARIANTS)
if(variants)
  install(TARGETS ${variants} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/lra/variants COMPONENT variants)
endif()

# Assertions of the math room end in the core room, whose headers and dependencies a variant does not need.
target_link_libraries(lra_math INTERFACE $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_LIBDIR}/lra/liblra_core.a>)
install(FILES $<TARGET_FILE:lra_core> DESTINATION ${CMAKE_INSTALL_LIBDIR}/lra COMPONENT sdk)
install(TARGETS lra_abi lra_sdk lra_math EXPORT LraTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/lra COMPONENT sdk)
install(EXPORT LraTargets NAMESPACE lra:: DESTINATION ${LRA_CONFIG_DIR} COMPONENT sdk)
install(DIRECTORY harness/abi harness/sdk harness/math DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lra COMPONENT sdk
  FILES_MATCHING PATTERN "*.h" PATTERN isa EXCLUDE)
install(FILES harness/core/real.h harness/core/rng.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lra/core COMPONENT sdk)

configure_package_config_file(cmake/LraConfig.cmake.in ${CMAKE_BINARY_DIR}/LraConfig.cmake
  INSTALL_DESTINATION ${LRA_CONFIG_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/LraConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/LraConfig.cmake ${CMAKE_BINARY_DIR}/LraConfigVersion.cmake
  cmake/LraVariant.cmake harness/sdk/variant.map
  DESTINATION ${LRA_CONFIG_DIR} COMPONENT sdk)
