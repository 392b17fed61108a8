# Tests that run build/tvc, one per subject.


# Decoding, resizing and preparing against Pillow and torchvision.
add_executable(images_tool images_tool.c)
target_link_libraries(images_tool PRIVATE tvccore)
if(PYTHON3)
  tvc_python_test(images images.py $<TARGET_FILE:images_tool>)
endif()

# Random changes of training images against torchvision.
add_executable(transforms_tool transforms_tool.c)
target_link_libraries(transforms_tool PRIVATE tvccore)
if(PYTHON3)
  tvc_python_test(transforms transforms.py $<TARGET_FILE:transforms_tool>)
endif()

# The command line; the head finder over real networks, judged by ONNX Runtime.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(cli cli.py $<TARGET_FILE:tvc> ${CMAKE_SOURCE_DIR})
  tvc_python_test(surgery surgery.py $<TARGET_FILE:tvc> ${CMAKE_SOURCE_DIR})
  tvc_python_test(batch batch.py $<TARGET_FILE:tvc>)
  tvc_python_test(widths widths.py $<TARGET_FILE:tvc>)
  set_tests_properties(widths PROPERTIES TIMEOUT 900)
  tvc_python_test(photos photos.py $<TARGET_FILE:tvc>)
  tvc_python_test(heads heads.py $<TARGET_FILE:tvc> light)
  tvc_python_test(heads_torchvision heads.py $<TARGET_FILE:tvc> few)
  tvc_python_test(heads_all heads.py $<TARGET_FILE:tvc> all)
  set_tests_properties(heads heads_torchvision PROPERTIES TIMEOUT 900)
  set_tests_properties(heads_all PROPERTIES TIMEOUT 14400 LABELS slow)
endif()

# Movement and indexing against ONNX Runtime.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(ops_move_ort ops_move.py $<TARGET_FILE:tvc>)
endif()

# ONNX's backend cases and real models against their expected outputs; conformance.md names what fails.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(conformance conformance.py $<TARGET_FILE:tvc> small)
  tvc_python_test(conformance_light conformance.py $<TARGET_FILE:tvc> light)
  tvc_python_test(conformance_eval conformance.py $<TARGET_FILE:tvc> eval)
  tvc_python_test(conformance_light_eval conformance.py $<TARGET_FILE:tvc> light_eval)
  set_tests_properties(conformance conformance_light conformance_eval PROPERTIES TIMEOUT 900)
  set_tests_properties(conformance_light_eval PROPERTIES TIMEOUT 14400 LABELS slow)
endif()

# Element-wise operators, reductions, normalisations in all their forms against ONNX Runtime.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(ops_forms_eval ops_forms.py $<TARGET_FILE:tvc> eval)
  tvc_python_test(ops_forms_cpu ops_forms.py $<TARGET_FILE:tvc> cpu)
  set_tests_properties(ops_forms_cpu PROPERTIES TIMEOUT 1200)
endif()

# Hostile files of every kind through the program.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(hostile hostile.py $<TARGET_FILE:tvc> ${CMAKE_SOURCE_DIR})
  set_tests_properties(hostile PROPERTIES TIMEOUT 1200)
endif()

# Training steps against PyTorch: gradients of whole networks, optimizers.
add_executable(train_tool train_tool.c)
target_link_libraries(train_tool PRIVATE tvccore)
if(PYTHON3)
  tvc_python_test(optim optim.py $<TARGET_FILE:train_tool>)
  tvc_python_test(grad_models grad_models.py $<TARGET_FILE:train_tool> few)
  tvc_python_test(grad_models_all grad_models.py $<TARGET_FILE:train_tool> all)
  set_tests_properties(grad_models PROPERTIES TIMEOUT 1800)
  set_tests_properties(grad_models_all PROPERTIES TIMEOUT 7200 LABELS slow)
endif()

# Gradients of every operator and form that is imported, against central differences.
add_executable(grad_forms_tool grad_forms_tool.c)
target_link_libraries(grad_forms_tool PRIVATE tvccore)
if(PYTHON3)
  tvc_python_test(grad_forms grad_forms.py $<TARGET_FILE:grad_forms_tool> ${CMAKE_SOURCE_DIR}/frontend/import_rows.h)
endif()

# Full fine-tuning against a PyTorch script; networks of tvc's own against torchvision's.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(finetune finetune.py $<TARGET_FILE:tvc> steps)
  tvc_python_test(finetune_seeds finetune.py $<TARGET_FILE:tvc> seeds)
  tvc_python_test(zoo zoo.py $<TARGET_FILE:tvc>)
  set_tests_properties(finetune PROPERTIES TIMEOUT 1800)
  set_tests_properties(finetune_seeds PROPERTIES TIMEOUT 3600 LABELS slow)
endif()

