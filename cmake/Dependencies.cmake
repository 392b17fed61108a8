# Third-party libraries, all from Debian, and the ONNX schema compiled by protobuf-c.
find_package(PkgConfig REQUIRED)
if(TVC_STATIC_DEPS)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()

function(tvc_dependency target header library)
  find_path(${library}_INCLUDE ${header} REQUIRED)
  find_library(${library}_LIBRARY ${library} REQUIRED)
  target_include_directories(${target} SYSTEM INTERFACE ${${library}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${${library}_LIBRARY})
endfunction()

add_library(tvc_rt_deps INTERFACE)
tvc_dependency(tvc_rt_deps xxhash.h xxhash)

add_library(tvc_deps INTERFACE)
tvc_dependency(tvc_deps protobuf-c/protobuf-c.h protobuf-c)
tvc_dependency(tvc_deps jansson.h jansson)
tvc_dependency(tvc_deps turbojpeg.h turbojpeg)
tvc_dependency(tvc_deps png.h png)
tvc_dependency(tvc_deps webp/decode.h webp)
tvc_dependency(tvc_deps zlib.h z)
target_link_libraries(tvc_deps INTERFACE tvc_rt_deps)

find_program(PROTOC_C protoc-c REQUIRED)
find_path(ONNX_PROTO_DIR onnx/onnx.proto REQUIRED)
set(PB ${CMAKE_BINARY_DIR}/onnx-pb)
file(MAKE_DIRECTORY ${PB})
add_custom_command(OUTPUT ${PB}/onnx.pb-c.c ${PB}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --c_out=${PB} -I${ONNX_PROTO_DIR}/onnx ${ONNX_PROTO_DIR}/onnx/onnx.proto
  DEPENDS ${ONNX_PROTO_DIR}/onnx/onnx.proto)
add_library(onnx-pb STATIC ${PB}/onnx.pb-c.c ${PB}/onnx.pb-c.h)
target_include_directories(onnx-pb SYSTEM PUBLIC ${PB})
target_link_libraries(onnx-pb PUBLIC tvc_deps)
