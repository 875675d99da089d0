/*
 * Calls every function of far.h rightly and wrongly, as C programs do: `misuse FIXTURE.far TEXT.far IMAGE.far`. The fixture has
 * inputs a [1, 2, 4] and b [2, 4], outputs sum [2, 4] and features [2, 3]; the text has inputs words (i64) and mask (i32),
 * both [batch, tokens], outputs states [batch, tokens, 4] and mean [batch, 4], batches of up to 3, up to 6 tokens, 10
 * words; the image says how a picture becomes its input of [1, 3, 2, 2], and what its four classes are called. Ends with 0, or says which expectation failed.
 */
#include "expect.h"

/* Where nothing must be written. */
static far_model *const NO_MODEL = (far_model *)(uintptr_t)0x1234;
static far_session *const NO_SESSION = (far_session *)(uintptr_t)0x1234;

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *data = (char *)malloc(1 << 20);
    if (file == NULL || data == NULL) exit(2);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static void library(void) {
    uint64_t bits = 0;
    const char *names = NULL;
    HOLD(strcmp(far_version(), FAR_VERSION) == 0);
    HOLD(far_abi_version() == FAR_ABI_VERSION);
    HOLD(strlen(far_cpu_arch()) > 0);
    HOLD(strcmp(far_status_name(FAR_OK), "FAR_OK") == 0);
    HOLD(strcmp(far_status_name(12345), "unknown") == 0);
    HOLD(strcmp(far_last_error(), "") == 0);
    EXPECT(FAR_OK, far_cpu_features(&bits, &names));
    HOLD(names != NULL);
    EXPECT(FAR_OK, far_cpu_features(NULL, NULL));
}

static void opening(const char *path) {
    size_t size = 0;
    char *data = (char *)read_file(path, &size);
    far_model *model = NO_MODEL;
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    size_t length;

    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open(NULL, NULL, &model));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open(path, NULL, NULL));
    EXPECT(FAR_ERROR_FILE_NOT_FOUND, far_model_open("/no/such/file", NULL, &model));
    EXPECT(FAR_ERROR_IO, far_model_open("/", NULL, &model));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open_memory(NULL, 1, NULL, &model));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open_memory(data, size, NULL, NULL));
    EXPECT(FAR_ERROR_NOT_AN_ARTIFACT, far_model_open_memory(data, 0, NULL, &model));
    EXPECT(FAR_ERROR_NOT_AN_ARTIFACT, far_model_open_memory("far", 4, NULL, &model));
    EXPECT(FAR_ERROR_SIZE, far_model_open_memory(data, SIZE_MAX, NULL, &model));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open_static(NULL, 1, NULL, &model));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open_static(data, size, NULL, NULL));
    EXPECT(FAR_ERROR_NOT_AN_ARTIFACT, far_model_open_static(data, 0, NULL, &model));
    EXPECT(FAR_ERROR_SIZE, far_model_open_static(data, SIZE_MAX, NULL, &model));
    EXPECT(FAR_ERROR_CORRUPT, far_model_open_static(data, size - 1, NULL, &model));
    for (length = 8; length < size; length += 1009) {
        EXPECT(FAR_ERROR_CORRUPT, far_model_open_memory(data, length, NULL, &model));
    }
    for (length = 0; length < 256; length++) {
        data[length] ^= 0x20;
        HOLD(far_model_open_memory(data, size, NULL, &model) != FAR_OK || length >= 108);
        if (model != NO_MODEL) {
            far_model_free(model);
            model = NO_MODEL;
        }
        data[length] ^= 0x20;
    }
    options.struct_size = 3;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_model_open(path, &options, &model));
    options.struct_size = sizeof options;
    options.abi_version++;
    EXPECT(FAR_ERROR_ABI_VERSION, far_model_open(path, &options, &model));
    options.abi_version = FAR_ABI_VERSION;
    options.flags = 0x80000000u;
    EXPECT(FAR_ERROR_OPTION, far_model_open(path, &options, &model));
    HOLD(model == NO_MODEL);
    free(data);
}