# The memory plan recomputed; what looking at a large file takes.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(memory memory.py $<TARGET_FILE:tvc>)
  tvc_python_test(plan plan.py $<TARGET_FILE:tvc>)
  set_tests_properties(plan PROPERTIES TIMEOUT 900)
endif()

# Training runs over real models and photos.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(train_forms train_forms.py $<TARGET_FILE:tvc>)
  tvc_python_test(train_asked train_asked.py $<TARGET_FILE:tvc>)
  tvc_python_test(train_hymenoptera train.py $<TARGET_FILE:tvc> hymenoptera)
  tvc_python_test(resume train.py $<TARGET_FILE:tvc> resume)
  tvc_python_test(frozen train.py $<TARGET_FILE:tvc> frozen)
  tvc_python_test(train_loop train.py $<TARGET_FILE:tvc> train_loop)
  tvc_python_test(train_scale train.py $<TARGET_FILE:tvc> scale)
  tvc_python_test(train_features train.py $<TARGET_FILE:tvc> features)
  tvc_python_test(train_kills train.py $<TARGET_FILE:tvc> kills)
  add_library(standin_disk_full MODULE standin/disk_full.c)
  set_target_properties(standin_disk_full PROPERTIES C_VISIBILITY_PRESET default)
  target_link_libraries(standin_disk_full PRIVATE ${CMAKE_DL_LIBS})
  tvc_python_test(disk_full train.py $<TARGET_FILE:tvc> disk_full $<TARGET_FILE:standin_disk_full>)
  set_tests_properties(train_forms train_asked train_hymenoptera resume frozen train_loop train_scale train_features disk_full PROPERTIES TIMEOUT 1200)
  set_tests_properties(train_kills PROPERTIES TIMEOUT 7200 LABELS slow)
endif()

