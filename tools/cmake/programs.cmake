# Programs that use the library: the ns command, the quickstart helper, and the benchmarks.
# Each part is skipped while its directory is absent or empty.

# northstar_program(TARGET SOURCES...): our flags, the static library, and the headers in src/ for
# the tools that look inside.
function(northstar_program target)
    add_executable(${target} ${ARGN})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(${target} PRIVATE northstar_flags northstar)
endfunction()

file(GLOB ns_sources CONFIGURE_DEPENDS tools/ns/*.c tools/replay/*.c)
if(ns_sources)
    northstar_program(ns ${ns_sources})
    target_include_directories(ns PRIVATE "${PROJECT_SOURCE_DIR}/tools")
    if(NORTHSTAR_INSTALL)
        install(TARGETS ns RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
    endif()
endif()

file(GLOB quickstart_sources CONFIGURE_DEPENDS tools/quickstart_src/*.c)
if(quickstart_sources)
    northstar_program(ns_quickstart ${quickstart_sources})
endif()

if(NORTHSTAR_BENCH)
    include(tools/cmake/bench.cmake)
endif()
