/*
 * far.h: run compiled FAR models (model.far) from C and C++.
 *
 *     far_model *model = NULL;
 *     far_session *session = NULL;
 *     far_status status = far_model_open("model.far", NULL, &model);
 *     if (status == FAR_OK) status = far_session_new(model, NULL, &session);
 *     if (status == FAR_OK) {
 *         far_input image = FAR_INPUT_F32(pixels, 1 * 28 * 28);
 *         far_output logits = FAR_OUTPUT_F32(answer, 10);
 *         status = far_session_run(session, &image, 1, &logits, 1);
 *     }
 *     if (status != FAR_OK) fprintf(stderr, "%s: %s\n", far_status_name(status), far_last_error());
 *     far_session_free(session);
 *     far_model_free(model);
 *
 * LINKING
 *
 *     static    cc app.c -Iinclude lib/TRIPLE/libfar.a -lpthread -lm -ldl
 *     shared    cc app.c -Iinclude -Llib/TRIPLE -lfar
 *
 *   The header is C99, and as well C11 and C++17. libfar is for 64-bit little-endian Linux on x86-64,
 *   aarch64 and riscv64. It needs libc, libm, libpthread and the compiler's unwinder (libgcc_s or
 *   libgcc_eh: a C compiler links it by itself); -ldl only where glibc is older than 2.34. Fully
 *   static programs (-static) work; where the linker then warns of getaddrinfo and getpwuid_r, libfar
 *   calls neither. A program that loads libfar.so at run time opens models with
 *   FAR_MODEL_OPTIONS_INIT: far_model_open() then checks that the program and the library have the
 *   same FAR_ABI_VERSION.
 *
 * ERRORS
 *
 *   Every function that can fail returns a far_status, FAR_OK (0) or what went wrong, and hands its
 *   results out through pointers. A function that fails writes nothing through them: variables and
 *   buffers stay as they were. (One exception: after FAR_ERROR_INTERNAL and FAR_ERROR_CANCELLED the
 *   contents of the output buffers of a run are unspecified.) far_last_error() is the text for people,
 *   kept for each thread.
 *
 *   NULL, a wrong size, shape, type, name or index, and any file however damaged, give a status and
 *   do no harm. libfar never prints, never exits, and installs no signal handlers. A panic inside it
 *   ends at this boundary as FAR_ERROR_INTERNAL; the session it happened in answers
 *   FAR_ERROR_POISONED from then on and can only be freed. What can't be detected is a pointer that
 *   is neither NULL nor valid, such as a handle that was freed before.
 *
 * OWNERSHIP
 *
 *   What far_model_open*() and far_session_new() hand out belongs to the caller until
 *   far_model_free() or far_session_free(). Freeing NULL does nothing. A session keeps alive what it
 *   needs of its model: the two may be freed in either order.
 *
 *   Strings and lists that libfar hands out are constant, belong to libfar, and live as long as the
 *   handle they were asked of; those asked of no handle live for ever, but for far_last_error(). All
 *   strings are UTF-8 and end with NUL. What the caller passes in is used during the call only,
 *   but for the bytes of far_model_open_static(), the memory of far_session_new_in(), and function and
 *   context of a far_thread_pool.
 *
 * MEMORY
 *
 *   far_model_open() takes memory for the model's description, far_model_open_memory() for a copy of
 *   the artifact besides. far_session_new() takes all that runs will need. After that nothing is
 *   allocated: not by far_session_run(), whether it works or is refused, nor by any function that
 *   asks a handle, cancels, or profiles. far_session_new_in() puts arena and scratch memory into
 *   memory of the caller's; what it takes from the heap besides is the list of the session's tasks
 *   (some 200 bytes each, a few for each step and thread), names, and a stack for each thread that
 *   it starts. far_session_free() and far_model_free() give all of it back.
 *
 *   Memory that can't be had is FAR_ERROR_OUT_OF_MEMORY. Only some small things of fixed size (what
 *   starting a thread takes, counters of shared handles, some hundred bytes each) end the process
 *   where even they can't be had.
 *
 * THREADS
 *
 *   A handle that is passed as a pointer to const may be used by any number of threads at once. A
 *   model never changes: share one, and give each thread that runs it a session of its own. A session
 *   may be used by one thread after another. Two runs of one session at the same time are a mistake
 *   and the second gets FAR_ERROR_BUSY. Freeing a handle that another thread is using is undefined.
 *   Results are the same, bit for bit, on every number of threads, and, but for the precisions BF16 and
 *   F16_ARITH, on every architecture and instruction set.
 *
 *     function                                           at once with others on the same handle
 *     far_model_*, but far_model_free                    yes
 *     far_session_new, _new_in, _memory_size             yes, on the same model
 *     far_session_kernels, _threads, _memory_used,
 *       _step_count                                      yes, also during a run
 *     far_session_cancel                                 yes, also during a run: that is what it is for
 *     far_session_run, _profile, _profile_reset          one at a time, the others get FAR_ERROR_BUSY
 *     far_model_free, far_session_free                   no
 *     all others                                         have no handle: yes
 *
 *   libfar starts threads in far_session_new() and far_session_new_in() only, one less than the
 *   session computes with, and none where the options bring a thread pool. It never changes the
 *   thread that calls it. Callbacks of the caller's (far_logger, far_thread_pool) may call libfar,
 *   but not run or free the session that calls them, and must return: no longjmp(), no C++ exception.
 *
 * BATCHES AND TOKENS
 *
 *   Where far_tensor_info.dim_kinds says FAR_DIM_BATCH or FAR_DIM_TOKENS, that dimension differs from
 *   call to call: from 1 to far_tensor_info.dims. Inputs then say by far_input.dims how large the call
 *   is, all of them the same, and outputs are as large as the inputs make them:
 *
 *         int64_t ids[2 * 12], mask[2 * 12];
 *         uint64_t dims[2] = { 2, 12 };
 *         far_input inputs[2] = { FAR_INPUT_I64(ids, 2 * 12), FAR_INPUT_I64(mask, 2 * 12) };
 *         inputs[0].dims = inputs[1].dims = dims;
 *         inputs[0].rank = inputs[1].rank = 2;
 *
 *   Each element of a batch is computed by itself and gives the bits that it gives alone. In an
 *   attention mask each row is ones, at least one, then zeros: the element has as many tokens as ones,
 *   and rows of outputs past them are zeros. A run with fewer tokens takes less time.
 *
 * SIGNATURES
 *
 *   Checksums find damage, not malice. A program that may only run what its maker signed gives the
 *   maker's public key, which `farc keygen` made, and the model is refused unless `farc sign` signed
 *   these very bytes with the private key that belongs to it:
 *
 *         static const uint8_t key[FAR_PUBLIC_KEY_SIZE] = { ... };
 *         far_model_options options = FAR_MODEL_OPTIONS_INIT;
 *         options.public_key = key;
 *         status = far_model_open("model.far", &options, &model);
 *
 *   Signatures (Ed25519, of the whole file) lie in a file beside the artifact's, of its name and .sig;
 *   those of an artifact in memory are given in `signature`. They are checked before anything else of the
 *   artifact is looked at. A file is read into memory then, as with FAR_MODEL_COPY, so that what was checked is
 *   what runs. Altered bytes are FAR_ERROR_SIGNATURE, a file that was cut or grew
 *   FAR_ERROR_CORRUPT, a signature by another key FAR_ERROR_OTHER_KEY, none FAR_ERROR_UNSIGNED. Without a
 *   key nothing of this costs anything.
 *
 * STRUCTS
 *
 *   Structs begin with their size, which tells the library what the program was compiled with. Start
 *   each from its macro, *_INIT, FAR_INPUT_* or FAR_OUTPUT_F32. They grow only at the end. A
 *   library that is newer than the program takes missing fields as not set; one that is older answers
 *   FAR_ERROR_STRUCT_SIZE where a field that it does not know is set, rather than to ignore it.
 */
