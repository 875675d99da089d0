/*
 * Runs a model once on a fixed input and prints one line: the architecture and the hash of the outputs' bits, which must
 * be the same however, and for whatever, it was linked. `probe MODEL.far`; with -DEMBEDDED the model that is linked in.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "far.h"
#ifdef EMBEDDED
#include "fashion.h"
#endif

static far_status open_model(int argc, char **argv, far_model **model) {
#ifdef EMBEDDED
    (void)argc;
    (void)argv;
    return far_model_open_static(far_model_fashion, far_model_fashion_size, NULL, model);
#else
    return far_model_open(argc > 1 ? argv[1] : "model.far", NULL, model);
#endif
}

static far_status run(far_model *model, uint64_t *hash) {
    far_tensor_info in = FAR_TENSOR_INFO_INIT;
    far_tensor_info out = FAR_TENSOR_INFO_INIT;
    far_session *session = NULL;
    float *values;
    uint64_t i;
    far_status status = far_model_input_info(model, 0, &in);
    if (status == FAR_OK) status = far_model_output_info(model, 0, &out);
    if (status == FAR_OK) status = far_session_new(model, NULL, &session);
    if (status != FAR_OK) return status;
    values = (float *)calloc((size_t)(in.element_count + out.element_count), sizeof *values);
    if (values == NULL) exit(3);
    for (i = 0; i < in.element_count; i++) values[i] = (float)(i % 251) / 251.0f;
    {
        far_input input = FAR_INPUT_F32(values, in.element_count);
        far_output output = FAR_OUTPUT_F32(values + in.element_count, out.element_count);
        status = far_session_run(session, &input, 1, &output, 1);
    }
    *hash = UINT64_C(0xcbf29ce484222325);
    for (i = 0; i < out.element_count * sizeof(float); i++) {
        *hash = (*hash ^ ((unsigned char *)(values + in.element_count))[i]) * UINT64_C(0x100000001b3);
    }
    free(values);
    far_session_free(session);
    return status;
}

int main(int argc, char **argv) {
    far_model *model = NULL;
    uint64_t hash = 0;
    far_status status = open_model(argc, argv, &model);
    if (status == FAR_OK) status = run(model, &hash);
    far_model_free(model);
    if (status != FAR_OK) {
        fprintf(stderr, "error: %s (%s)\n", far_last_error(), far_status_name(status));
        return 1;
    }
    printf("%s %016" PRIx64 "\n", far_cpu_arch(), hash);
    return 0;
}
