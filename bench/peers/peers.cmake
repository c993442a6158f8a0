# bench/peers: the workloads on NorthstarDB and on other stores, a program for each store, and one
# for the limits of the machine. `bench/peers/run` builds and runs them. A store whose package is
# missing is skipped: tools/install-deps peers.

set(peer_workloads
    bench/peers/harness.c bench/peers/main.c bench/peers/load.c bench/peers/read.c
    bench/peers/write.c bench/peers/durable.c bench/peers/recover.c)
add_library(northstar_peer_workloads OBJECT ${peer_workloads})
target_link_libraries(northstar_peer_workloads PUBLIC northstar_bench_common)

add_custom_target(bench_peers)

# peer_program(NAME [LIBRARY...])
function(peer_program name)
    add_executable(bench_peer_${name}
        bench/peers/${name}.c $<TARGET_OBJECTS:northstar_peer_workloads>)
    target_link_libraries(bench_peer_${name} PRIVATE northstar_bench_common ${ARGN})
    add_dependencies(bench_peers bench_peer_${name})
endfunction()

# peer_store(NAME HEADER LIBRARY PACKAGE)
function(peer_store name header library package)
    string(TOUPPER PEER_${name} prefix)
    find_path(${prefix}_INCLUDE_DIR ${header})
    find_library(${prefix}_LIBRARY ${library})
    mark_as_advanced(${prefix}_INCLUDE_DIR ${prefix}_LIBRARY)
    if(NOT ${prefix}_INCLUDE_DIR OR NOT ${prefix}_LIBRARY)
        message(STATUS "bench/peers: ${name} is skipped: ${package} is missing")
        return()
    endif()
    peer_program(${name} "${${prefix}_LIBRARY}")
    target_include_directories(bench_peer_${name} SYSTEM PRIVATE "${${prefix}_INCLUDE_DIR}")
endfunction()

peer_program(northstar)
peer_store(lmdb lmdb.h lmdb liblmdb-dev)
peer_store(sqlite sqlite3.h sqlite3 libsqlite3-dev)
peer_store(rocksdb rocksdb/c.h rocksdb librocksdb-dev)
peer_store(leveldb leveldb/c.h leveldb libleveldb-dev)
peer_store(wiredtiger wiredtiger.h wiredtiger libwiredtiger-dev)

# RocksDB's C interface has no function that gives its version.
if(TARGET bench_peer_rocksdb)
    set(rocksdb_version "")
    file(STRINGS "${PEER_ROCKSDB_INCLUDE_DIR}/rocksdb/version.h" lines
        REGEX "^#define ROCKSDB_(MAJOR|MINOR|PATCH) ")
    foreach(line IN LISTS lines)
        string(REGEX MATCH "[0-9]+$" number "${line}")
        list(APPEND rocksdb_version "${number}")
    endforeach()
    list(JOIN rocksdb_version "." rocksdb_version)
    target_compile_definitions(bench_peer_rocksdb PRIVATE PEER_VERSION="${rocksdb_version}")
endif()

add_executable(bench_peer_limits bench/peers/limits.c bench/peers/harness.c)
target_link_libraries(bench_peer_limits PRIVATE northstar_bench_common)
add_dependencies(bench_peers bench_peer_limits)