static void asking(const far_model *model) {
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    const char *name = NULL;
    size_t count = 0;
    uint64_t bytes = 0;
    EXPECT(FAR_OK, far_model_name(model, &name));
    HOLD(name != NULL && strcmp(name, "fixture") == 0);
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_name(NULL, &name));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_name(model, NULL));
    EXPECT(FAR_OK, far_model_input_count(model, &count));
    EXPECT(FAR_OK, far_model_output_count(model, &count));
    HOLD(count == 2);
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_input_count(NULL, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_output_count(model, NULL));
    EXPECT(FAR_OK, far_model_arena_size(model, &bytes));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_arena_size(model, NULL));
    EXPECT(FAR_OK, far_model_required_features(model, &bytes, &name));
    EXPECT(FAR_OK, far_model_required_features(model, NULL, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_required_features(NULL, NULL, NULL));
    EXPECT(FAR_OK, far_model_precisions(model, &bytes, &name));
    HOLD(bytes == 1u << FAR_PRECISION_F32 && strcmp(name, "f32") == 0);
    EXPECT(FAR_OK, far_model_precisions(model, NULL, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_precisions(NULL, &bytes, &name));
    EXPECT(FAR_ERROR_INDEX, far_model_input_info(model, 2, &info));
    EXPECT(FAR_ERROR_INDEX, far_model_output_info(model, SIZE_MAX, &info));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_input_info(NULL, 0, &info));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_output_info(model, 0, NULL));
    HOLD(info.name == NULL);
    EXPECT(FAR_OK, far_model_output_info(model, 1, &info));
    HOLD(strcmp(info.name, "features") == 0 && info.dtype == FAR_DTYPE_F32 && info.rank == 2);
    HOLD(info.dims[0] == 2 && info.dims[1] == 3 && info.element_count == 6 && info.size == 24);
    info.struct_size = 0;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_model_output_info(model, 1, &info));
}

static void running(far_session *session) {
    static const float a[8] = { 1, -2, 3, -4, -5, 6, -7, 8 };
    static const float b[8] = { 1, 1, 1, 1, 2, 2, 2, 2 };
    static const uint64_t wrong_dims[3] = { 1, 4, 2 };
    float sum[9];
    float features[7];
    far_input inputs[2] = { FAR_INPUT_F32(a, 8), FAR_INPUT_F32(b, 8) };
    far_output outputs[2] = { FAR_OUTPUT_F32(sum, 8), FAR_OUTPUT_F32(features, 6) };
    const far_input good_input = inputs[0];
    const far_output good_output = outputs[1];
    const char *const *names = NULL;
    size_t count = 0;
    uint64_t bytes = 0;
    int i;
    for (i = 0; i < 9; i++) sum[i] = -1.0f;
    for (i = 0; i < 7; i++) features[i] = -1.0f;

    EXPECT(FAR_ERROR_NULL_POINTER, far_session_run(NULL, inputs, 2, outputs, 2));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_run(session, NULL, 2, outputs, 2));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_run(session, inputs, 2, NULL, 2));
    EXPECT(FAR_ERROR_COUNT, far_session_run(session, inputs, 1, outputs, 2));
    EXPECT(FAR_ERROR_COUNT, far_session_run(session, inputs, 2, outputs, SIZE_MAX));
    EXPECT(FAR_ERROR_COUNT, far_session_run(session, NULL, 0, NULL, 0));

#define REFUSED_INPUT(status, field, value)                                    \
    inputs[0].field = value;                                                   \
    EXPECT(status, far_session_run(session, inputs, 2, outputs, 2));           \
    inputs[0] = good_input
#define REFUSED_OUTPUT(status, field, value)                                   \
    outputs[1].field = value;                                                  \
    EXPECT(status, far_session_run(session, inputs, 2, outputs, 2));           \
    outputs[1] = good_output
    REFUSED_INPUT(FAR_ERROR_STRUCT_SIZE, struct_size, 0);
    REFUSED_INPUT(FAR_ERROR_STRUCT_SIZE, struct_size, SIZE_MAX);
    REFUSED_INPUT(FAR_ERROR_NAME, name, "nobody");
    REFUSED_INPUT(FAR_ERROR_NAME, name, "b");
    REFUSED_INPUT(FAR_ERROR_NULL_POINTER, data, NULL);
    REFUSED_INPUT(FAR_ERROR_ALIGNMENT, data, (const char *)a + 1);
    REFUSED_INPUT(FAR_ERROR_SIZE, size, 31);
    REFUSED_INPUT(FAR_ERROR_SIZE, size, SIZE_MAX);
    REFUSED_INPUT(FAR_ERROR_DTYPE, dtype, 0);
    REFUSED_INPUT(FAR_ERROR_DTYPE, dtype, -1);
    REFUSED_INPUT(FAR_ERROR_NULL_POINTER, rank, 3);
    REFUSED_INPUT(FAR_ERROR_SHAPE, dims, wrong_dims);
    REFUSED_OUTPUT(FAR_ERROR_STRUCT_SIZE, struct_size, 47);
    REFUSED_OUTPUT(FAR_ERROR_NAME, name, "a");
    REFUSED_OUTPUT(FAR_ERROR_NULL_POINTER, data, NULL);
    REFUSED_OUTPUT(FAR_ERROR_OVERLAP, data, sum + 2);
    REFUSED_OUTPUT(FAR_ERROR_SIZE, size, 28);
    REFUSED_OUTPUT(FAR_ERROR_DTYPE, dtype, 2);
    inputs[0].dims = wrong_dims;
    REFUSED_INPUT(FAR_ERROR_SHAPE, rank, 3);
    for (i = 0; i < 9; i++) HOLD(sum[i] == -1.0f);
    for (i = 0; i < 7; i++) HOLD(features[i] == -1.0f);

    EXPECT(FAR_OK, far_session_run(session, inputs, 2, outputs, 2));
    for (i = 0; i < 8; i++) HOLD(sum[i] == a[i] + b[i]);
    /* relu(1, -2, 3, -4) times the column (0, 3, 6, 9), plus 100 */
    HOLD(features[0] == 118.0f);
    HOLD(sum[8] == -1.0f && features[6] == -1.0f);

    EXPECT(FAR_OK, far_session_kernels(session, &names, &count));
    HOLD(count == 3);
    for (i = 0; i < (int)count; i++) HOLD(strlen(names[i]) > 0);
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_kernels(NULL, &names, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_kernels(session, NULL, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_kernels(session, &names, NULL));
    EXPECT(FAR_OK, far_session_threads(session, &count));
    HOLD(count >= 1);
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_threads(session, NULL));
    EXPECT(FAR_OK, far_session_memory_used(session, &bytes));
    HOLD(bytes >= 64);
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_memory_used(NULL, &bytes));
}

