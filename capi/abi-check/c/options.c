/*
 * What a session's options bring, rightly and wrongly: `options WIDE.far`, whose input x and output y are [64, 64] and
 * whose three steps are each worth several threads. Ends with 0, or says which expectation failed.
 */
#include "expect.h"
#include <pthread.h>

enum { SIDE = 64, ELEMENTS = SIDE * SIDE, LANES = 3 };

static float x[ELEMENTS], y[ELEMENTS], expected[ELEMENTS];

static far_status run(far_session *session) {
    far_input input = FAR_INPUT_F32(x, ELEMENTS);
    far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
    memset(y, 0, sizeof y);
    return far_session_run(session, &input, 1, &output, 1);
}

static int as_expected(void) { return memcmp(y, expected, sizeof y) == 0; }

/* ---- Own memory ---- */

static void own_memory(const far_model *model) {
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_session *session = NULL;
    size_t size = 0, again = 0;
    uint64_t used = 0;
    char *memory, *aligned;
    options.threads = 2;
    EXPECT(FAR_OK, far_session_memory_size(model, &options, &size));
    EXPECT(FAR_OK, far_session_memory_size(model, &options, &again));
    HOLD(size > 0 && size % 64 == 0 && size == again);
    EXPECT(FAR_OK, far_session_memory_size(model, NULL, &again));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_memory_size(NULL, &options, &again));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_memory_size(model, &options, NULL));
    memory = (char *)malloc(size + 64);
    if (memory == NULL) exit(2);
    aligned = memory + (64 - (uintptr_t)memory % 64) % 64;

    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new_in(NULL, &options, aligned, size, &session));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new_in(model, &options, NULL, size, &session));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new_in(model, &options, aligned, size, NULL));
    EXPECT(FAR_ERROR_SIZE, far_session_new_in(model, &options, aligned, size - 1, &session));
    EXPECT(FAR_ERROR_SIZE, far_session_new_in(model, &options, aligned, SIZE_MAX, &session));
    EXPECT(FAR_ERROR_ALIGNMENT, far_session_new_in(model, &options, aligned + 4, size, &session));
    options.threads = FAR_MAX_THREADS + 1;
    EXPECT(FAR_ERROR_OPTION, far_session_new_in(model, &options, aligned, size, &session));
    EXPECT(FAR_ERROR_OPTION, far_session_memory_size(model, &options, &again));
    options.threads = 2;
    options.struct_size = 8;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_new_in(model, &options, aligned, size, &session));
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_memory_size(model, &options, &again));
    options.struct_size = sizeof options;
    HOLD(session == NULL);
    EXPECT(FAR_OK, far_session_new_in(model, &options, aligned, size, &session));
    EXPECT(FAR_OK, run(session));
    HOLD(as_expected());
    EXPECT(FAR_OK, far_session_memory_used(session, &used));
    HOLD(used <= size);
    {
        far_input input = FAR_INPUT_F32((const float *)aligned, ELEMENTS);
        far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
        EXPECT(FAR_ERROR_OVERLAP, far_session_run(session, &input, 1, &output, 1));
    }
    far_session_free(session);
    free(memory);
}

/* ---- A pool: a thread a lane, joined before it returns ---- */

struct lane {
    pthread_t thread;
    far_lane_function function;
    void *job;
    size_t number;
};

struct pool {
    int jobs;
    far_session *to_cancel;
};

static void *run_lane(void *argument) {
    struct lane *lane = (struct lane *)argument;
    lane->function(lane->job, lane->number);
    return NULL;
}

static void in_threads(void *context, size_t count, far_lane_function function, void *job) {
    struct pool *pool = (struct pool *)context;
    struct lane lanes[LANES];
    size_t i;
    pool->jobs++;
    HOLD(count <= LANES);
    if (pool->to_cancel != NULL) EXPECT(FAR_OK, far_session_cancel(pool->to_cancel));
    for (i = 0; i < count; i++) {
        lanes[i].function = function;
        lanes[i].job = job;
        lanes[i].number = i;
        HOLD(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]) == 0);
    }
    for (i = 0; i < count; i++) pthread_join(lanes[i].thread, NULL);
}

/* What a pool should not do: leaves lanes out, calls one twice, and one that there is not. */
static void badly(void *context, size_t count, far_lane_function function, void *job) {
    (void)context;
    function(job, count - 1);
    function(job, count - 1);
    function(job, SIZE_MAX);
}

static void own_threads(const far_model *model) {
    struct pool pool = { 0, NULL };
    const uint32_t cpu = 0;
    far_thread_pool lent = FAR_THREAD_POOL_INIT(in_threads, &pool);
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_session *session = NULL;
    size_t threads = 0;
    options.threads = LANES;
    options.pool = &lent;
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    EXPECT(FAR_OK, far_session_threads(session, &threads));
    HOLD(threads == LANES);
    EXPECT(FAR_OK, run(session));
    HOLD(as_expected() && pool.jobs == 3);

    pool.to_cancel = session;
    EXPECT(FAR_ERROR_CANCELLED, run(session));
    HOLD(pool.jobs == 4);
    pool.to_cancel = NULL;
    EXPECT(FAR_OK, far_session_cancel(session)); /* no run to cancel */
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_cancel(NULL));
    EXPECT(FAR_OK, run(session));
    HOLD(as_expected());
    far_session_free(session);

    lent.parallel_for = badly;
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    EXPECT(FAR_OK, run(session));
    HOLD(as_expected());
    far_session_free(session);

    session = NULL;
    options.cpus = &cpu;
    options.cpu_count = 1;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.cpu_count = 0;
    lent.parallel_for = NULL;
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new(model, &options, &session));
    lent.struct_size = 0;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_new(model, &options, &session));
    HOLD(session == NULL);
}

