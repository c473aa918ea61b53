# Finds the CUDA compiler as INFERCEPT_CUDA says. Sets INFERCEPT_CUDA_FOUND, and what kernels are compiled with:
# INFERCEPT_CUDA_OPTIONS. The runtime is linked statically: a machine without a driver loads the addon and finds no
# device.
set(INFERCEPT_CUDA_FOUND OFF)
if(NOT INFERCEPT_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "INFERCEPT_CUDA is AUTO, ON or OFF, not ${INFERCEPT_CUDA}")
endif()
if(INFERCEPT_CUDA STREQUAL "OFF")
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  # check_language looks at PATH and CUDACXX alone.
  find_program(INFERCEPT_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
  if(INFERCEPT_NVCC)
    set(CMAKE_CUDA_COMPILER ${INFERCEPT_NVCC} CACHE FILEPATH "CUDA compiler")
  endif()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(INFERCEPT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "INFERCEPT_CUDA=ON, but no CUDA compiler was found: put nvcc on PATH or set CUDACXX")
  endif()
  message(STATUS "CUDA: no compiler, the addon is for the CPU alone")
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES OFF) # chosen below, by the compiler's version
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
  message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} does not know C++20: 12.0 or newer is needed")
endif()
# CMake 3.25 does not know the flag of nvcc 13 for C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)

if(NOT CMAKE_CUDA_ARCHITECTURES)
  # 9.0a: the matrix instructions of Hopper. The PTX of 8.0 is for devices that are newer than the compiler.
  set(CMAKE_CUDA_ARCHITECTURES 80 86-real 89-real 90a-real)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND CMAKE_CUDA_ARCHITECTURES 100-real 120-real)
  endif()
endif()
# Constexpr functions of base/ and kernels/ are called on the device, too.
set(INFERCEPT_CUDA_OPTIONS --expt-relaxed-constexpr "SHELL:-Werror all-warnings" -Xcompiler=-Wall,-Wextra,-Werror)
set(INFERCEPT_CUDA_FOUND ON)
message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
