# The sources and flags of android_bench/toolchain/native.py, for an NDK.
get_filename_component(REPOSITORY ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)

# Optimized in every build type: timings of unoptimized code mislead.
set(CMAKE_C_FLAGS_DEBUG "")
set(CMAKE_C_FLAGS_RELEASE "")

# Adds a library whose entry is one of native/{jni.c,library_jni.c,main.c}.
function(add_native_library NAME ENTRY_POINT)
  file(GLOB SOURCES CONFIGURE_DEPENDS ${REPOSITORY}/android_bench/native/*.c)
  foreach(OTHER jni.c library_jni.c main.c)
    list(REMOVE_ITEM SOURCES ${REPOSITORY}/android_bench/native/${OTHER})
  endforeach()
  file(GLOB_RECURSE OPERATION_SOURCES CONFIGURE_DEPENDS ${REPOSITORY}/converters/custom_ops/*.c)
  add_library(${NAME} SHARED ${SOURCES} ${REPOSITORY}/android_bench/native/${ENTRY_POINT} ${OPERATION_SOURCES})
  target_compile_options(${NAME} PRIVATE
      -std=c11 -O3 -DNDEBUG -ffp-contract=off -fPIC -fvisibility=hidden -Wall -Wextra -Werror)
  target_link_options(${NAME} PRIVATE
      -Wl,--gc-sections,-z,max-page-size=16384
      -Wl,--version-script=${REPOSITORY}/android_bench/native/jni.map)
  target_link_libraries(${NAME} PRIVATE log dl m)
endfunction()