#ifndef FAR_H
#define FAR_H

#include <stddef.h>
#include <stdint.h>

/** Version of this header, and of the library it came with. */
#define FAR_VERSION "0.1.0"

/**
 * Version of the binary interface. Within one version functions are only added, structs only grow at
 * their end, and numbers are never reused: a program runs with every later libfar of the version.
 */
#define FAR_ABI_VERSION 1

/** The most dimensions that an input or output has. */
#define FAR_MAX_RANK 8

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ---- */

/** What a function answers: FAR_OK or one of FAR_ERROR_*. Ranges and numbers are never reused. */
typedef int32_t far_status;

enum {
    FAR_OK = 0,

    /* 1xx: the call is wrong. */
    FAR_ERROR_NULL_POINTER = 100, /**< a pointer that is needed is NULL */
    FAR_ERROR_STRUCT_SIZE = 101,  /**< struct_size is not that of a known version; see STRUCTS */
    FAR_ERROR_ABI_VERSION = 102,  /**< the program was compiled for another FAR_ABI_VERSION */
    FAR_ERROR_OPTION = 103,       /**< an option has a value that can't be met */
    FAR_ERROR_INDEX = 104,        /**< nothing of that index */
    FAR_ERROR_COUNT = 105,        /**< not as many inputs or outputs as the model has */
    FAR_ERROR_NAME = 106,         /**< no input or output of that name, or the same one twice */
    FAR_ERROR_DTYPE = 107,        /**< not the element type that the model has there */
    FAR_ERROR_SHAPE = 108,        /**< not the dimensions that the model has there */
    FAR_ERROR_SIZE = 109,         /**< not the number of bytes that it takes */
    FAR_ERROR_ALIGNMENT = 110,    /**< a pointer is not aligned to what it points at */
    FAR_ERROR_OVERLAP = 111,      /**< an output overlaps an input, another output or the session */
    FAR_ERROR_BUSY = 112,         /**< the session is running in another thread */
    FAR_ERROR_TOKEN_ID = 113,     /**< a token's id that its table does not have */
    FAR_ERROR_MASK = 114,         /**< an attention mask that is not ones, at least one, then zeros */
    FAR_ERROR_ABSENT = 115,       /**< the artifact does not say that */

