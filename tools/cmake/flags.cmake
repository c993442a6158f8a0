# northstar_flags: how our own code is compiled. It is private to this build; users inherit nothing.

add_library(northstar_flags INTERFACE)

target_compile_definitions(northstar_flags INTERFACE
    _GNU_SOURCE
    _FILE_OFFSET_BITS=64
    $<$<BOOL:${NORTHSTAR_CHECKED}>:NS_CHECKED=1>)

set(warnings
    -Wall -Wextra -Wpedantic
    -Wconversion -Wsign-conversion
    -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes
    -Wcast-align
    -Wswitch-enum -Wimplicit-fallthrough
    -Wvla
    -Wundef
    -Wwrite-strings
    -Wformat=2)
if(NORTHSTAR_WERROR)
    list(APPEND warnings -Werror)
endif()

# -UNDEBUG: our assertions do not depend on it, and assert() in a test or an example must stay.
target_compile_options(northstar_flags INTERFACE
    ${warnings}
    -UNDEBUG
    -fstack-protector-strong)

if(NORTHSTAR_SANITIZE)
    set(sanitize -fsanitize=${NORTHSTAR_SANITIZE} -fno-sanitize-recover=all)
    target_compile_options(northstar_flags INTERFACE ${sanitize} -fno-omit-frame-pointer)
    target_link_options(northstar_flags INTERFACE ${sanitize})
endif()
if(NORTHSTAR_FUZZ)
    target_compile_options(northstar_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(NORTHSTAR_COVERAGE)
    target_compile_options(northstar_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(northstar_flags INTERFACE --coverage)
endif()

# C11 without extensions: -std=c11.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