/* ---- CPUs ---- */

static void cpus(const far_model *model) {
    uint32_t list[2] = { 0, 0 };
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_session *session = NULL;
    options.cpus = list;
    options.cpu_count = 2;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session)); /* listed twice */
    list[1] = 1u << 30;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session)); /* not there */
    options.cpu_count = UINT32_MAX;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.cpu_count = 1;
    options.threads = 2;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session)); /* too few */
    options.cpus = NULL;
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_new(model, &options, &session));
    options.cpus = list;
    options.threads = 0;
    HOLD(session == NULL);
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    EXPECT(FAR_OK, run(session));
    HOLD(as_expected());
    far_session_free(session);
}

/* ---- The log ---- */

struct heard {
    int messages[FAR_LOG_DEBUG + 1];
    char last[1024];
};

static void hear(void *context, far_log_level level, const char *message) {
    struct heard *heard = (struct heard *)context;
    heard->messages[level]++;
    strncpy(heard->last, message, sizeof heard->last - 1);
}

static void log_of(const char *path) {
    struct heard heard;
    far_logger logger = FAR_LOGGER_INIT(hear, &heard, FAR_LOG_DEBUG);
    far_model_options model_options = FAR_MODEL_OPTIONS_INIT;
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    memset(&heard, 0, sizeof heard);
    model_options.logger = options.logger = &logger;
    EXPECT(FAR_ERROR_FILE_NOT_FOUND, far_model_open("/no/such/file", &model_options, &model));
    HOLD(heard.messages[FAR_LOG_ERROR] == 1 && strcmp(heard.last, far_last_error()) == 0);
    EXPECT(FAR_OK, far_model_open(path, &model_options, &model));
    HOLD(heard.messages[FAR_LOG_INFO] == 1 && heard.messages[FAR_LOG_DEBUG] == 2);
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    HOLD(heard.messages[FAR_LOG_INFO] == 2 && heard.messages[FAR_LOG_ERROR] == 1);
    memset(&heard, 0, sizeof heard);
    EXPECT(FAR_OK, run(session));
    EXPECT(FAR_ERROR_COUNT, far_session_run(session, NULL, 0, NULL, 0));
    HOLD(heard.last[0] == '\0'); /* runs log nothing */
    far_session_free(session);
    logger.level = FAR_LOG_ERROR;
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    far_session_free(session);
    HOLD(heard.last[0] == '\0');
    logger.level = 0;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    logger.level = FAR_LOG_INFO;
    logger.reserved = 1;
    EXPECT(FAR_ERROR_OPTION, far_model_open(path, &model_options, &model));
    logger.reserved = 0;
    logger.log = NULL;
    EXPECT(FAR_ERROR_NULL_POINTER, far_model_open(path, &model_options, &model));
    logger.struct_size = 1;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_new(model, &options, &session));
    far_model_free(model);
}

/* ---- The time in each step ---- */

static void profile(const far_model *model) {
    static const char *const names[3] = { "first", "second", "third" };
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_step_profile step = FAR_STEP_PROFILE_INIT;
    far_session *session = NULL;
    size_t count = 0, i;
    options.flags = 1u << 31;
    EXPECT(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.flags = FAR_SESSION_PROFILE;
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    EXPECT(FAR_OK, run(session));
    EXPECT(FAR_OK, run(session));
    EXPECT(FAR_OK, far_session_step_count(session, &count));
    HOLD(count == 3);
    for (i = 0; i < count; i++) {
        EXPECT(FAR_OK, far_session_profile(session, i, &step));
        HOLD(strcmp(step.name, names[i]) == 0 && strcmp(step.op, "gemm") == 0);
        HOLD(strncmp(step.kernel, "gemm_f32_", 9) == 0 && step.precision == FAR_PRECISION_F32);
        HOLD(step.runs == 2 && step.nanoseconds > 0);
    }
    EXPECT(FAR_OK, far_session_profile_reset(session));
    EXPECT(FAR_OK, far_session_profile(session, 0, &step));
    HOLD(step.runs == 0 && step.nanoseconds == 0);
    EXPECT(FAR_ERROR_INDEX, far_session_profile(session, 3, &step));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_profile(NULL, 0, &step));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_profile(session, 0, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_step_count(NULL, &count));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_step_count(session, NULL));
    EXPECT(FAR_ERROR_NULL_POINTER, far_session_profile_reset(NULL));
    step.struct_size = 8;
    EXPECT(FAR_ERROR_STRUCT_SIZE, far_session_profile(session, 0, &step));
    far_session_free(session);
}

int main(int argc, char **argv) {
    far_session_options one = FAR_SESSION_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    int i;
    if (argc != 2) return 2;
    for (i = 0; i < ELEMENTS; i++) x[i] = (float)(i % 97) / 50.0f - 0.9f;
    one.threads = 1;
    EXPECT(FAR_OK, far_model_open(argv[1], NULL, &model));
    EXPECT(FAR_OK, far_session_new(model, &one, &session));
    if (session == NULL) return 1;
    EXPECT(FAR_OK, run(session));
    memcpy(expected, y, sizeof y);
    far_session_free(session);
    own_memory(model);
    own_threads(model);
    cpus(model);
    log_of(argv[1]);
    profile(model);
    far_model_free(model);
    return verdict();
}
