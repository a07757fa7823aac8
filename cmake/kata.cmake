# Build rules of the project. Every folder of src/ declares its targets with these functions only, so that flags, the
# precompiled header, test registration and fuzzing are decided in this one file.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

option(KATA_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(KATA_TSAN "ThreadSanitizer" OFF)
option(KATA_FUZZ "build the libFuzzer targets" OFF)
option(KATA_TESTS "build the unit tests" ON)
option(KATA_FAILPOINTS "compile the failpoints of the fault tests in (never in a release)" OFF)

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(PkgConfig REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(cache_home $ENV{XDG_CACHE_HOME})
  if(NOT cache_home)
    set(cache_home $ENV{HOME}/.cache)
  endif()
  if(DEFINED ENV{CCACHE_DIR})
    set(cache_folder $ENV{CCACHE_DIR})
  elseif(DEFINED ENV{KATA_CPP_CACHE})
    set(cache_folder $ENV{KATA_CPP_CACHE}/ccache)
  else()
    set(cache_folder ${cache_home}/kata-cpp/ccache)
  endif()
  # Paths relative to the checkout and no compile directory in the hash: several checkouts share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DIR=${cache_folder} CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_PCH_EXTSUM=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_MAXSIZE=8G ${CCACHE})
endif()

# The interface target that every target links: standard, warnings, hardening, sanitizers.
add_library(kata_options INTERFACE)
target_include_directories(kata_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(kata_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Wcast-qual
  -fstack-protector-strong -ffunction-sections -fdata-sections -fno-plt)
target_compile_definitions(kata_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_REGEX BOOST_ASIO_SEPARATE_COMPILATION
  KATA_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
target_link_options(kata_options INTERFACE -fuse-ld=lld -Wl,--gc-sections -Wl,--as-needed -static-libstdc++ -static-libgcc
  $<$<CONFIG:Release>:-Wl,-O2,--icf=safe,-s>)
target_link_libraries(kata_options INTERFACE Threads::Threads)
if(KATA_SANITIZE)
  target_compile_options(kata_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer $<$<BOOL:${KATA_FUZZ}>:-fsanitize=fuzzer-no-link>)
  target_link_options(kata_options INTERFACE -fsanitize=address,undefined)
endif()
if(KATA_TSAN)
  target_compile_options(kata_options INTERFACE -fsanitize=thread)
  target_link_options(kata_options INTERFACE -fsanitize=thread)
endif()

# One precompiled header (standard library, Asio) for all targets that name PCH; built once and reused.
add_library(kata_pch STATIC ${CMAKE_SOURCE_DIR}/cmake/asio_impl.cpp)
target_link_libraries(kata_pch PUBLIC kata_options)
target_precompile_headers(kata_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
target_compile_options(kata_pch PRIVATE -Xclang -fno-pch-timestamp)
# The precompiled header's bytes hold the checkout's path, so that ccache would miss everything in a fresh clone; it hashes this description of it instead.
file(SHA256 ${CMAKE_SOURCE_DIR}/cmake/pch.h KATA_PCH_TEXT)
# The header knows no failpoints: a release build with them (preset faults) shares the objects of the one without.
set(KATA_PCH_POINTS ${KATA_FAILPOINTS})
if(CMAKE_BUILD_TYPE STREQUAL Release)
  set(KATA_PCH_POINTS OFF)
endif()
file(WRITE ${CMAKE_BINARY_DIR}/CMakeFiles/kata_pch.dir/cmake_pch.hxx.pch.sum
  "${KATA_PCH_TEXT} ${CMAKE_CXX_COMPILER_VERSION} ${Boost_VERSION_STRING} ${CMAKE_BUILD_TYPE} ${CMAKE_CXX_FLAGS_DEBUG} ${CMAKE_CXX_FLAGS_RELEASE} "
  "${KATA_SANITIZE} ${KATA_TSAN} ${KATA_FUZZ} ${KATA_PCH_POINTS} ${PROJECT_VERSION}\n")

# Boost.JSON, for targets whose .cpp files include it (never their headers).
add_library(kata_json STATIC ${CMAKE_SOURCE_DIR}/cmake/json_impl.cpp)
target_link_libraries(kata_json PUBLIC kata_options)

function(kata_library)
  cmake_parse_arguments(A "PCH" "NAME" "SRCS;DEPS" ${ARGN})
  if(A_SRCS)
    add_library(${A_NAME} STATIC ${A_SRCS})
    target_link_libraries(${A_NAME} PUBLIC kata_options ${A_DEPS})
    kata_use_pch(${A_NAME} "${A_PCH}")
  else()
    add_library(${A_NAME} INTERFACE)
    target_link_libraries(${A_NAME} INTERFACE kata_options ${A_DEPS})
  endif()
endfunction()

# Not REUSE_FROM: it names the header by its absolute path, and with that in the command line no other checkout's cache entry fits. Ninja compiles in the
# build folder, so a relative path does.
function(kata_use_pch target wanted)
  if(NOT wanted)
    return()
  endif()
  target_link_libraries(${target} PUBLIC kata_pch)
  target_compile_options(${target} PRIVATE
    "SHELL:-Winvalid-pch -Xclang -fno-pch-timestamp -Xclang -include-pch -Xclang CMakeFiles/kata_pch.dir/cmake_pch.hxx.pch")
  get_target_property(sources ${target} SOURCES)
  set_source_files_properties(${sources} PROPERTIES
    OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/CMakeFiles/kata_pch.dir/cmake_pch.hxx.pch)
endfunction()

# The compiler's start file for static programs registers all unwind tables; the first exception then sorts them, which takes milliseconds. The one for dynamic
# programs leaves them to the sorted table that the linker makes (--eh-frame-hdr), and serves static programs as well.
function(kata_start_files target)
  foreach(file crt1.o crti.o crtbegin.o crtend.o crtn.o)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${file} OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT IS_ABSOLUTE "${path}")
      return()
    endif()
    list(APPEND paths ${path})
  endforeach()
  list(SUBLIST paths 0 3 first)
  list(SUBLIST paths 3 2 last)
  target_link_options(${target} PRIVATE -nostartfiles ${first})
  target_link_libraries(${target} PRIVATE ${last})
endfunction()

function(kata_program)
  cmake_parse_arguments(A "STATIC;PCH" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${A_NAME} ${A_SRCS})
  target_link_libraries(${A_NAME} PRIVATE kata_options ${A_DEPS})
  kata_use_pch(${A_NAME} "${A_PCH}")
  # The sanitizers need the dynamic loader, so a static program is static only without them.
  if(A_STATIC AND NOT KATA_SANITIZE AND NOT KATA_TSAN)
    target_link_options(${A_NAME} PRIVATE -static)
    kata_start_files(${A_NAME})
  endif()
endfunction()

function(kata_test)
  cmake_parse_arguments(A "PCH" "NAME" "SRCS;DEPS" ${ARGN})
  if(NOT KATA_TESTS)
    return()
  endif()
  add_executable(${A_NAME} ${A_SRCS})
  target_link_libraries(${A_NAME} PRIVATE kata_options ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  kata_use_pch(${A_NAME} "${A_PCH}")
  set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
  add_test(NAME ${A_NAME} COMMAND ${A_NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${A_NAME} PROPERTIES TIMEOUT 180)
endfunction()

# A fuzz target; CORPUS is the folder of seeds. Without KATA_FUZZ the corpus runs once as an ordinary test.
function(kata_fuzz)
  cmake_parse_arguments(A "PCH" "NAME;CORPUS" "SRCS;DEPS" ${ARGN})
  if(KATA_FUZZ)
    add_executable(${A_NAME} ${A_SRCS})
    target_link_options(${A_NAME} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/fuzz)
    file(APPEND ${CMAKE_BINARY_DIR}/fuzz_targets.txt "${A_NAME} ${A_CORPUS}\n")
  elseif(KATA_TESTS)
    add_executable(${A_NAME} ${A_SRCS} ${CMAKE_SOURCE_DIR}/cmake/corpus_main.cpp)
    set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
    add_test(NAME ${A_NAME} COMMAND ${A_NAME} ${CMAKE_SOURCE_DIR}/${A_CORPUS})
  else()
    return()
  endif()
  target_link_libraries(${A_NAME} PRIVATE kata_options ${A_DEPS})
  kata_use_pch(${A_NAME} "${A_PCH}")
endfunction()

if(KATA_TESTS)
  find_package(GTest REQUIRED)
endif()
file(WRITE ${CMAKE_BINARY_DIR}/fuzz_targets.txt "")

# Libraries of the distribution, linked statically where it ships an archive: one name each.
function(kata_import name archive)
  if(TARGET kata_ext_${name})
    return()
  endif()
  find_library(KATA_LIB_${name} NAMES ${archive} ${name} REQUIRED)
  add_library(kata_ext_${name} INTERFACE)
  target_link_libraries(kata_ext_${name} INTERFACE ${KATA_LIB_${name}})
endfunction()