/* A batch of two sentences: words 3, 9 and 1, whose values are ten times that, plus the column. */
static void reading(const char *path) {
    static const uint64_t dims[2] = { 2, 2 };
    static const uint64_t many[2] = { 4, 1 };
    static const uint64_t others[2] = { 1, 4 };
    int64_t words[4] = { 3, 9, 1, -1 };
    int32_t mask[4] = { 1, 1, 1, 0 };
    float states[16];
    float mean[8];
    far_input inputs[2] = { FAR_INPUT_I64(words, 4), FAR_INPUT_I32(mask, 4) };
    far_output outputs[2] = { FAR_OUTPUT_F32(states, 16), FAR_OUTPUT_F32(mean, 8) };
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    int i;
    for (i = 0; i < 16; i++) states[i] = -1.0f;

    EXPECT(FAR_OK, far_model_open(path, NULL, &model));
    EXPECT(FAR_OK, far_model_input_info(model, 0, &info));
    HOLD(info.dtype == FAR_DTYPE_I64 && info.dims[0] == 3 && info.dims[1] == 6 && info.size == 18 * sizeof(int64_t));
    HOLD(info.dim_kinds[0] == FAR_DIM_BATCH && info.dim_kinds[1] == FAR_DIM_TOKENS);
    EXPECT(FAR_OK, far_model_output_info(model, 0, &info));
    HOLD(info.dtype == FAR_DTYPE_F32 && info.dims[2] == 4 && info.dim_kinds[2] == FAR_DIM_FIXED);
    EXPECT(FAR_OK, far_session_new(model, NULL, &session));
    far_model_free(model);

    EXPECT(FAR_ERROR_SHAPE, far_session_run(session, inputs, 2, outputs, 2)); /* no dims */
    inputs[0].rank = inputs[1].rank = 2;
    inputs[0].dims = inputs[1].dims = many;
    EXPECT(FAR_ERROR_SHAPE, far_session_run(session, inputs, 2, outputs, 2));
    inputs[0].dims = others;
    inputs[1].dims = dims;
    EXPECT(FAR_ERROR_SHAPE, far_session_run(session, inputs, 2, outputs, 2));
    inputs[0].dims = dims;
    inputs[0].dtype = FAR_DTYPE_F32;
    EXPECT(FAR_ERROR_DTYPE, far_session_run(session, inputs, 2, outputs, 2));
    inputs[0].dtype = FAR_DTYPE_I64;
    outputs[1].size = 16;
    EXPECT(FAR_ERROR_SIZE, far_session_run(session, inputs, 2, outputs, 2));
    outputs[1].size = 8 * sizeof(float);
    words[0] = 10;
    EXPECT(FAR_ERROR_TOKEN_ID, far_session_run(session, inputs, 2, outputs, 2));
    words[0] = 3;
    mask[2] = 0;
    EXPECT(FAR_ERROR_MASK, far_session_run(session, inputs, 2, outputs, 2));
    mask[2] = 1;
    for (i = 0; i < 16; i++) HOLD(states[i] == -1.0f);

    EXPECT(FAR_OK, far_session_run(session, inputs, 2, outputs, 2));
    for (i = 0; i < 4; i++) {
        HOLD(states[i] == (float)(30 + i) && states[4 + i] == (float)(90 + i));
        HOLD(states[8 + i] == (float)(10 + i) && states[12 + i] == 0.0f);
        HOLD(mean[i] == (float)(60 + i) && mean[4 + i] == (float)(10 + i));
    }
    far_session_free(session);
}

