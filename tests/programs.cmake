# Tests that run build/tvc, one per subject.


# Decoding, resizing and preparing against Pillow and torchvision.
add_executable(images_tool images_tool.c)
target_link_libraries(images_tool PRIVATE tvccore)
if(PYTHON3)
  add_test(NAME images COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/images.py $<TARGET_FILE:images_tool>)
  tvc_test_defaults(images program)
  set_tests_properties(images PROPERTIES SKIP_RETURN_CODE 77)
endif()
