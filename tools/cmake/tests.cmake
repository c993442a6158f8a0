# tests/KIND/NAME_test.c -> one executable and one ctest entry KIND.NAME_test with the label KIND.
# hard/NAME/*.c          -> one executable hard_NAME, run by hard/run; hard/A/B/*.c: hard_A_B;
#                           hard/common/*.c goes into each of them.
# hard/fuzz/NAME.c       -> one executable fuzz_NAME, only with NORTHSTAR_FUZZ.
# examples/NAME/*.c      -> one executable example_NAME; test.sh beside it is its ctest entry.
# Each part is skipped while its directory is absent or empty.

enable_testing()

find_path(CMOCKA_INCLUDE_DIR cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
mark_as_advanced(CMOCKA_INCLUDE_DIR CMOCKA_LIBRARY)
if(NOT CMOCKA_INCLUDE_DIR OR NOT CMOCKA_LIBRARY)
    message(FATAL_ERROR "cmocka is missing; run tools/install-deps test (libcmocka-dev)")
endif()

# What every test and rack sees: the library inside and out, cmocka, and tests/harness.
add_library(northstar_testing INTERFACE)
target_include_directories(northstar_testing INTERFACE
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
target_compile_definitions(northstar_testing INTERFACE NS_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_include_directories(northstar_testing SYSTEM INTERFACE "${CMOCKA_INCLUDE_DIR}")
target_link_libraries(northstar_testing INTERFACE northstar_flags northstar "${CMOCKA_LIBRARY}")

file(GLOB harness_sources CONFIGURE_DEPENDS tests/harness/*.c)
if(harness_sources)
    add_library(northstar_harness STATIC ${harness_sources})
    target_link_libraries(northstar_harness PUBLIC northstar_testing)
    set(testing northstar_harness)
else()
    set(testing northstar_testing)
endif()

if(NORTHSTAR_TESTS)
    foreach(kind unit format model)
        file(GLOB sources CONFIGURE_DEPENDS tests/${kind}/*_test.c)
        foreach(source IN LISTS sources)
            get_filename_component(name "${source}" NAME_WE)
            add_executable(${kind}_${name} "${source}")
            target_link_libraries(${kind}_${name} PRIVATE ${testing})
            set_target_properties(${kind}_${name} PROPERTIES
                OUTPUT_NAME ${name}
                RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/${kind}")
            add_test(NAME ${kind}.${name} COMMAND ${kind}_${name}
                WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/tests/${kind}")
            set_tests_properties(${kind}.${name} PROPERTIES LABELS ${kind} TIMEOUT 240)
        endforeach()
    endforeach()

    file(GLOB example_dirs CONFIGURE_DEPENDS LIST_DIRECTORIES true examples/*)
    foreach(dir IN LISTS example_dirs)
        file(GLOB sources CONFIGURE_DEPENDS "${dir}/*.c")
        if(NOT IS_DIRECTORY "${dir}" OR NOT sources)
            continue()
        endif()
        # An example sees what a user sees: the public headers and the library.
        get_filename_component(name "${dir}" NAME)
        add_executable(example_${name} ${sources})
        target_link_libraries(example_${name} PRIVATE northstar_flags northstar)
        set_target_properties(example_${name} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/examples")
        if(EXISTS "${dir}/test.sh")
            add_test(NAME example.${name}
                COMMAND bash "${dir}/test.sh" $<TARGET_FILE:example_${name}>
                WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/examples")
            set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 240)
        endif()
    endforeach()
endif()

# Without NORTHSTAR_HARD the simulated power cuts are built all the same: they are a quick test too.
file(GLOB rack_common CONFIGURE_DEPENDS hard/common/*.c)
add_library(northstar_racks STATIC ${rack_common})
target_include_directories(northstar_racks PUBLIC "${PROJECT_SOURCE_DIR}/hard")
target_link_libraries(northstar_racks PUBLIC ${testing})
set(racks crash/simulated)
if(NORTHSTAR_HARD)
    file(GLOB racks CONFIGURE_DEPENDS LIST_DIRECTORIES true RELATIVE
        "${PROJECT_SOURCE_DIR}/hard" hard/* hard/*/*)
endif()
foreach(rack IN LISTS racks)
    file(GLOB sources CONFIGURE_DEPENDS "hard/${rack}/*.c")
    if(NOT sources OR rack MATCHES "^(common|fuzz)$")
        continue()
    endif()
    string(REPLACE "/" "_" name "${rack}")
    add_executable(hard_${name} ${sources})
    target_link_libraries(hard_${name} PRIVATE northstar_racks)
    set_target_properties(hard_${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/hard")
endforeach()
if(NORTHSTAR_TESTS AND TARGET hard_crash_simulated)
    add_test(NAME model.crash_simulated COMMAND hard_crash_simulated --seconds 15 --jobs 1)
    set_tests_properties(model.crash_simulated PROPERTIES LABELS model TIMEOUT 240)
endif()

if(NORTHSTAR_HARD AND NORTHSTAR_FUZZ)
    file(GLOB fuzz_sources CONFIGURE_DEPENDS hard/fuzz/*.c)
    foreach(source IN LISTS fuzz_sources)
        get_filename_component(name "${source}" NAME_WE)
        add_executable(fuzz_${name} "${source}")
        target_link_libraries(fuzz_${name} PRIVATE ${testing})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        set_target_properties(fuzz_${name} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/hard")
    endforeach()
endif()

# After a test run in the coverage preset: cmake --build --preset coverage --target coverage_report
if(NORTHSTAR_COVERAGE)
    find_program(GCOVR gcovr)
    if(GCOVR)
        add_custom_target(coverage_report
            COMMAND "${GCOVR}" --root "${PROJECT_SOURCE_DIR}"
                --filter "${PROJECT_SOURCE_DIR}/src/" --gcov-ignore-parse-errors --print-summary
                "${PROJECT_BINARY_DIR}"
            WORKING_DIRECTORY "${PROJECT_BINARY_DIR}" VERBATIM)
    endif()
endif()