/* An artifact where it is, as a program's own constant would be. */
static void in_place(const char *path) {
    size_t size = 0;
    char *data = (char *)read_file(path, &size);
    char *room = (char *)malloc(size + 128);
    char *aligned = room + (64 - (uintptr_t)room % 64);
    far_model *model = NO_MODEL;
    far_session *session = NULL;
    if (room == NULL) exit(2);
    memcpy(aligned + 8, data, size);
    EXPECT(FAR_ERROR_ALIGNMENT, far_model_open_static(aligned + 8, size, NULL, &model));
    HOLD(model == NO_MODEL);
    memcpy(aligned, data, size);
    EXPECT(FAR_OK, far_model_open_static(aligned, size, NULL, &model));
    EXPECT(FAR_OK, far_session_new(model, NULL, &session));
    running(session);
    far_session_free(session);
    far_model_free(model);
    free(room);
    free(data);
}

/* What an artifact says for its users, and what it does not. */
static void metadata(const char *path, const far_model *silent) {
    far_model *model = NULL;
    far_image_info info = FAR_IMAGE_INFO_INIT;
    const char *text = NULL, *key = NULL;
    const char *const *names = NULL;
    size_t count = 9, output = 9;
    EXPECT(FAR_OK, far_model_open(path, NULL, &model));
    EXPECT(FAR_OK, far_model_description(model, &text));
    HOLD(strcmp(text, "tells colours") == 0);
    EXPECT(FAR_OK, far_model_labels(model, &output, &names, &count));
    HOLD(count == 4 && output == 0 && strcmp(names[1], "green") == 0);
    EXPECT(FAR_OK, far_model_info_count(model, &count));
    HOLD(count == 2);
    EXPECT(FAR_OK, far_model_info(model, 1, &key, &text));
    HOLD(strcmp(key, "license") == 0 && strcmp(text, "MIT") == 0);
    EXPECT(FAR_OK, far_model_image_info(model, &info));
    HOLD(info.channels == 3 && info.height == 2 && info.width == 2 && info.layout == FAR_IMAGE_NCHW);
    HOLD(info.resize == FAR_IMAGE_CROP && info.resize_value == 3 && info.mean[0] == 0.5f && info.std_dev[2] == 1.0f);

    EXPECT(FAR_ERROR_NULL_POINTER, far_model_description(NULL, &text));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_description(model, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_labels(NULL, &output, &names, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_labels(model, &output, NULL, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_labels(model, &output, &names, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_info_count(NULL, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_info_count(model, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_info(NULL, 0, &key, &text));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_info(model, 0, NULL, &text));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_info(model, 0, &key, NULL));
    EXPECT(FAR_ERROR_INDEX, far_model_info(model, 2, &key, &text));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_image_info(NULL, &info));
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_image_info(model, NULL));
    info.struct_size = sizeof info - 1;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_model_image_info(model, &info));
    far_model_free(model);

    info.struct_size = sizeof info;
    EXPECT(FAR_ERROR_ABSENT, far_model_image_info(silent, &info));
    EXPECT(FAR_OK, far_model_labels(silent, NULL, &names, &count));
    HOLD(count == 0);
    EXPECT(FAR_ERROR_INDEX, far_model_info(silent, 0, &key, &text));
    EXPECT(FAR_OK, far_model_description(silent, &text));
    HOLD(strcmp(text, "") == 0);
}

int main(int argc, char **argv) {
    far_model *model = NULL;
    far_session *session = NO_SESSION;
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    int cycle;
    if (argc != 4) return 2;
    library();
    opening(argv[1]);

    EXPECT(FAR_OK, far_model_open(argv[1], NULL, &model));
    if (model == NULL) return 1;
    asking(model);
    metadata(argv[3], model);
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new(NULL, NULL, &session));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new(model, NULL, NULL));
    options.isa = 77;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.isa = FAR_ISA_BEST;
    options.threads = UINT32_MAX;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.struct_size = 1;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_new(model, &options, &session));
    HOLD(session == NO_SESSION);
    EXPECT(FAR_OK, far_session_new(model, NULL, &session));
    far_model_free(model); /* the session keeps what it needs */
    running(session);
    running(session);
    reading(argv[2]);
    in_place(argv[1]);
    far_session_free(session);
    far_session_free(NULL);
    far_model_free(NULL);

    options = (far_session_options)FAR_SESSION_OPTIONS_INIT;
    options.threads = 3;
    for (cycle = 0; cycle < 100; cycle++) {
        EXPECT(FAR_OK, far_model_open(argv[1], NULL, &model));
        EXPECT(FAR_OK, far_session_new(model, &options, &session));
        running(session);
        far_session_free(session);
        far_model_free(model);
    }
    return verdict();
}
