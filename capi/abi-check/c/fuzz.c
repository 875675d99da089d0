/*
 * Calls in random order with random arguments, good and bad: `fuzz SEED CALLS ARTIFACT...`. Pointers are NULL, misaligned or
 * good; sizes, counts, names, types, dimensions and options anything; files cut and altered. Every call must answer
 * a status that far.h knows and that is no bug of libfar's, and one that fails must write nothing. What can't be detected
 * (freed handles, wrong pointers) is left out. The same seed makes the same calls.
 */
#include "expect.h"

enum { SLOTS = 4, FILES = 4, ROOM = 1 << 16 };

static uint64_t state;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull >> 11;
}

static size_t below(size_t count) { return (size_t)(next() % count); }
static int rarely(void) { return below(20) == 0; }

/* A number: mostly a small one, else near an end. */
static uint64_t odd_number(void) {
    switch (below(6)) {
    case 0: return UINT64_MAX - below(3);
    case 1: return (uint64_t)INT64_MAX + below(3);
    case 2: return (uint64_t)UINT32_MAX + below(3) - 1;
    case 3: return next();
    default: return below(40);
    }
}

static struct {
    char *data;
    size_t size;
    const char *path;
} files[FILES];
static size_t file_count;

static far_model *models[SLOTS];
static struct {
    far_session *session;
    void *memory;
} sessions[SLOTS];

static unsigned long statuses[1000];
static far_status answered(far_status status) {
    if (strcmp(far_status_name(status), "unknown") == 0 || status >= 900 || (status != FAR_OK && far_last_error()[0] == '\0')) {
        printf("call answered %d (%s): %s\n", (int)status, far_status_name(status), far_last_error());
        failures++;
    }
    if (status >= 0 && status < 1000) statuses[status]++;
    return status;
}

static far_model *const UNWRITTEN_MODEL = (far_model *)(uintptr_t)0x1234;
static far_session *const UNWRITTEN_SESSION = (far_session *)(uintptr_t)0x1234;

static const far_model *some_model(void) { return rarely() ? NULL : models[below(SLOTS)]; }
static far_session *some_session(void) { return rarely() ? NULL : sessions[below(SLOTS)].session; }

static void quiet(void *context, far_log_level level, const char *message) {
    (void)context, (void)level;
    HOLD(strlen(message) < 1024);
}

static void in_turn(void *context, size_t count, far_lane_function lane, void *job) {
    size_t i;
    (void)context;
    for (i = 0; i < count; i++) lane(job, i);
}

static void lazily(void *context, size_t count, far_lane_function lane, void *job) {
    (void)context, (void)count, (void)lane, (void)job;
}

/* A public key of nobody's. */
static const uint8_t POINT[FAR_PUBLIC_KEY_SIZE] = { 0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                                    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                                    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66 };

static void model_options(far_model_options *options, far_logger *logger) {
    const far_logger good_logger = FAR_LOGGER_INIT(quiet, NULL, FAR_LOG_DEBUG);
    const far_model_options good = FAR_MODEL_OPTIONS_INIT;
    *options = good;
    *logger = good_logger;
    if (below(2)) options->logger = logger;
    if (rarely()) options->struct_size = odd_number() % (sizeof *options + 1); /* no more than there is */
    if (rarely()) options->abi_version = (uint32_t)odd_number();
    if (rarely()) options->flags = (uint32_t)odd_number();
    if (rarely()) options->public_key = below(3) ? POINT : (const uint8_t *)files[0].data;
    if (rarely()) options->signature = files[0].data, options->signature_size = below(2) ? below(files[0].size) : SIZE_MAX - below(3);
    if (rarely()) options->max_file_size = odd_number();
    if (rarely()) options->max_arena_size = odd_number();
    if (rarely()) options->max_tensors = (uint32_t)odd_number();
    if (rarely()) options->max_steps = (uint32_t)odd_number();
    if (rarely()) options->max_tokens = (uint32_t)odd_number();
    if (rarely()) options->max_batch = (uint32_t)odd_number();
    if (rarely()) logger->level = (far_log_level)odd_number();
    if (rarely()) logger->reserved = (uint32_t)odd_number();
    if (rarely()) logger->struct_size = odd_number() % (sizeof *logger + 1);
    if (rarely()) logger->log = NULL;
}

