/*
 * classify: runs an image classifier compiled by farc over the images of a .npy file and scores it.
 *
 *     classify MODEL.far IMAGES.npy LABELS.npy [LOGITS.npy] [--count N] [--threads N] [--json]
 *
 * IMAGES is f32, one image after another, normalised as the model expects; LABELS is i64, one class an image; LOGITS is
 * f32, what another runtime answered, to compare with. Exit status: 0; 1 where something is wrong with the files; 2 on
 * wrong usage.
 */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "far.h"
#include "npy.h"

#define SHOWN 8 /* images whose answers are printed one by one */

static const char *const FASHION[10] = { "T-shirt/top", "trouser", "pullover", "dress", "coat",
                                         "sandal", "shirt", "sneaker", "bag", "ankle boot" };

typedef struct arguments {
    const char *files[4]; /* model, images, labels, logits; the last may be NULL */
    size_t count; /* 0: all images */
    uint32_t threads; /* 0: the library's choice */
    int json;
} arguments;

typedef struct score {
    size_t images;
    size_t right;
    double max_abs_diff; /* from the reference, where there is one */
    double logits_range; /* largest minus smallest: of the reference, else of our own */
    uint64_t fnv1a64; /* of the bytes of all logits: the same on every machine */
} score;

/* All that main() must give back. */
typedef struct state {
    npy_array images;
    npy_array labels;
    npy_array reference;
    float *logits;
    far_model *model;
    far_session *session;
} state;

static int usage(const char *wrong, const char *value) {
    fprintf(stderr,
            "error: %s `%s`\n"
            "usage: classify MODEL.far IMAGES.npy LABELS.npy [LOGITS.npy] [--count N] [--threads N] [--json]\n",
            wrong, value);
    return 2;
}

static int bad_file(const char *path, const char *wrong) {
    fprintf(stderr, "error: `%s` %s\n", path, wrong);
    return 1;
}

static int bad_status(const char *what, far_status status) {
    fprintf(stderr, "error: %s: %s (%s)\n", what, far_last_error(), far_status_name(status));
    return 1;
}

/* 0 where `text` is no number between 1 and `max`. */
static unsigned long number(const char *text, unsigned long max) {
    char *end;
    unsigned long value = text != NULL && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    return value != 0 && value <= max && *end == '\0' ? value : 0;
}

static int parse(int argc, char **argv, arguments *arguments) {
    int files = 0;
    int i;
    memset(arguments, 0, sizeof *arguments);
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            arguments->json = 1;
        } else if (strcmp(argv[i], "--count") == 0) {
            arguments->count = number(argv[++i], 1000000000ul);
            if (arguments->count == 0) return usage("not a number of images:", argv[i] ? argv[i] : "");
        } else if (strcmp(argv[i], "--threads") == 0) {
            arguments->threads = (uint32_t)number(argv[++i], 1024);
            if (arguments->threads == 0) return usage("not a number of threads:", argv[i] ? argv[i] : "");
        } else if (argv[i][0] == '-' || files == 4) {
            return usage("unknown argument", argv[i]);
        } else {
            arguments->files[files++] = argv[i];
        }
    }
    if (files < 3) {
        return usage("missing argument", files == 0 ? "MODEL.far" : files == 1 ? "IMAGES.npy" : "LABELS.npy");
    }
    return 0;
}

static size_t argmax(const float *values, size_t count) {
    size_t best = 0;
    size_t i;
    for (i = 1; i < count; i++) {
        if (values[i] > values[best]) best = i;
    }
    return best;
}

static void print_class(const char *before, int64_t label, size_t classes) {
    if (classes == 10 && label >= 0 && label < 10) {
        printf("%s%-11s", before, FASHION[label]);
    } else {
        printf("%s%-11" PRId64, before, label);
    }
}

static void print_answer(size_t image, const float *logits, size_t classes, int64_t label) {
    size_t answer = argmax(logits, classes);
    printf("image %4zu  ", image);
    print_class("predicted ", (int64_t)answer, classes);
    print_class("  true ", label, classes);
    printf("  logit %8.4f%s\n", (double)logits[answer], (int64_t)answer == label ? "" : "  wrong");
}

static score judge(const float *logits, const float *reference, const int64_t *labels, size_t images, size_t classes) {
    score score = { 0, 0, 0.0, 0.0, UINT64_C(0xcbf29ce484222325) };
    const float *ranged = reference != NULL ? reference : logits;
    double low = (double)ranged[0];
    double high = low;
    size_t i;
    score.images = images;
    for (i = 0; i < images; i++) {
        if ((int64_t)argmax(logits + i * classes, classes) == labels[i]) score.right++;
    }
    for (i = 0; i < images * classes; i++) {
        double value = (double)ranged[i];
        if (value < low) low = value;
        if (value > high) high = value;
        if (reference != NULL) {
            double diff = fabs((double)logits[i] - (double)reference[i]);
            if (diff > score.max_abs_diff || isnan(diff)) score.max_abs_diff = diff;
            if (isnan(score.max_abs_diff)) reference = NULL; /* nothing is further off */
        }
    }
    score.logits_range = high - low;
    for (i = 0; i < images * classes * sizeof(float); i++) {
        score.fnv1a64 = (score.fnv1a64 ^ ((const unsigned char *)logits)[i]) * UINT64_C(0x100000001b3);
    }
    return score;
}

/* JSON has no NaN and no infinity. */
static void print_json_number(const char *key, double value, int known) {
    if (known && isfinite(value)) {
        printf(",\"%s\":%.9g", key, value);
    } else {
        printf(",\"%s\":null", key);
    }
}

