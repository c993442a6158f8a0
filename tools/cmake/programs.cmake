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

# bench/NAME.c -> bench_NAME; bench/common/*.c goes into each of them. A benchmark named
# *_vs_lmdb.c is built when LMDB is there; the library itself never sees LMDB.
if(NORTHSTAR_BENCH)
    find_library(LMDB_LIBRARY lmdb)
    find_path(LMDB_INCLUDE_DIR lmdb.h)
    mark_as_advanced(LMDB_LIBRARY LMDB_INCLUDE_DIR)
    file(GLOB bench_common CONFIGURE_DEPENDS bench/common/*.c)
    file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
    foreach(source IN LISTS bench_sources)
        get_filename_component(name "${source}" NAME_WE)
        set(uses_lmdb OFF)
        if(name MATCHES "_vs_lmdb$")
            set(uses_lmdb ON)
            if(NOT LMDB_LIBRARY OR NOT LMDB_INCLUDE_DIR)
                message(STATUS "bench/${name}.c is skipped: run tools/install-deps bench for LMDB")
                continue()
            endif()
        endif()
        northstar_program(bench_${name} "${source}" ${bench_common})
        target_include_directories(bench_${name} PRIVATE "${PROJECT_SOURCE_DIR}/bench")
        if(uses_lmdb)
            target_include_directories(bench_${name} SYSTEM PRIVATE "${LMDB_INCLUDE_DIR}")
            target_link_libraries(bench_${name} PRIVATE "${LMDB_LIBRARY}")
        endif()
    endforeach()
endif()