static void open_model(void) {
    size_t slot = below(SLOTS), file = below(file_count), size = files[file].size, i;
    far_model_options options;
    far_logger logger;
    const far_model_options *given = below(2) ? &options : NULL;
    far_model *model = UNWRITTEN_MODEL;
    far_status status;
    char *copy;
    model_options(&options, &logger);
    if (below(3) == 0) {
        const char *path = below(4) == 0 ? NULL : below(4) == 0 ? "/no/such/file" : files[file].path;
        status = answered(far_model_open(path, given, rarely() ? NULL : &model));
    } else {
        copy = (char *)malloc(size + 1);
        if (copy == NULL) exit(2);
        memcpy(copy, files[file].data, size);
        if (below(3) == 0) {
            for (i = below(4) + 1; i > 0; i--) copy[below(below(2) ? 512 : size)] ^= (char)(1 << below(8));
        }
        if (rarely()) size = below(size);
        status = answered(below(2) ? far_model_open_memory(rarely() ? NULL : copy, size, given, rarely() ? NULL : &model)
                                   : far_model_open_memory(copy, rarely() ? 0 : size, given, &model));
        free(copy);
    }
    HOLD(status == FAR_OK || model == UNWRITTEN_MODEL);
    if (model == UNWRITTEN_MODEL) return;
    far_model_free(models[slot]); /* a session of it goes on */
    models[slot] = model;
}

static void ask_model(void) {
    const far_model *model = some_model();
    const char *text = NULL, **texts = rarely() ? NULL : &text;
    size_t count = 0, *counts = rarely() ? NULL : &count;
    uint64_t number = 0, *numbers = rarely() ? NULL : &number;
    far_tensor_info info = FAR_TENSOR_INFO_INIT, *infos = rarely() ? NULL : &info;
    if (rarely()) info.struct_size = odd_number() % (sizeof info + 1);
    far_image_info image = FAR_IMAGE_INFO_INIT, *images = rarely() ? NULL : &image;
    const char *const *names = NULL;
    if (rarely()) image.struct_size = odd_number() % (sizeof image + 1);
    switch (below(13)) {
    case 12: answered(far_model_precisions(model, numbers, texts)); break;
    case 7: answered(far_model_description(model, &text)), text = NULL; break;
    case 8: answered(far_model_labels(model, counts, rarely() ? NULL : &names, &count)); break;
    case 9: answered(far_model_info_count(model, counts)); break;
    case 10: answered(far_model_info(model, below(4), texts, rarely() ? NULL : &text)); break;
    case 11: answered(far_model_image_info(model, images)); break;
    case 0: answered(far_model_name(model, texts)); break;
    case 1: answered(far_model_input_count(model, counts)); break;
    case 2: answered(far_model_output_count(model, counts)); break;
    case 3: answered(far_model_input_info(model, (size_t)odd_number(), infos)); break;
    case 4: answered(far_model_output_info(model, below(3), infos)); break;
    case 5: answered(far_model_required_features(model, numbers, texts)); break;
    default: answered(far_model_arena_size(model, numbers)); break;
    }
    HOLD(text == NULL || strlen(text) > 0);
}