static void print_score(const score *score, const char *const *kernels, size_t kernel_count, uint64_t arena_bytes,
                        int has_reference, int json) {
    double top1 = (double)score->right / (double)score->images;
    size_t i;
    if (json) {
        printf("{\"arch\":\"%s\",\"kernels\":[", far_cpu_arch());
        for (i = 0; i < kernel_count; i++) printf("%s\"%s\"", i == 0 ? "" : ",", kernels[i]);
        printf("],\"images\":%zu", score->images);
        print_json_number("top1", top1, 1);
        print_json_number("max_abs_diff", score->max_abs_diff, has_reference);
        print_json_number("logits_range", score->logits_range, 1);
        printf(",\"arena_bytes\":%" PRIu64 ",\"logits_fnv1a64\":\"%016" PRIx64 "\"}\n", arena_bytes, score->fnv1a64);
        return;
    }
    printf("\narch      %s\nkernels  ", far_cpu_arch());
    for (i = 0; i < kernel_count; i++) printf(" %s", kernels[i]);
    printf("\nimages    %zu\ntop-1     %.1f %%\n", score->images, 100.0 * top1);
    if (has_reference) {
        printf("max diff  %.3g from the reference logits, whose range is %.3g\n", score->max_abs_diff,
               score->logits_range);
    }
    printf("arena     %" PRIu64 " bytes\nlogits    fnv1a64 %016" PRIx64 "\n", arena_bytes, score->fnv1a64);
}

/* The model must take one image and answer one row of logits. */
static int describe(const far_model *model, const char *path, far_tensor_info *image, far_tensor_info *logits) {
    size_t inputs = 0;
    size_t outputs = 0;
    far_status status = far_model_input_count(model, &inputs);
    if (status == FAR_OK) status = far_model_output_count(model, &outputs);
    if (status == FAR_OK && (inputs != 1 || outputs != 1)) {
        return bad_file(path, "is no classifier: it has not one input and one output");
    }
    if (status == FAR_OK) status = far_model_input_info(model, 0, image);
    if (status == FAR_OK) status = far_model_output_info(model, 0, logits);
    return status == FAR_OK ? 0 : bad_status("model", status);
}

static int load(const arguments *arguments, state *state, far_tensor_info *image, far_tensor_info *logits) {
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_model_options model_options = FAR_MODEL_OPTIONS_INIT;
    const char *wrong;
    far_status status = far_model_open(arguments->files[0], &model_options, &state->model);
    if (status != FAR_OK) return bad_status(arguments->files[0], status);
    options.threads = arguments->threads;
    status = far_session_new(state->model, &options, &state->session);
    if (status != FAR_OK) return bad_status("session", status);
    if (describe(state->model, arguments->files[0], image, logits) != 0) return 1;
    wrong = npy_load(arguments->files[1], "<f4", sizeof(float), &state->images);
    if (wrong != NULL) return bad_file(arguments->files[1], wrong);
    wrong = npy_load(arguments->files[2], "<i8", sizeof(int64_t), &state->labels);
    if (wrong != NULL) return bad_file(arguments->files[2], wrong);
    if (arguments->files[3] == NULL) return 0;
    wrong = npy_load(arguments->files[3], "<f4", sizeof(float), &state->reference);
    return wrong == NULL ? 0 : bad_file(arguments->files[3], wrong);
}

static int classify(const arguments *arguments, state *state) {
    far_tensor_info image = FAR_TENSOR_INFO_INIT;
    far_tensor_info answer = FAR_TENSOR_INFO_INIT;
    const char *const *kernels = NULL;
    size_t kernel_count = 0;
    uint64_t arena_bytes = 0;
    size_t pixels, classes, images, i;
    far_status status;
    score score;

    if (load(arguments, state, &image, &answer) != 0) return 1;
    pixels = (size_t)image.element_count;
    classes = (size_t)answer.element_count;
    images = state->images.count / pixels;
    if (arguments->count != 0 && arguments->count < images) images = arguments->count;
    if (images == 0 || state->images.count % pixels != 0) {
        return bad_file(arguments->files[1], "has images of another size than the model's");
    }
    if (state->labels.count < images) return bad_file(arguments->files[2], "has fewer labels than there are images");
    if (arguments->files[3] != NULL && state->reference.count / classes < images) {
        return bad_file(arguments->files[3], "has fewer logits than there are images");
    }
    state->logits = (float *)malloc(images * classes * sizeof(float));
    if (state->logits == NULL) return bad_file(arguments->files[1], "has more images than fit in memory");

    for (i = 0; i < images; i++) {
        far_input input = FAR_INPUT_F32((const float *)state->images.data + i * pixels, pixels);
        far_output output = FAR_OUTPUT_F32(state->logits + i * classes, classes);
        status = far_session_run(state->session, &input, 1, &output, 1);
        if (status != FAR_OK) return bad_status("run", status);
        if (!arguments->json && i < SHOWN) {
            print_answer(i, state->logits + i * classes, classes, ((const int64_t *)state->labels.data)[i]);
        }
    }

    status = far_session_kernels(state->session, &kernels, &kernel_count);
    if (status == FAR_OK) status = far_model_arena_size(state->model, &arena_bytes);
    if (status != FAR_OK) return bad_status("session", status);
    score = judge(state->logits, (const float *)state->reference.data, (const int64_t *)state->labels.data, images,
                  classes);
    print_score(&score, kernels, kernel_count, arena_bytes, arguments->files[3] != NULL, arguments->json);
    return 0;
}

int main(int argc, char **argv) {
    arguments arguments;
    state state;
    int exit_status = parse(argc, argv, &arguments);
    if (exit_status != 0) return exit_status;
    memset(&state, 0, sizeof state);
    exit_status = classify(&arguments, &state);
    far_session_free(state.session);
    far_model_free(state.model);
    free(state.images.data);
    free(state.labels.data);
    free(state.reference.data);
    free(state.logits);
    return exit_status;
}
