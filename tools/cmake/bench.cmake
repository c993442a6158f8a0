# Benchmarks. bench/suites and bench/macro are written against bench/common/bench.h and run by two
# drivers: bench_suites (Google Benchmark: time) and bench_fixed (a fixed number of iterations, for
# callgrind and exact counters). bench/peers is built with -DNORTHSTAR_PEERS=ON only.

find_package(benchmark QUIET)
find_path(CALLGRIND_INCLUDE_DIR valgrind/callgrind.h)
mark_as_advanced(CALLGRIND_INCLUDE_DIR)

file(GLOB bench_common CONFIGURE_DEPENDS bench/common/*.c)
add_library(northstar_bench_common STATIC ${bench_common})
target_include_directories(northstar_bench_common PUBLIC
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/bench")
target_link_libraries(northstar_bench_common PUBLIC northstar_flags northstar)

file(GLOB bench_suites CONFIGURE_DEPENDS bench/suites/*.c bench/macro/*.c)
add_library(northstar_bench_suites STATIC ${bench_suites})
target_include_directories(northstar_bench_suites PRIVATE "${PROJECT_SOURCE_DIR}/tools")
target_compile_definitions(northstar_bench_suites PRIVATE NS_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(northstar_bench_suites PUBLIC northstar_bench_common synth_repo)

# Made-up and scanned repositories, for the code graph; and the program that writes them.
file(GLOB repo_sources CONFIGURE_DEPENDS tools/gen_synth_repo/*.c)
list(FILTER repo_sources EXCLUDE REGEX "/main\\.c$")
add_library(synth_repo STATIC ${repo_sources})
target_include_directories(synth_repo PUBLIC
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tools")
target_link_libraries(synth_repo PUBLIC northstar_flags)
add_executable(gen_synth_repo tools/gen_synth_repo/main.c)
target_link_libraries(gen_synth_repo PRIVATE synth_repo)

if(benchmark_FOUND)
    enable_language(CXX)
    add_executable(bench_suites bench/gbench/gbench.cc)
    set_target_properties(bench_suites PROPERTIES CXX_STANDARD 17)
    target_include_directories(bench_suites PRIVATE "${PROJECT_SOURCE_DIR}/include")
    target_compile_definitions(bench_suites PRIVATE _GNU_SOURCE)
    target_compile_options(bench_suites PRIVATE -Wall -Wextra)
    target_include_directories(bench_suites PRIVATE "${PROJECT_SOURCE_DIR}/bench")
    target_link_libraries(bench_suites PRIVATE
        $<TARGET_FILE:northstar_bench_suites> $<TARGET_FILE:northstar_bench_common>
        $<TARGET_FILE:synth_repo> northstar benchmark::benchmark)
    add_dependencies(bench_suites northstar_bench_suites northstar_bench_common synth_repo)
else()
    message(STATUS "bench_suites is skipped: run tools/install-deps bench for Google Benchmark")
endif()

if(CALLGRIND_INCLUDE_DIR)
    add_executable(bench_fixed bench/gate/fixed.c)
    target_include_directories(bench_fixed SYSTEM PRIVATE "${CALLGRIND_INCLUDE_DIR}")
    target_link_libraries(bench_fixed PRIVATE northstar_bench_suites)
else()
    message(STATUS "bench_fixed is skipped: run tools/install-deps bench for callgrind's header")
endif()

if(NORTHSTAR_PEERS)
    include(bench/peers/peers.cmake)
endif()