static void make_session(void) {
    size_t slot = below(SLOTS), size = 0;
    const far_model *model = some_model();
    const far_session_options good = FAR_SESSION_OPTIONS_INIT;
    const far_thread_pool good_pool = FAR_THREAD_POOL_INIT(in_turn, NULL);
    far_session_options options = good, *given = rarely() ? NULL : &options;
    far_thread_pool pool = good_pool;
    far_model_options unused;
    far_logger logger;
    uint32_t cpus[3] = { 0, 0, 1 };
    far_session *session = UNWRITTEN_SESSION;
    far_status status;
    char *memory = NULL;
    model_options(&unused, &logger);
    options.threads = (uint32_t)below(4);
    if (rarely()) options.threads = (uint32_t)odd_number();
    if (rarely()) options.isa = (far_isa)(below(9)) - 1;
    if (rarely()) options.flags = (uint32_t)odd_number();
    if (below(2)) options.flags |= FAR_SESSION_PROFILE;
    if (rarely()) options.cpus = rarely() ? (const uint32_t *)((const char *)cpus + 1) : cpus + below(2);
    if (rarely() || options.cpus != NULL) options.cpu_count = (uint32_t)below(3);
    if (below(3) == 0) options.pool = &pool;
    if (rarely()) pool.parallel_for = below(2) ? lazily : NULL;
    if (rarely()) pool.struct_size = below(sizeof pool + 1);
    if (below(3) == 0) options.logger = &logger;
    if (rarely()) options.struct_size = odd_number() % (sizeof options + 1);
    if (below(2)) {
        status = answered(far_session_new(model, given, rarely() ? NULL : &session));
    } else {
        status = answered(far_session_memory_size(model, given, rarely() ? NULL : &size));
        memory = (char *)malloc(size + 128);
        if (memory == NULL) exit(2);
        status = answered(far_session_new_in(model, given,
                                             rarely() ? NULL : memory + (64 - (uintptr_t)memory % 64) + (rarely() ? 4 : 0),
                                             rarely() ? below(size + 1) : size, &session));
    }
    HOLD(status == FAR_OK || session == UNWRITTEN_SESSION);
    if (session == UNWRITTEN_SESSION) {
        free(memory);
        return;
    }
    far_session_free(sessions[slot].session);
    free(sessions[slot].memory);
    sessions[slot].session = session;
    sessions[slot].memory = memory;
}

static void ask_session(void) {
    far_session *session = some_session();
    size_t count = 0, *counts = rarely() ? NULL : &count, i;
    uint64_t number = 0, *numbers = rarely() ? NULL : &number;
    const char *const *names = NULL;
    far_step_profile step = FAR_STEP_PROFILE_INIT, *steps = rarely() ? NULL : &step;
    if (rarely()) step.struct_size = odd_number() % (sizeof step + 1);
    switch (below(7)) {
    case 0:
        answered(far_session_kernels(session, rarely() ? NULL : &names, counts));
        for (i = 0; names != NULL && i < count; i++) HOLD(strlen(names[i]) > 0);
        break;
    case 1: answered(far_session_threads(session, counts)); break;
    case 2: answered(far_session_memory_used(session, numbers)); break;
    case 3: answered(far_session_step_count(session, counts)); break;
    case 4: answered(far_session_profile(session, rarely() ? (size_t)odd_number() : below(3), steps)); break;
    case 5: answered(far_session_profile_reset(session)); break;
    default: answered(far_session_cancel(session)); break;
    }
}

/* Rooms that are large enough for every tensor of the artifacts. */
static char *rooms[4];

static const char *some_name(void) {
    static const char *const names[] = { NULL, NULL, "a", "b", "sum", "features", "words", "mask", "states", "mean", "x", "y", "", "\xff\xfe" };
    return names[below(sizeof names / sizeof names[0])];
}

static void spoil(const char **name, size_t *size, far_dtype *dtype, uint32_t *rank, const uint64_t **dims) {
    static uint64_t shape[4];
    size_t i;
    if (rarely()) *name = some_name();
    if (rarely()) *size = (size_t)odd_number();
    if (rarely()) *dtype = (far_dtype)below(5);
    if (rarely()) {
        for (i = 0; i < 4; i++) shape[i] = odd_number();
        *dims = rarely() ? (const uint64_t *)((const char *)shape + 1) : shape;
        *rank = (uint32_t)below(5);
    }
    if (rarely()) *rank = (uint32_t)odd_number() % 5;
}