    /* 2xx: the file can't be read. */
    FAR_ERROR_FILE_NOT_FOUND = 200, /**< there is no such file */
    FAR_ERROR_IO = 201,             /**< the system refused; the message says why */

    /* 3xx: the artifact can't be used, here or elsewhere. */
    FAR_ERROR_NOT_AN_ARTIFACT = 300,  /**< does not begin as a model.far does */
    FAR_ERROR_FORMAT_VERSION = 301,   /**< made for another version of the format */
    FAR_ERROR_CORRUPT = 302,          /**< shortened, lengthened or altered after it was written */
    FAR_ERROR_INVALID_ARTIFACT = 303, /**< breaks the specification of the format */

    /* 4xx: the artifact is good, but not for this machine or program. */
    FAR_ERROR_ARCH = 400,     /**< compiled for another architecture */
    FAR_ERROR_FEATURES = 401, /**< needs CPU features that are not here */
    FAR_ERROR_LIMIT = 402,    /**< more than far_model_options accepts */

    /* 5xx: the machine is short of something. */
    FAR_ERROR_OUT_OF_MEMORY = 500, /**< memory could not be had */
    FAR_ERROR_THREAD = 501,        /**< a thread could not be started */

    /* 6xx: the caller ended it. */
    FAR_ERROR_CANCELLED = 600, /**< far_session_cancel() ended the run */

    /* 7xx: who made the artifact is not as demanded; see SIGNATURES. */
    FAR_ERROR_UNSIGNED = 700,       /**< there is no signature */
    FAR_ERROR_SIGNATURE_FILE = 701, /**< the signatures are not written as they should be */
    FAR_ERROR_OTHER_KEY = 702,      /**< signed, but not by the key that is demanded */
    FAR_ERROR_SIGNATURE = 703,      /**< altered after it was signed */

    /* 9xx: a bug in libfar; please report it with its message. */
    FAR_ERROR_INTERNAL = 900, /**< a panic was caught */
    FAR_ERROR_POISONED = 901  /**< an earlier run of this session ended with FAR_ERROR_INTERNAL */
};

/** The name of a status, such as "FAR_ERROR_SHAPE"; "unknown" for any other number. Never NULL. */
const char *far_status_name(far_status status);

/**
 * What went wrong in the last call that failed on this thread, in one line: what, where, expected and
 * got. "" where none has failed. Never NULL, at most 1023 bytes, valid until the next call on this
 * thread that fails.
 */
const char *far_last_error(void);

/* ---- Library and machine ---- */

/** Version of the library, such as "0.1.0". Never NULL. */
const char *far_version(void);

/** Version of the library's binary interface, to be compared with FAR_ABI_VERSION. */
uint32_t far_abi_version(void);

/** Architecture that the library was built for: "x86_64", "aarch64" or "riscv64". Never NULL. */
const char *far_cpu_arch(void);

/* CPU features, as bits. Bits are never reused. */
#define FAR_FEATURE_AVX2 (1ull << 0)        /**< x86-64: 256-bit integer and float vectors */
#define FAR_FEATURE_FMA (1ull << 1)         /**< x86-64: fused multiply-add */
#define FAR_FEATURE_AVX512F (1ull << 2)     /**< x86-64: 512-bit vectors */
#define FAR_FEATURE_AVX512BW (1ull << 3)    /**< x86-64: 512-bit vectors of bytes and words */
#define FAR_FEATURE_AVX512VL (1ull << 4)    /**< x86-64: AVX-512 at 128 and 256 bits */
#define FAR_FEATURE_AVX512DQ (1ull << 5)    /**< x86-64: 512-bit vectors of double and quad words */
#define FAR_FEATURE_AVX512_VNNI (1ull << 6) /**< x86-64: int8 dot products, 512-bit */
#define FAR_FEATURE_AVX512_BF16 (1ull << 7) /**< x86-64: bfloat16 dot products, 512-bit */
#define FAR_FEATURE_AVX_VNNI (1ull << 8)    /**< x86-64: int8 dot products, 256-bit */
#define FAR_FEATURE_F16C (1ull << 9)        /**< x86-64: conversion of half precision */
#define FAR_FEATURE_NEON (1ull << 16)       /**< aarch64: Advanced SIMD */
#define FAR_FEATURE_DOTPROD (1ull << 17)    /**< aarch64: int8 dot products */
#define FAR_FEATURE_FP16 (1ull << 18)       /**< aarch64: half-precision arithmetic */
#define FAR_FEATURE_I8MM (1ull << 19)       /**< aarch64: int8 matrix products */
#define FAR_FEATURE_BF16 (1ull << 20)       /**< aarch64: bfloat16 dot products */
#define FAR_FEATURE_V (1ull << 32)          /**< riscv64: vector extension 1.0, VLEN >= 128 */
#define FAR_FEATURE_ZVFH (1ull << 33)       /**< riscv64: half-precision vectors */