# Whole models for a GPU, compiled by NVRTC: no GPU is needed.
add_executable(cuda_tool cuda_tool.c)
target_link_libraries(cuda_tool PRIVATE tvccore)
# Stand-ins for NVIDIA's driver, compiler library and cuBLASLt: what tvc does for a GPU, on any x86-64 machine.
foreach(name driver nvrtc cublaslt)
  add_library(standin_${name} MODULE standin/${name}.c)
  set_target_properties(standin_${name} PROPERTIES C_VISIBILITY_PRESET default)
  target_compile_definitions(standin_${name} PRIVATE TVC_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_include_directories(standin_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(standin_${name} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
endforeach()
target_sources(standin_driver PRIVATE standin/driver_memory.c standin/driver_work.c standin/driver_code.c)
target_sources(standin_cublaslt PRIVATE ${CMAKE_SOURCE_DIR}/runtime/dtype.c)
target_link_libraries(standin_cublaslt PRIVATE m)
add_dependencies(test_cuda_device standin_driver standin_nvrtc standin_cublaslt)
add_dependencies(test_cuda_rows standin_driver standin_nvrtc standin_cublaslt)
add_dependencies(test_cublaslt standin_driver standin_nvrtc standin_cublaslt)
find_path(CUBLASLT_INCLUDE cublasLt.h PATHS /usr/local/cuda/include)
if(CUBLASLT_INCLUDE)
  target_include_directories(test_cublaslt SYSTEM PRIVATE ${CUBLASLT_INCLUDE})
  target_compile_definitions(test_cublaslt PRIVATE HAVE_CUBLASLT_H)
endif()
add_dependencies(test_pixels standin_driver standin_nvrtc standin_cublaslt)
add_dependencies(test_stems standin_driver standin_nvrtc standin_cublaslt)
add_dependencies(test_matrices standin_driver standin_nvrtc standin_cublaslt)
if(PYTHON3 AND TARGET tvc)
  set(standins $<TARGET_FILE:standin_driver> $<TARGET_FILE:standin_nvrtc> $<TARGET_FILE:standin_cublaslt>)
  tvc_python_test(cuda_program cuda_program.py $<TARGET_FILE:tvc> ${standins})
  tvc_python_test(cuda_pixels cuda_program.py $<TARGET_FILE:tvc> ${standins} pixels)
  set_tests_properties(cuda_program cuda_pixels PROPERTIES TIMEOUT 900)
endif()

# Heads trained on frozen features, replayed by PyTorch: schedules, losses, groups of batches, rates tried.
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(train_head train_head.py $<TARGET_FILE:tvc>)
  set_tests_properties(train_head PROPERTIES TIMEOUT 900)
endif()

# An application built against nothing but what is installed.
if(PYTHON3 AND TARGET tvc AND NOT TVC_SANITIZE)
  tvc_python_test(embed embed.py $<TARGET_FILE:tvc> ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
endif()

# compile --train, check --train, and an application that trains from a package.
add_executable(trainer ${CMAKE_SOURCE_DIR}/examples/trainer/trainer.c)
target_link_libraries(trainer PRIVATE tvcrt)
add_library(count_allocations SHARED count_allocations.c)             # not below a sanitizer, which has its own malloc
set_target_properties(count_allocations PROPERTIES C_VISIBILITY_PRESET default)
set(PRELOAD $<TARGET_FILE:count_allocations>)
if(TVC_SANITIZE)
  set(PRELOAD none)
endif()
if(PYTHON3 AND TARGET tvc)
  tvc_python_test(train_plan train_plan.py $<TARGET_FILE:tvc> $<TARGET_FILE:trainer> ${PRELOAD} ${CMAKE_SOURCE_DIR})
  set_tests_properties(train_plan PROPERTIES TIMEOUT 900)
  set_property(TEST train_plan APPEND PROPERTY ENVIRONMENT
    "GPU_DRIVER=$<TARGET_FILE:standin_driver>;GPU_NVRTC=$<TARGET_FILE:standin_nvrtc>")
endif()

# Launches, tensor cores and spills of whole models, through NVRTC; a training step on the stand-ins beside the CPU's.
if(PYTHON3)
  tvc_python_test(cuda_count cuda_models.py $<TARGET_FILE:cuda_tool> count)
  tvc_python_test(nvrtc_models cuda_models.py $<TARGET_FILE:cuda_tool> nvrtc)
  tvc_python_test(cuda_train cuda_models.py $<TARGET_FILE:train_tool> emulate)
  set_property(TEST cuda_train APPEND PROPERTY ENVIRONMENT
    "TVC_NVRTC=$<TARGET_FILE:standin_nvrtc>;TVC_CUDA=$<TARGET_FILE:standin_driver>;TVC_CUBLASLT=$<TARGET_FILE:standin_cublaslt>")
  set_tests_properties(cuda_count nvrtc_models cuda_train PROPERTIES TIMEOUT 1200)
endif()

# Where the machine has no NVRTC of its own, tools/setup.sh has put one into .venv.
file(GLOB NVRTC_WHEEL ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.1?)
foreach(name nvrtc_kernels nvrtc_models cuda_count)
  if(NVRTC_WHEEL AND TEST ${name})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "TVC_NVRTC=${NVRTC_WHEEL}")
  endif()
endforeach()

# What tvc says of NVIDIA's libraries against the toolkit's headers, where those are installed.
if(PYTHON3)
  tvc_python_test(cuda_header cuda_header.py ${CMAKE_C_COMPILER})
endif()

# The same program as `cmake --preset static` makes, linked here of what is built anyway.
set(ARCHIVES)
foreach(name xxhash protobuf-c jansson turbojpeg png webp sharpyuv z)
  find_library(${name}_ARCHIVE lib${name}.a)
  if(${name}_ARCHIVE)
    list(APPEND ARCHIVES ${${name}_ARCHIVE})
  elseif(NOT name STREQUAL sharpyuv)                                  # part of libwebp since 1.3
    set(ARCHIVES_MISSING TRUE)
  endif()
endforeach()
if(PYTHON3 AND TARGET tvc AND NOT TVC_SANITIZE AND NOT ARCHIVES_MISSING)
  add_executable(tvc_carried $<TARGET_OBJECTS:tvc>)
  set_target_properties(tvc_carried PROPERTIES LINKER_LANGUAGE C)
  add_dependencies(tvc_carried tvctools tvccore onnx-pb tvcrt)
  target_link_libraries(tvc_carried PRIVATE $<TARGET_FILE:tvctools> $<TARGET_FILE:tvccore> $<TARGET_FILE:onnx-pb> $<TARGET_FILE:tvcrt>
                                            ${ARCHIVES} m Threads::Threads ${CMAKE_DL_LIBS})
  tvc_python_test(carried carried.py $<TARGET_FILE:tvc_carried> $<TARGET_FILE:standin_driver> $<TARGET_FILE:standin_nvrtc>)
endif()

# Gradients of every operator on the stand-in of a GPU.
add_test(NAME grad_ops_cuda COMMAND test_grad_ops)
tvc_test_defaults(grad_ops_cuda program)
set_property(TEST grad_ops_cuda APPEND PROPERTY ENVIRONMENT
  "TVC_GRAD_TARGET=cuda:sm_90;TVC_CUDA=$<TARGET_FILE:standin_driver>;TVC_NVRTC=$<TARGET_FILE:standin_nvrtc>")

# The stages for a machine with a GPU, on the stand-ins of one.
if(PYTHON3 AND TARGET tvc AND NOT TVC_SANITIZE)
  tvc_python_test(gpu_script gpu_script.py ${CMAKE_BINARY_DIR} $<TARGET_FILE:standin_driver> $<TARGET_FILE:standin_nvrtc>)
  set_tests_properties(gpu_script PROPERTIES TIMEOUT 900)
endif()
