/*
 * A program of the first days of binary interface 1, compiled against its first header, far-1.h: `far-1 FIXTURE.far TEXT.far
 * WIDE.far IMAGE.far`. It calls every function of that header and uses every struct. Neither of the two files ever
 * changes: what was compiled once must run with every later libfar.so.1.
 */
#include <far.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void hold(int line, const char *what, int holds) {
    if (holds) return;
    printf("line %d: %s does not hold (%s)\n", line, what, far_last_error());
    failures++;
}

#define HOLD(condition) hold(__LINE__, #condition, condition)

enum { SIDE = 64 };

static float x[SIDE * SIDE], y[SIDE * SIDE], expected[SIDE * SIDE];
static int messages, jobs;

static void hear(void *context, far_log_level level, const char *message) {
    HOLD(context == &messages && level >= FAR_LOG_ERROR && level <= FAR_LOG_DEBUG && strlen(message) > 0);
    messages++;
}

static void in_turn(void *context, size_t count, far_lane_function lane, void *job) {
    size_t i;
    HOLD(context == &jobs);
    jobs++;
    for (i = 0; i < count; i++) lane(job, i);
}

static void library(void) {
    uint64_t bits = 0;
    const char *names = NULL;
    HOLD(strlen(far_version()) > 0 && strlen(far_cpu_arch()) > 0);
    HOLD(far_abi_version() == FAR_ABI_VERSION && FAR_ABI_VERSION == 1);
    HOLD(strcmp(far_status_name(FAR_ERROR_CANCELLED), "FAR_ERROR_CANCELLED") == 0);
    HOLD(far_cpu_features(&bits, &names) == FAR_OK && names != NULL);
    HOLD(far_model_open("/no/such/file", NULL, NULL) == FAR_ERROR_NULL_POINTER);
    HOLD(strlen(far_last_error()) > 0);
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *data = (char *)malloc(1 << 20);
    if (file == NULL || data == NULL) exit(2);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static void fixture(const char *path) {
    static const float a[8] = { 1, -2, 3, -4, -5, 6, -7, 8 }, b[8] = { 1, 1, 1, 1, 2, 2, 2, 2 };
    float sum[8], features[6];
    far_input inputs[2] = { FAR_INPUT_F32(a, 8), FAR_INPUT_F32(b, 8) };
    far_output outputs[2] = { FAR_OUTPUT_F32(features, 6), FAR_OUTPUT_F32(sum, 8) };
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    far_logger logger = FAR_LOGGER_INIT(hear, &messages, FAR_LOG_DEBUG);
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    far_model *model = NULL, *copied = NULL, *in_place = NULL;
    far_session *session = NULL;
    const char *name = NULL;
    const char *const *kernels = NULL;
    size_t size = 0, count = 0, i;
    uint64_t bytes = 0, bits = 0;
    char *data = (char *)read_file(path, &size), *room = (char *)malloc(size + 64), *aligned;
    if (room == NULL) exit(2);
    aligned = room + (64 - (uintptr_t)room % 64) % 64;
    memcpy(aligned, data, size);
    options.logger = &logger;
    HOLD(far_model_open(path, &options, &model) == FAR_OK && messages > 0);
    HOLD(far_model_open_memory(data, size, &options, &copied) == FAR_OK);
    HOLD(far_model_open_static(aligned, size, &options, &in_place) == FAR_OK);
    HOLD(far_model_open_memory(data, size - 1, NULL, NULL) == FAR_ERROR_NULL_POINTER);
    options.abi_version = 2;
    HOLD(far_model_open(path, &options, &copied) == FAR_ERROR_ABI_VERSION);
    free(data);

    HOLD(far_model_name(model, &name) == FAR_OK && strcmp(name, "fixture") == 0);
    HOLD(far_model_input_count(model, &count) == FAR_OK && count == 2);
    HOLD(far_model_output_count(model, &count) == FAR_OK && count == 2);
    HOLD(far_model_input_info(model, 0, &info) == FAR_OK && info.rank == 3 && info.dims[2] == 4 && info.size == 32);
    HOLD(far_model_output_info(model, 1, &info) == FAR_OK && strcmp(info.name, "features") == 0);
    HOLD(info.dtype == FAR_DTYPE_F32 && info.element_count == 6 && info.dim_kinds[0] == FAR_DIM_FIXED);
    HOLD(far_model_required_features(model, &bits, &name) == FAR_OK && bits == 0);
    HOLD(far_model_precisions(model, &bits, &name) == FAR_OK && bits == (1u << FAR_PRECISION_F32));
    HOLD(strcmp(name, "f32") == 0);
    HOLD(far_model_arena_size(model, &bytes) == FAR_OK && bytes == 64);

    HOLD(far_session_new(in_place, NULL, &session) == FAR_OK);
    outputs[0].name = "features";
    outputs[1].name = "sum";
    HOLD(far_session_run(session, inputs, 2, outputs, 2) == FAR_OK);
    for (i = 0; i < 8; i++) HOLD(sum[i] == a[i] + b[i]);
    HOLD(features[0] == 118.0f);
    outputs[1].data = features;
    HOLD(far_session_run(session, inputs, 2, outputs, 2) != FAR_OK);
    HOLD(far_session_kernels(session, &kernels, &count) == FAR_OK && count == 3 && strlen(kernels[2]) > 0);
    HOLD(far_session_threads(session, &count) == FAR_OK && count >= 1);
    HOLD(far_session_memory_used(session, &bytes) == FAR_OK && bytes >= 64);
    far_session_free(session);
    far_model_free(in_place);
    far_model_free(copied);
    far_model_free(model);
    free(room);
}

static void text(const char *path) {
    static const uint64_t dims[2] = { 2, 2 };
    static const int64_t words[4] = { 3, 9, 1, 7 };
    static const int32_t mask[4] = { 1, 1, 1, 0 };
    float states[16], mean[8];
    far_input inputs[2] = { FAR_INPUT_I64(words, 4), FAR_INPUT_I32(mask, 4) };
    far_output outputs[2] = { FAR_OUTPUT_F32(states, 16), FAR_OUTPUT_F32(mean, 8) };
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    inputs[0].dims = inputs[1].dims = dims;
    inputs[0].rank = inputs[1].rank = 2;
    HOLD(far_model_open(path, NULL, &model) == FAR_OK);
    HOLD(far_model_input_info(model, 0, &info) == FAR_OK && info.dim_kinds[0] == FAR_DIM_BATCH);
    HOLD(info.dim_kinds[1] == FAR_DIM_TOKENS && info.dtype == FAR_DTYPE_I64);
    HOLD(far_session_new(model, NULL, &session) == FAR_OK);
    far_model_free(model);
    HOLD(far_session_run(session, inputs, 2, outputs, 2) == FAR_OK);
    HOLD(states[0] == 30.0f && states[5] == 91.0f && states[12] == 0.0f && mean[0] == 60.0f && mean[4] == 10.0f);
    inputs[0].rank = 1;
    HOLD(far_session_run(session, inputs, 2, outputs, 2) == FAR_ERROR_SHAPE);
    far_session_free(session);
}

static far_status run(far_session *session) {
    far_input input = FAR_INPUT_F32(x, SIDE * SIDE);
    far_output output = FAR_OUTPUT_F32(y, SIDE * SIDE);
    return far_session_run(session, &input, 1, &output, 1);
}

static void wide(const char *path) {
    const uint32_t cpus[1] = { 0 };
    far_thread_pool pool = FAR_THREAD_POOL_INIT(in_turn, &jobs);
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_step_profile step = FAR_STEP_PROFILE_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    size_t size = 0, count = 0, i;
    char *memory;
    for (i = 0; i < SIDE * SIDE; i++) x[i] = (float)(i % 97) / 50.0f - 0.9f;
    HOLD(far_model_open(path, NULL, &model) == FAR_OK);
    options.isa = FAR_ISA_SCALAR;
    options.cpus = cpus;
    options.cpu_count = 1;
    HOLD(far_session_new(model, &options, &session) == FAR_OK && run(session) == FAR_OK);
    memcpy(expected, y, sizeof y);
    far_session_free(session);

    options.isa = FAR_ISA_BEST;
    options.cpu_count = 0;
    options.threads = 3;
    options.flags = FAR_SESSION_PROFILE;
    options.pool = &pool;
    HOLD(far_session_memory_size(model, &options, &size) == FAR_OK);
    memory = (char *)malloc(size + 64);
    if (memory == NULL) exit(2);
    HOLD(far_session_new_in(model, &options, memory + (64 - (uintptr_t)memory % 64) % 64, size, &session) == FAR_OK);
    HOLD(run(session) == FAR_OK && memcmp(y, expected, sizeof y) == 0 && jobs == 3);
    HOLD(far_session_cancel(session) == FAR_OK);
    HOLD(far_session_step_count(session, &count) == FAR_OK && count == 3);
    HOLD(far_session_profile(session, 1, &step) == FAR_OK && strcmp(step.name, "second") == 0);
    HOLD(strcmp(step.op, "gemm") == 0 && strlen(step.kernel) > 0 && step.precision == FAR_PRECISION_F32);
    HOLD(step.runs == 1 && step.nanoseconds > 0);
    HOLD(far_session_profile_reset(session) == FAR_OK);
    far_session_free(session);
    far_model_free(model);
    free(memory);
}

static void image(const char *path) {
    far_image_info info = FAR_IMAGE_INFO_INIT;
    far_model *model = NULL;
    const char *key = NULL, *value = NULL;
    const char *const *labels = NULL;
    size_t output = 9, count = 0;
    HOLD(far_model_open(path, NULL, &model) == FAR_OK);
    HOLD(far_model_description(model, &value) == FAR_OK && strcmp(value, "tells colours") == 0);
    HOLD(far_model_labels(model, &output, &labels, &count) == FAR_OK && output == 0 && count == 4);
    HOLD(strcmp(labels[2], "blue") == 0);
    HOLD(far_model_info_count(model, &count) == FAR_OK && count == 2);
    HOLD(far_model_info(model, 0, &key, &value) == FAR_OK && strcmp(key, "author") == 0);
    HOLD(far_model_image_info(model, &info) == FAR_OK && info.input == 0 && info.channels == 3);
    HOLD(info.layout == FAR_IMAGE_NCHW && info.color == FAR_IMAGE_RGB && info.filter == FAR_IMAGE_BICUBIC);
    HOLD(info.resize == FAR_IMAGE_CROP && info.resize_value == 3 && info.mean[0] == 0.5f && info.std_dev[1] == 0.5f);
    far_model_free(model);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    library();
    fixture(argv[1]);
    text(argv[2]);
    wide(argv[3]);
    image(argv[4]);
    if (failures == 0) puts("all as expected");
    return failures != 0;
}