static void run_session(void) {
    far_session *session = some_session();
    uint64_t shape[2];
    far_input inputs[3];
    far_output outputs[3];
    const far_input no_input = FAR_INPUT_F32(NULL, 0);
    const far_output no_output = FAR_OUTPUT_F32(NULL, 0);
    const size_t layout = below(3); /* which of the artifacts it fits */
    const size_t elements = layout == 0 ? 8 : layout == 1 ? 6 : 4096;
    size_t input_count = layout == 2 ? 1 : 2, output_count = input_count, i;
    shape[0] = 1 + below(3);
    shape[1] = 6 / (shape[0] == 0 ? 1 : shape[0]);
    for (i = 0; i < 3; i++) {
        inputs[i] = no_input;
        outputs[i] = no_output;
        inputs[i].data = rooms[i % 2];
        outputs[i].data = rooms[2 + i % 2];
        inputs[i].size = elements * 4;
        outputs[i].size = elements * 4;
        if (layout == 1) {
            inputs[i].dtype = i == 0 ? FAR_DTYPE_I64 : FAR_DTYPE_I32;
            inputs[i].size = elements * (i == 0 ? 8 : 4);
            inputs[i].rank = 2;
            inputs[i].dims = shape;
            outputs[i].size = (size_t)(i == 0 ? 6 : shape[0]) * 4 * sizeof(float);
        }
        if (layout == 0 && i == 1) outputs[i].size = 24;
    }
    for (i = 0; i < 6; i++) {
        ((int64_t *)rooms[0])[i] = rarely() ? (int64_t)odd_number() : (int64_t)below(10);
        ((int32_t *)rooms[1])[i] = rarely() ? (int32_t)odd_number() : 1;
    }
    if (below(2)) {
        i = below(2);
        spoil(&inputs[i].name, &inputs[i].size, &inputs[i].dtype, &inputs[i].rank, &inputs[i].dims);
        spoil(&outputs[i].name, &outputs[i].size, &outputs[i].dtype, &outputs[i].rank, &outputs[i].dims);
        if (rarely()) inputs[i].data = rarely() ? NULL : rooms[i] + below(16);
        if (rarely()) outputs[i].data = rarely() ? NULL : rooms[below(4)] + below(16);
        if (rarely()) inputs[i].struct_size = odd_number() % (sizeof inputs[i] + 1);
        if (rarely()) outputs[i].struct_size = odd_number() % (sizeof outputs[i] + 1);
        if (rarely()) input_count = below(4);
        if (rarely()) output_count = below(4);
    }
    answered(far_session_run(session, rarely() ? NULL : inputs, input_count, rarely() ? NULL : outputs, output_count));
}

static void free_something(void) {
    size_t slot = below(SLOTS);
    if (below(2)) {
        far_model_free(models[slot]);
        models[slot] = NULL;
    } else {
        far_session_free(sessions[slot].session);
        free(sessions[slot].memory);
        sessions[slot].session = NULL;
        sessions[slot].memory = NULL;
    }
}

static void read_files(char **paths, int count) {
    for (file_count = 0; file_count < FILES && (int)file_count < count; file_count++) {
        FILE *file = fopen(paths[file_count], "rb");
        char *data = (char *)malloc(1 << 20);
        if (file == NULL || data == NULL) exit(2);
        files[file_count].path = paths[file_count];
        files[file_count].data = data;
        files[file_count].size = fread(data, 1, 1 << 20, file);
        fclose(file);
    }
}

int main(int argc, char **argv) {
    unsigned long calls, call, worked, kinds = 0;
    size_t i;
    if (argc < 4) return 2;
    state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
    calls = strtoul(argv[2], NULL, 10);
    read_files(argv + 3, argc - 3);
    for (i = 0; i < 4; i++) {
        rooms[i] = (char *)calloc(1, ROOM);
        if (rooms[i] == NULL) return 2;
    }
    for (call = 0; call < calls && failures == 0; call++) {
        switch (below(16)) {
        case 0: case 1: open_model(); break;
        case 2: case 3: ask_model(); break;
        case 4: case 5: make_session(); break;
        case 6: case 7: ask_session(); break;
        case 8: free_something(); break;
        default: run_session(); break;
        }
        if (failures != 0) printf("in call %lu of seed %s\n", call, argv[1]);
    }
    for (i = 0; i < SLOTS; i++) {
        far_model_free(models[i]);
        far_session_free(sessions[i].session);
        free(sessions[i].memory);
    }
    for (i = 0; i < 4; i++) free(rooms[i]);
    for (i = 0; i < file_count; i++) free(files[i].data);
    /* A fuzzer that is refused early finds nothing. */
    worked = statuses[FAR_OK];
    for (i = 1; i < 1000; i++) kinds += statuses[i] > 0;
    fprintf(stderr, "%lu calls, %lu worked, %lu kinds of refusal\n", call, worked, kinds);
    HOLD(calls < 5000 || (worked * 4 > calls && kinds >= 16));
    return verdict();
}
