# northstar (static) and northstar_shared, from objects compiled once, position-independent.
# Inside this build and after find_package(northstar) both are called northstar::northstar and
# northstar::shared.

file(GLOB_RECURSE northstar_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*.c")
if(NOT northstar_sources)
    message(FATAL_ERROR "src/ holds no .c file, so there is no library to build")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# xxHash is compiled in from its header (XXH_INLINE_ALL); no library is linked.
find_path(NORTHSTAR_XXHASH_INCLUDE_DIR xxhash.h)
mark_as_advanced(NORTHSTAR_XXHASH_INCLUDE_DIR)
if(NOT NORTHSTAR_XXHASH_INCLUDE_DIR)
    message(FATAL_ERROR "xxhash.h is missing; run tools/install-deps build (libxxhash-dev)")
endif()

add_library(northstar_objects OBJECT ${northstar_sources})
target_include_directories(northstar_objects PRIVATE
    "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
target_include_directories(northstar_objects SYSTEM PRIVATE "${NORTHSTAR_XXHASH_INCLUDE_DIR}")
target_link_libraries(northstar_objects PRIVATE northstar_flags Threads::Threads)
set_target_properties(northstar_objects PROPERTIES
    POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden)

# northstar_library(TARGET KIND NAME_IN_PACKAGE)
function(northstar_library target kind package_name)
    add_library(${target} ${kind} $<TARGET_OBJECTS:northstar_objects>)
    add_library(northstar::${package_name} ALIAS ${target})
    target_include_directories(${target} PUBLIC
        "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>")
    target_link_libraries(${target} PUBLIC Threads::Threads)
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME northstar
        EXPORT_NAME ${package_name}
        LINKER_LANGUAGE C)
endfunction()

northstar_library(northstar STATIC northstar)
if(NORTHSTAR_SHARED)
    northstar_library(northstar_shared SHARED shared)
    set_target_properties(northstar_shared PROPERTIES
        VERSION "${PROJECT_VERSION}"
        SOVERSION "${PROJECT_VERSION_MAJOR}")
endif()
