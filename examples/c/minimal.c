/*
 * minimal: opens a model, runs it once on zeros, and says which class is the likeliest. The least that a program needs.
 *
 *     minimal MODEL.far
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

int main(int argc, char **argv) {
    far_model *model = NULL;
    far_session *session = NULL;
    far_tensor_info in = FAR_TENSOR_INFO_INIT, out = FAR_TENSOR_INFO_INIT;
    float *image, *logits;
    const char *const *labels = NULL;
    size_t count = 0, best = 0, i;

    if (argc != 2) return fprintf(stderr, "usage: minimal MODEL.far\n"), 2;
    if (far_model_open(argv[1], NULL, &model) || far_session_new(model, NULL, &session) ||
        far_model_input_info(model, 0, &in) || far_model_output_info(model, 0, &out) ||
        far_model_labels(model, NULL, &labels, &count)) {
        return fprintf(stderr, "error: %s\n", far_last_error()), 1;
    }
    image = calloc((size_t)in.element_count, sizeof *image);
    logits = calloc((size_t)out.element_count, sizeof *logits);
    if (image != NULL && logits != NULL) {
        far_input input = FAR_INPUT_F32(image, (size_t)in.element_count);
        far_output output = FAR_OUTPUT_F32(logits, (size_t)out.element_count);
        if (far_session_run(session, &input, 1, &output, 1)) {
            return fprintf(stderr, "error: %s\n", far_last_error()), 1;
        }
        for (i = 1; i < out.element_count; i++) {
            if (logits[i] > logits[best]) best = i;
        }
        printf("class %zu (%s), logit %.4f\n", best, best < count ? labels[best] : "no label", (double)logits[best]);
    }
    free(image);
    free(logits);
    far_session_free(session);
    far_model_free(model);
    return 0;
}
