/*
 * own_memory: all that runs need lies in memory of the program's own, here a static array, as where nothing may be allocated
 * after the start. Everything is asked for and made before the loop; the loop allocates nothing.
 *
 *     own_memory MODEL.far [RUNS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

#define MEMORY_BYTES (4u << 20)
#define MOST_ELEMENTS 1024

/* libfar asks for a multiple of 64. */
static unsigned char memory[MEMORY_BYTES] __attribute__((aligned(64)));
static float image[64 * MOST_ELEMENTS];
static float logits[MOST_ELEMENTS];

static int fail(const char *what) {
    fprintf(stderr, "error: %s: %s\n", what, far_last_error());
    return 1;
}

int main(int argc, char **argv) {
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_tensor_info in = FAR_TENSOR_INFO_INIT, out = FAR_TENSOR_INFO_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    size_t needed = 0;
    long runs, i;
    double sum = 0.0;

    if (argc < 2) return fprintf(stderr, "usage: own_memory MODEL.far [RUNS]\n"), 2;
    runs = argc > 2 ? strtol(argv[2], NULL, 10) : 10;
    options.threads = 1; /* starts no thread, so that no stack is allocated either */
    if (far_model_open(argv[1], NULL, &model)) return fail("model");
    if (far_session_memory_size(model, &options, &needed)) return fail("memory");
    if (needed > sizeof memory) {
        fprintf(stderr, "error: the model needs %zu bytes, there are %zu\n", needed, sizeof memory);
        return 1;
    }
    if (far_session_new_in(model, &options, memory, sizeof memory, &session)) return fail("session");
    if (far_model_input_info(model, 0, &in) || far_model_output_info(model, 0, &out)) return fail("ports");
    if (in.element_count > sizeof image / sizeof *image || out.element_count > MOST_ELEMENTS) {
        fprintf(stderr, "error: the model's image or answer is too large for this program\n");
        return 1;
    }

    /* From here on nothing is allocated. */
    for (i = 0; i < runs; i++) {
        far_input input = FAR_INPUT_F32(image, (size_t)in.element_count);
        far_output output = FAR_OUTPUT_F32(logits, (size_t)out.element_count);
        image[i % (long)in.element_count] = 1.0f;
        if (far_session_run(session, &input, 1, &output, 1)) return fail("run");
        sum += (double)logits[0];
    }

    printf("%ld runs in %zu of %zu bytes of its own, sum of the first logits %.6f\n", runs, needed,
           sizeof memory, sum);
    far_session_free(session);
    far_model_free(model);
    return 0;
}