/**
 * What this CPU and its operating system offer: FAR_FEATURE_* bits, and the same as text such as
 * "avx2+fma" ("none" for none). Either pointer may be NULL.
 *
 * Statuses: 110, 5xx, 9xx.
 */
far_status far_cpu_features(uint64_t *bits, const char **names);

/* ---- Logging ---- */

/** How important a message is. */
typedef int32_t far_log_level;

enum {
    FAR_LOG_ERROR = 1,   /**< why the call failed: what far_last_error() says */
    FAR_LOG_WARNING = 2, /**< it works, but not as well as could be expected */
    FAR_LOG_INFO = 3,    /**< what was opened or made */
    FAR_LOG_DEBUG = 4    /**< details of it */
};

/** Takes one message: a line of at most 1023 bytes that lives until the function returns. */
typedef void (*far_log_function)(void *context, far_log_level level, const char *message);

/**
 * Who hears what opening a model or making a session did, and why it failed. It is called on the
 * thread of that call and before the call returns; runs log nothing. Start from FAR_LOGGER_INIT.
 */
typedef struct far_logger {
    size_t struct_size;   /**< sizeof(far_logger) */
    far_log_function log; /**< called with each message */
    void *context;        /**< its first argument */
    far_log_level level;  /**< the least important messages that are wanted */
    uint32_t reserved;    /**< 0 */
} far_logger;

#define FAR_LOGGER_INIT(function, context, level)                                                  \
    { sizeof(far_logger), (function), (context), (level), 0 }

/* ---- Model ---- */

/** A validated artifact. Never changes; may be shared by all threads. */
typedef struct far_model far_model;

/** Bytes of a public key. */
#define FAR_PUBLIC_KEY_SIZE 32

/**
 * How a model is opened. Start from FAR_MODEL_OPTIONS_INIT. What is more than max_* say is
 * FAR_ERROR_LIMIT, whose message names the limit; the format's own limits hold besides (an arena of at most
 * 4 GiB, at most 65536 tensors, steps and elements of a batch). A public key that is none, and a signature
 * without a key, are FAR_ERROR_OPTION.
 */
typedef struct far_model_options {
    size_t struct_size;   /**< sizeof(far_model_options) */
    uint32_t abi_version; /**< FAR_ABI_VERSION; checked against the library's */
    uint32_t flags;       /**< FAR_MODEL_* */
    const far_logger *logger; /**< who hears of it; NULL: nobody */
    const uint8_t *public_key; /**< FAR_PUBLIC_KEY_SIZE bytes: who must have signed it; NULL: nobody */
    const void *signature;     /**< contents of the file of signatures; NULL: those of the file beside it */
    size_t signature_size;     /**< how many bytes are at signature */
    uint64_t max_file_size;    /**< most bytes of the artifact that are accepted; 0: any */
    uint64_t max_arena_size;   /**< most bytes of the arena, of which each session has one; 0: any */
    uint32_t max_tensors;      /**< most tensors, which the proof of the artifact takes time for; 0: any */
    uint32_t max_steps;        /**< most steps, likewise; 0: any */
    uint32_t max_tokens;       /**< most tokens of a call, where their number varies; 0: any */
    uint32_t max_batch;        /**< most elements of a batch; 0: any */
} far_model_options;

/**
 * A flag: far_model_open() reads the file into memory of its own instead of mapping it, so that the file
 * may be overwritten or shortened while the model is open. It takes as much memory as the file is large,
 * in each process, and the time to read it whole. The other functions refuse it.
 */
#define FAR_MODEL_COPY (1u << 0)

