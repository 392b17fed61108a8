# Tests that run build/tvc, one per subject.


# Decoding, resizing and preparing against Pillow and torchvision.
add_executable(images_tool images_tool.c)
target_link_libraries(images_tool PRIVATE tvccore)
if(PYTHON3)
  tvc_python_test(images images.py $<TARGET_FILE:images_tool>)
endif()
