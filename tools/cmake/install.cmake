# Headers, libraries, the ns command, northstar.pc and the package for find_package(northstar).
# Everything installed finds its neighbours by relative paths, so the prefix may be moved.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/northstar")
set(installed_libraries northstar)
if(NORTHSTAR_SHARED)
    list(APPEND installed_libraries northstar_shared)
endif()

install(DIRECTORY include/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(TARGETS ${installed_libraries} EXPORT northstar
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT northstar NAMESPACE northstar:: DESTINATION "${package_dir}"
    FILE northstarTargets.cmake)

configure_package_config_file(tools/cmake/northstarConfig.cmake.in
    "${PROJECT_BINARY_DIR}/northstarConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/northstarConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES
    "${PROJECT_BINARY_DIR}/northstarConfig.cmake"
    "${PROJECT_BINARY_DIR}/northstarConfigVersion.cmake"
    DESTINATION "${package_dir}")

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# ${pcfiledir} is LIBDIR/pkgconfig; how many steps lead up to the prefix depends on LIBDIR.
file(RELATIVE_PATH NORTHSTAR_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" NORTHSTAR_PC_PREFIX "${NORTHSTAR_PC_PREFIX}")
configure_file(tools/cmake/northstar.pc.in "${PROJECT_BINARY_DIR}/northstar.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/northstar.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
