# Third-party libraries, all from Debian, and the ONNX schema compiled by protobuf-c.
#
# A static library does not say what it needs itself, so those follow it here by hand; a
# library found statically and one found dynamically are cached under different names, so that
# TVC_STATIC_DEPS may be switched in an existing build folder.
set(TVC_LINKAGE SHARED)
if(TVC_STATIC_DEPS)
  set(TVC_LINKAGE STATIC)
endif()

function(tvc_library target library)
  cmake_parse_arguments(ARG OPTIONAL "" "" ${ARGN})
  if(TVC_STATIC_DEPS)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  endif()
  find_library(${library}_${TVC_LINKAGE} ${library})
  if(${library}_${TVC_LINKAGE})
    target_link_libraries(${target} INTERFACE ${${library}_${TVC_LINKAGE}})
  elseif(NOT ARG_OPTIONAL)
    message(FATAL_ERROR "lib${library} is missing: run tools/setup.sh build")
  endif()
endfunction()

function(tvc_header target header library)
  find_path(${library}_INCLUDE ${header})
  if(NOT ${library}_INCLUDE)
    message(FATAL_ERROR "${header} is missing: run tools/setup.sh build")
  endif()
  target_include_directories(${target} SYSTEM INTERFACE ${${library}_INCLUDE})
endfunction()

function(tvc_dependency target header library)
  tvc_header(${target} ${header} ${library})
  tvc_library(${target} ${library})
endfunction()

add_library(tvc_rt_deps INTERFACE)                   # xxHash is compiled into the runtime
tvc_header(tvc_rt_deps xxhash.h xxhash)
target_compile_definitions(tvc_rt_deps INTERFACE XXH_INLINE_ALL)

add_library(tvc_deps INTERFACE)
tvc_dependency(tvc_deps xxhash.h xxhash)
tvc_dependency(tvc_deps protobuf-c/protobuf-c.h protobuf-c)
tvc_dependency(tvc_deps jansson.h jansson)
tvc_dependency(tvc_deps turbojpeg.h turbojpeg)
tvc_dependency(tvc_deps png.h png)
tvc_dependency(tvc_deps webp/decode.h webp)
if(TVC_STATIC_DEPS)
  tvc_library(tvc_deps sharpyuv OPTIONAL)            # part of libwebp since 1.3
endif()
tvc_dependency(tvc_deps zlib.h z)                    # after png, which needs it
target_link_libraries(tvc_deps INTERFACE m Threads::Threads)

find_program(PROTOC_C protoc-c)
find_path(ONNX_PROTO_DIR onnx/onnx.proto)
if(NOT PROTOC_C OR NOT ONNX_PROTO_DIR)
  message(FATAL_ERROR "protoc-c or onnx/onnx.proto is missing: run tools/setup.sh build")
endif()
set(PB ${CMAKE_BINARY_DIR}/onnx-pb)
file(MAKE_DIRECTORY ${PB})
add_custom_command(OUTPUT ${PB}/onnx.pb-c.c ${PB}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${PB} -I${ONNX_PROTO_DIR}/onnx ${ONNX_PROTO_DIR}/onnx/onnx.proto
  DEPENDS ${ONNX_PROTO_DIR}/onnx/onnx.proto
  VERBATIM)
add_library(onnx-pb STATIC ${PB}/onnx.pb-c.c ${PB}/onnx.pb-c.h)
target_include_directories(onnx-pb SYSTEM PUBLIC ${PB})
target_link_libraries(onnx-pb PUBLIC tvc_deps)
