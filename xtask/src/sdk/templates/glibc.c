/*
 * Has libfar.so ask for the first versions of functions that glibc 2.32 to 2.34 moved into libc, which all later ones still
 * have: it then loads where glibc is older than what it was linked with. The linker takes these for the functions
 * themselves (--wrap).
 */
#include <dlfcn.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"
#define FIRST_SETAFFINITY "GLIBC_2.3.4"
#define FIRST_SETNAME "GLIBC_2.12"
#define JUMP(name) "jmp " name "@PLT"
#define STAT_VERSION 1
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17"
#define JUMP(name) "b " name
#define STAT_VERSION 0
#elif defined(__riscv)
#define FIRST "GLIBC_2.27"
#define JUMP(name) "tail " name "@plt"
#define STAT_VERSION 0
#endif
#ifndef FIRST_SETNAME
#define FIRST_SETAFFINITY FIRST
#define FIRST_SETNAME FIRST
#endif

#define OLD(name, version)                                                                                             \
    __asm__(".text\n.balign 4\n.globl __wrap_" #name "\n.hidden __wrap_" #name "\n.type __wrap_" #name ", %function\n" \
            "__wrap_" #name ":\n" JUMP("first_" #name) "\n.size __wrap_" #name ", . - __wrap_" #name "\n"              \
            ".symver first_" #name ", " #name "@" version);

/* Until 2.33 these were inside each program. */
#define STAT(name, first, what)                                                                                        \
    int first(int, what, struct stat64 *);                                                                             \
    __attribute__((visibility("hidden"))) int __wrap_##name(what place, struct stat64 *to) {                           \
        return first(STAT_VERSION, place, to);                                                                         \
    }

OLD(__pthread_key_create, FIRST)
OLD(dlsym, FIRST)
OLD(pthread_attr_getguardsize, FIRST)
OLD(pthread_attr_getstack, FIRST)
OLD(pthread_attr_setguardsize, FIRST)
OLD(pthread_attr_setstacksize, FIRST)
OLD(pthread_create, FIRST)
OLD(pthread_detach, FIRST)
OLD(pthread_getattr_np, FIRST)
OLD(pthread_getspecific, FIRST)
OLD(pthread_join, FIRST)
OLD(pthread_key_create, FIRST)
OLD(pthread_key_delete, FIRST)
OLD(pthread_once, FIRST)
OLD(pthread_setaffinity_np, FIRST_SETAFFINITY)
OLD(pthread_setname_np, FIRST_SETNAME)
OLD(pthread_setspecific, FIRST)
STAT(fstat64, __fxstat64, int)
STAT(stat64, __xstat64, const char *)