#define FAR_MODEL_OPTIONS_INIT                                                                     \
    { sizeof(far_model_options), FAR_ABI_VERSION, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Opens the artifact in file `path` and validates all of it. The file is mapped, so its weights are
 * shared between processes and come in as they are used; it must not be changed while the model is
 * open (to replace it by renaming another over it is fine): a file that is shortened ends the process with
 * SIGBUS. Whoever can't guarantee that sets FAR_MODEL_COPY. `options` may be NULL.
 *
 * Statuses: 1xx, 2xx, 3xx, 4xx, 5xx, 7xx, 9xx.
 */
far_status far_model_open(const char *path, const far_model_options *options, far_model **model);

/**
 * Opens the artifact in the `size` bytes at `data`, at any alignment, and validates all of it. They
 * are copied: the caller's memory may be reused at once. `options` may be NULL.
 *
 * Statuses: 1xx, 3xx, 4xx, 5xx, 7xx, 9xx.
 */
far_status far_model_open_memory(const void *data, size_t size, const far_model_options *options,
                                 far_model **model);

/**
 * As far_model_open_memory(), without a copy: the bytes are used in place, so they must stay as they
 * are until the model and all its sessions are freed. `data` must be a multiple of 64. Meant for the
 * constants that `farc compile --emit obj` and `--emit c` make: a program that holds its model needs
 * no file.
 *
 * Statuses: 1xx, 3xx, 4xx, 5xx, 7xx, 9xx.
 */
far_status far_model_open_static(const void *data, size_t size, const far_model_options *options,
                                 far_model **model);

/** Gives a model back. NULL is fine. Sessions of the model keep working. */
void far_model_free(far_model *model);

/** Element type. */
typedef int32_t far_dtype;

enum {
    FAR_DTYPE_F32 = 1, /**< IEEE 754 binary32 */
    FAR_DTYPE_I32 = 2, /**< signed integers of 32 bits */
    FAR_DTYPE_I64 = 3  /**< signed integers of 64 bits */
};

/** What the length of a dimension depends on. */
typedef int32_t far_dim;

enum {
    FAR_DIM_FIXED = 0, /**< on nothing: it is always the same */
    FAR_DIM_BATCH = 1, /**< on the call's number of elements, 1 or more */
    FAR_DIM_TOKENS = 2 /**< on the call's number of tokens, 1 or more */
};

/** One input or output of a model. Start from FAR_TENSOR_INFO_INIT. */
typedef struct far_tensor_info {
    size_t struct_size;          /**< sizeof(far_tensor_info), set before the call */
    const char *name;            /**< name in the source model; lives as long as the model */
    far_dtype dtype;             /**< element type */
    uint32_t rank;               /**< number of dimensions, at most FAR_MAX_RANK */
    uint64_t dims[FAR_MAX_RANK]; /**< outermost first, the most where one varies; 0 past the rank */
    uint64_t element_count;      /**< product of the dimensions, at least 1 */
    uint64_t size;               /**< bytes: element_count times the size of an element */
    far_dim dim_kinds[FAR_MAX_RANK]; /**< what each dimension depends on; FAR_DIM_FIXED past the rank */
} far_tensor_info;

#define FAR_TENSOR_INFO_INIT                                                                       \
    { sizeof(far_tensor_info), NULL, 0, 0, { 0, 0, 0, 0, 0, 0, 0, 0 }, 0, 0, { 0, 0, 0, 0, 0, 0, 0, 0 } }

/** The model's name. Statuses: 100, 110. */
far_status far_model_name(const far_model *model, const char **name);

/** How many inputs the model has. Statuses: 100, 110. */
far_status far_model_input_count(const far_model *model, size_t *count);

/** How many outputs the model has. Statuses: 100, 110. */
far_status far_model_output_count(const far_model *model, size_t *count);

/** Describes input `index`, counted from 0. Statuses: 100, 101, 104, 110. */
far_status far_model_input_info(const far_model *model, size_t index, far_tensor_info *info);

/** Describes output `index`, counted from 0. Statuses: 100, 101, 104, 110. */
far_status far_model_output_info(const far_model *model, size_t index, far_tensor_info *info);

/**
 * The CPU features that the model needs at least, in the form in which far_cpu_features() says which
 * are there. `bits` or `names` may be NULL. Statuses: 100, 110.
 */
far_status far_model_required_features(const far_model *model, uint64_t *bits, const char **names);

/** In which precision weights are stored and products are taken. */
typedef int32_t far_precision;

enum {
    FAR_PRECISION_F32 = 0,      /**< f32 */
    FAR_PRECISION_F16 = 1,      /**< weights are stored in half precision, products and sums are f32 */
    FAR_PRECISION_BF16 = 2,     /**< weights and factors are bfloat16, sums are f32 (x86-64) */
    FAR_PRECISION_INT8 = 3,     /**< weights and factors are of 8 bits, sums of 32 */
    FAR_PRECISION_F16_ARITH = 4 /**< weights, products and short sums are half precision (not x86-64) */
};

/**
 * The precisions in which the model computes: bit 1 << FAR_PRECISION_* of each, and the same as text
 * such as "f32+int8". Inputs and outputs are f32 all the same. `bits` or `names` may be NULL.
 * Statuses: 100, 110.
 */
far_status far_model_precisions(const far_model *model, uint64_t *bits, const char **names);

/** Bytes of the arena: what each session of the model takes for its values. Statuses: 100, 110. */
far_status far_model_arena_size(const far_model *model, uint64_t *size);

/* ---- What the artifact says for the model's users (farc compile --meta); it may say nothing ---- */

/** What the model does, in a sentence or two; "" where nothing is said. Statuses: 100, 110. */
far_status far_model_description(const far_model *model, const char **text);

/**
 * The names of a classifier's classes: `*count` strings at `*names`, one for each element of the last
 * dimension of output `*output`, alive as long as the model. Without labels `*count` and `*output` are
 * 0. `output` may be NULL. Statuses: 100, 110.
 */
far_status far_model_labels(const far_model *model, size_t *output, const char *const **names,
                            size_t *count);

/** How many keys with values there are, such as "license" or "author". Statuses: 100, 110. */
far_status far_model_info_count(const far_model *model, size_t *count);

/** Key `index`, counted from 0, and its value, alive as long as the model. Statuses: 100, 104, 110. */
far_status far_model_info(const far_model *model, size_t index, const char **key, const char **value);

/** Order of the last three dimensions of an input that is an image. */
typedef int32_t far_image_layout;

enum {
    FAR_IMAGE_NCHW = 1, /**< channels, height, width */
    FAR_IMAGE_NHWC = 2  /**< height, width, channels */
};

/** What the channels of an image are. */
typedef int32_t far_image_color;

enum {
    FAR_IMAGE_RGB = 1, /**< red, green, blue */
    FAR_IMAGE_BGR = 2, /**< blue, green, red */
    FAR_IMAGE_GRAY = 3 /**< 0.299 red + 0.587 green + 0.114 blue */
};

/** How an image of another size is made to fit. */
typedef int32_t far_image_resize;

enum {
    FAR_IMAGE_STRETCH = 1, /**< height and width each by themselves */
    FAR_IMAGE_CROP = 2,    /**< the shorter side becomes resize_value, then the middle is cut out */
    FAR_IMAGE_PAD = 3      /**< all of it fits, what is left is filled with resize_value, of 0 to 255 */
};

/** What a pixel of another size is made of; the filter is wider where the image becomes smaller. */
typedef int32_t far_image_filter;

enum {
    FAR_IMAGE_BILINEAR = 1, /**< a triangle */
    FAR_IMAGE_BICUBIC = 2   /**< cubic convolution with a = -1/2 */
};

/** The most channels of an image. */
#define FAR_MAX_CHANNELS 4

/**
 * How an image becomes an input: it is resized, its channels are put in order, and each value from 0 to
 * 255 becomes (value * scale - mean) / std_dev of its channel. Start from FAR_IMAGE_INFO_INIT.
 */
typedef struct far_image_info {
    size_t struct_size;              /**< sizeof(far_image_info), set before the call */
    size_t input;                    /**< which input, counted from 0 */
    uint32_t channels;               /**< its channels, at most FAR_MAX_CHANNELS */
    uint32_t height;                 /**< its height in pixels */
    uint32_t width;                  /**< its width in pixels */
    far_image_layout layout;         /**< the order of its dimensions */
    far_image_color color;           /**< what its channels are, in their order */
    far_image_resize resize;         /**< how another size is made to fit */
    uint32_t resize_value;           /**< see FAR_IMAGE_CROP and FAR_IMAGE_PAD; else 0 */
    far_image_filter filter;         /**< what a pixel of another size is made of */
    float scale;                     /**< factor of values from 0 to 255 */
    float mean[FAR_MAX_CHANNELS];    /**< subtracted after that; 0 past the channels */
    float std_dev[FAR_MAX_CHANNELS]; /**< divided by then; 0 past the channels */
    uint32_t reserved;               /**< 0 */
} far_image_info;

#define FAR_IMAGE_INFO_INIT                                                                        \
    { sizeof(far_image_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, 0 }

/**
 * How an image becomes an input. FAR_ERROR_ABSENT where the artifact says nothing about images.
 * Statuses: 100, 101, 110, 115.
 */
far_status far_model_image_info(const far_model *model, far_image_info *info);

/* ---- Session ---- */

/** What a run needs: arena, scratch memory and threads. One run at a time. */
typedef struct far_session far_session;

/** Instruction set that libfar has kernels for. */
typedef int32_t far_isa;

enum {
    FAR_ISA_BEST = 0,   /**< the best that the CPU has */
    FAR_ISA_SCALAR = 1, /**< portable code */
    FAR_ISA_AVX2 = 2,   /**< x86-64: AVX2 with FMA */
    FAR_ISA_AVX512 = 3, /**< x86-64: AVX-512 */
    FAR_ISA_NEON = 4,   /**< aarch64: Advanced SIMD */
    FAR_ISA_RVV = 5     /**< riscv64: vector extension 1.0 */
};

/** The most threads of a session. */
#define FAR_MAX_THREADS 256

/** Flag of far_session_options: take the time of each step, for far_session_profile(). */
#define FAR_SESSION_PROFILE (1u << 0)

/** One lane of a job: takes parts of the work until none is left. */
typedef void (*far_lane_function)(void *job, size_t lane);

/**
 * Calls lane(job, i) for each i below `count`, on whatever threads, the calling one included, in any
 * order, at the same time or not, and returns when all these calls have ended. Lanes never wait for
 * each other: one after another is right too, only slower. A lane that is left out or called twice
 * does no harm; a call that goes on after the return, or begins then, is undefined.
 */
typedef void (*far_parallel_for_function)(void *context, size_t count, far_lane_function lane,
                                          void *job);

/**
 * Threads of the caller's, to be used instead of starting some. Function and context must hold until
 * the session is freed. Start from FAR_THREAD_POOL_INIT.
 */
typedef struct far_thread_pool {
    size_t struct_size;                     /**< sizeof(far_thread_pool) */
    far_parallel_for_function parallel_for; /**< called by the thread that runs the session */
    void *context;                          /**< its first argument */
} far_thread_pool;

#define FAR_THREAD_POOL_INIT(parallel_for, context)                                                \
    { sizeof(far_thread_pool), (parallel_for), (context) }

/** How a session runs. Start from FAR_SESSION_OPTIONS_INIT. */
typedef struct far_session_options {
    size_t struct_size; /**< sizeof(far_session_options) */
    uint32_t threads;   /**< how many compute, the caller's included; 0: one for each CPU, or of cpus */
    far_isa isa;        /**< an upper limit: kernels of no better instruction set are used */
    uint32_t flags;     /**< FAR_SESSION_* */
    uint32_t cpu_count; /**< how many CPUs are at cpus */
    const uint32_t *cpus; /**< a CPU's number for each thread; NULL: where the system puts them */
    const far_thread_pool *pool; /**< threads to use instead of starting some; NULL: start them */
    const far_logger *logger;    /**< who hears of it; NULL: nobody */
} far_session_options;

#define FAR_SESSION_OPTIONS_INIT                                                                   \
    { sizeof(far_session_options), 0, FAR_ISA_BEST, 0, 0, NULL, NULL, NULL }

/**
 * Makes a session of a model. All memory that its runs need is taken here, and its threads are
 * started; a session of one thread starts none, and threads that no step of the model could use are
 * not started. `options` may be NULL. The environment variable FAR_ISA (scalar, avx2, avx512, neon or
 * rvv) is a limit of the instruction set too.
 *
 * Where `cpus` lists CPUs, there must be one for each thread. The thread that calls far_session_run()
 * is the caller's to place, best on cpus[0]; the threads that libfar starts are kept on the
 * others, one each. A CPU that is not there, is listed twice, or that the system refuses, and CPUs
 * together with a pool, are FAR_ERROR_OPTION.
 *
 * Statuses: 100, 101, 103, 110, 5xx, 9xx.
 */
far_status far_session_new(const far_model *model, const far_session_options *options,
                           far_session **session);

/**
 * Bytes that far_session_new_in() needs with the same options: arena and scratch memory of all
 * threads. With `threads` 0 it depends on the CPUs there are at the moment: give a number. Nothing
 * that it takes meanwhile is kept.
 *
 * Statuses: 100, 101, 103, 110, 5xx, 9xx.
 */
far_status far_session_memory_size(const far_model *model, const far_session_options *options,
                                   size_t *size);

/**
 * As far_session_new(), with arena and scratch memory in the `size` bytes at `memory`, which must be a
 * multiple of 64. They are the session's until it is freed, and never freed by it; their contents don't
 * matter. Of more than are needed the first are used.
 *
 * Statuses: 100, 101, 103, 109, 110, 5xx, 9xx.
 */
far_status far_session_new_in(const far_model *model, const far_session_options *options, void *memory,
                              size_t size, far_session **session);

/** Gives a session back and ends its threads. NULL is fine. */
void far_session_free(far_session *session);

/** What the caller supplies for one input. */
typedef struct far_input {
    size_t struct_size;   /**< sizeof(far_input) */
    const char *name;     /**< which input; NULL: the one of the same position */
    const void *data;     /**< elements, row-major, aligned to their type */
    size_t size;          /**< bytes at data: as many as the shape takes */
    far_dtype dtype;      /**< element type */
    uint32_t rank;        /**< how many dimensions are at dims */
    const uint64_t *dims; /**< say how large the call is; NULL, with rank 0: where none varies */
} far_input;

/** Where one output goes. */
typedef struct far_output {
    size_t struct_size;   /**< sizeof(far_output) */
    const char *name;     /**< which output; NULL: the one of the same position */
    void *data;           /**< room for the elements, row-major, aligned to their type */
    size_t size;          /**< bytes at data: as many as the shape takes */
    far_dtype dtype;      /**< element type */
    uint32_t rank;        /**< how many dimensions are at dims */
    const uint64_t *dims; /**< to be compared with the call's; NULL, with rank 0: not given */
} far_output;

/** A far_input by position: `count` floats at `pointer`. */
#define FAR_INPUT_F32(pointer, count)                                                              \
    { sizeof(far_input), NULL, (pointer), (count) * sizeof(float), FAR_DTYPE_F32, 0, NULL }

/** A far_input by position: `count` integers of 32 bits at `pointer`. */
#define FAR_INPUT_I32(pointer, count)                                                              \
    { sizeof(far_input), NULL, (pointer), (count) * sizeof(int32_t), FAR_DTYPE_I32, 0, NULL }

/** A far_input by position: `count` integers of 64 bits at `pointer`. */
#define FAR_INPUT_I64(pointer, count)                                                              \
    { sizeof(far_input), NULL, (pointer), (count) * sizeof(int64_t), FAR_DTYPE_I64, 0, NULL }

/** A far_output by position: room for `count` floats at `pointer`. */
#define FAR_OUTPUT_F32(pointer, count)                                                             \
    { sizeof(far_output), NULL, (pointer), (count) * sizeof(float), FAR_DTYPE_F32, 0, NULL }

/**
 * Runs the model once. Each input and each output of the model is given exactly once, by name or by
 * position. All elements of an array have the same struct_size, which is also the distance between
 * them. Everything is checked before the first byte is written. Allocates nothing, and waits for
 * nothing but the session's own threads.
 *
 * Statuses: 100, 101, 105 to 114, 9xx.
 */
far_status far_session_run(far_session *session, const far_input *inputs, size_t input_count,
                           const far_output *outputs, size_t output_count);

/**
 * Ends the run in progress, from any thread: parts of its work that have not begun (each takes
 * microseconds to a few milliseconds) are left out, and far_session_run() answers
 * FAR_ERROR_CANCELLED. The session is as good as before, and its next run as any other.
 *
 * Exactly one run is meant, the one in progress: from when its arguments have been checked until it
 * returns. If there is one, it answers FAR_ERROR_CANCELLED, even where all its work was done by then. If
 * there is none, nothing happens, and a run that begins later is not affected: a program that
 * wants to stop one that is only about to begin keeps a flag of its own. Never waits.
 *
 * Statuses: 100, 110.
 */
far_status far_session_cancel(const far_session *session);

/**
 * The kernels that run, such as "gemm_f32_14x32_avx512", each once: `*count` strings at `*names`, alive
 * as long as the session. Statuses: 100, 110.
 */
far_status far_session_kernels(const far_session *session, const char *const **names, size_t *count);

/** How many threads compute, the caller's included. Statuses: 100, 110. */
far_status far_session_threads(const far_session *session, size_t *threads);

/**
 * Bytes of memory that the session holds: arena and scratch, without the model and the stacks of its
 * threads. Statuses: 100, 110.
 */
far_status far_session_memory_used(const far_session *session, uint64_t *size);

/** One step of a session, and the time in it. Start from FAR_STEP_PROFILE_INIT. */
typedef struct far_step_profile {
    size_t struct_size;      /**< sizeof(far_step_profile), set before the call */
    const char *name;        /**< the step's name, from the source model; lives as long as the session */
    const char *op;          /**< what it does, such as "gemm" or "lstm"; lives for ever */
    const char *kernel;      /**< the kernel that does most of it, "" where it only moves elements */
    far_precision precision; /**< the precision of its weights; f32 where it has none */
    uint32_t reserved;       /**< 0 */
    uint64_t runs;           /**< completed runs; 0 without FAR_SESSION_PROFILE */
    uint64_t nanoseconds;    /**< time in the step, over all runs; 0 without FAR_SESSION_PROFILE */
} far_step_profile;

#define FAR_STEP_PROFILE_INIT { sizeof(far_step_profile), NULL, NULL, NULL, 0, 0, 0, 0 }

/** How many steps a run has. Statuses: 100, 110. */
far_status far_session_step_count(const far_session *session, size_t *count);

/**
 * Describes step `index`, counted from 0, in the order in which they run. Times are taken where the
 * session's options have FAR_SESSION_PROFILE, at the cost of two looks at the clock a step.
 *
 * Statuses: 100, 101, 104, 110, 112, 9xx.
 */
far_status far_session_profile(const far_session *session, size_t index, far_step_profile *profile);

/** Sets runs and times to 0. Statuses: 100, 110, 112, 9xx. */
far_status far_session_profile_reset(far_session *session);

#ifdef __cplusplus
}
#endif

#endif /* FAR_H */
