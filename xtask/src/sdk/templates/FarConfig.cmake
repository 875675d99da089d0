# find_package(Far): targets Far::far (libfar.so) and Far::far_static (libfar.a) of @TRIPLE@, wherever the SDK was moved.
get_filename_component(_far_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_far_include "${_far_lib}/../../include" ABSOLUTE)

if(NOT TARGET Far::far)
  add_library(Far::far SHARED IMPORTED)
  set_target_properties(Far::far PROPERTIES
    IMPORTED_LOCATION "${_far_lib}/@SONAME@"
    IMPORTED_SONAME "@SONAME@"
    INTERFACE_INCLUDE_DIRECTORIES "${_far_include}")
endif()

if(NOT TARGET Far::far_static)
  add_library(Far::far_static STATIC IMPORTED)
  set_target_properties(Far::far_static PROPERTIES
    IMPORTED_LOCATION "${_far_lib}/libfar.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES "C"
    INTERFACE_INCLUDE_DIRECTORIES "${_far_include}"
    INTERFACE_LINK_LIBRARIES "pthread;m;${CMAKE_DL_LIBS}")
endif()

unset(_far_lib)
unset(_far_include)
