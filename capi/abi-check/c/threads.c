/*
 * Many threads at once: `threads ROUNDS WIDE.far [race]`. Two sessions of one model in two threads; one model shared by eight threads,
 * which make, run, ask and free sessions of their own; one session handed from thread to thread; runs refused as busy
 * or cancelled from outside. Every run that works must give the same bits. With `race` two sessions write to the same
 * output, which is this program's mistake, and a sanitizer of threads has to see it.
 */
#include "expect.h"
#include <pthread.h>

enum { ELEMENTS = 64 * 64, SHARING = 8 };

static int rounds;
static float x[ELEMENTS], expected[ELEMENTS];
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

/* Failures are counted by many threads. */
#define CHECK(condition)                                                       \
    do {                                                                       \
        const int holds = (condition);                                         \
        pthread_mutex_lock(&counting);                                         \
        hold(__LINE__, #condition, holds);                                     \
        pthread_mutex_unlock(&counting);                                       \
    } while (0)

static far_status run(far_session *session, float *y) {
    far_input input = FAR_INPUT_F32(x, ELEMENTS);
    far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
    return far_session_run(session, &input, 1, &output, 1);
}

static float *room(void) {
    float *y = (float *)malloc(sizeof expected);
    if (y == NULL) exit(2);
    return y;
}

static void *run_often(void *argument) {
    far_session *session = (far_session *)argument;
    float *y = room();
    int i;
    for (i = 0; i < rounds; i++) {
        CHECK(run(session, y) == FAR_OK);
        CHECK(memcmp(y, expected, sizeof expected) == 0);
    }
    free(y);
    return NULL;
}

static float raced[ELEMENTS];

static void *run_into_the_same(void *argument) {
    run((far_session *)argument, raced);
    return NULL;
}

static void *make_often(void *argument) {
    const far_model *model = (const far_model *)argument;
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    float *y = room();
    int i;
    for (i = 0; i < rounds; i++) {
        far_session *session = NULL;
        options.threads = 1 + (uint32_t)i % 2;
        CHECK(far_session_new(model, &options, &session) == FAR_OK);
        CHECK(far_model_input_info(model, 0, &info) == FAR_OK);
        CHECK(run(session, y) == FAR_OK);
        CHECK(memcmp(y, expected, sizeof expected) == 0);
        CHECK(far_session_run(session, NULL, 1, NULL, 1) == FAR_ERROR_NULL_POINTER);
        far_session_free(session);
    }
    free(y);
    return NULL;
}

static void *run_against_others(void *argument) {
    far_session *session = (far_session *)argument;
    float *y = room();
    int i;
    for (i = 0; i < rounds; i++) {
        far_status status = run(session, y);
        CHECK(status == FAR_OK || status == FAR_ERROR_BUSY || status == FAR_ERROR_CANCELLED);
        CHECK(status != FAR_OK || memcmp(y, expected, sizeof expected) == 0);
    }
    free(y);
    return NULL;
}

static void *cancel_often(void *argument) {
    const far_session *session = (const far_session *)argument;
    far_step_profile step = FAR_STEP_PROFILE_INIT;
    int i;
    for (i = 0; i < rounds; i++) {
        far_status status = far_session_profile(session, 0, &step);
        CHECK(status == FAR_OK || status == FAR_ERROR_BUSY);
        CHECK(far_session_cancel(session) == FAR_OK);
    }
    return NULL;
}

static void together(int count, void *(*const *functions)(void *), void *const *arguments) {
    pthread_t threads[SHARING];
    int i;
    for (i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, functions[i], arguments[i]) != 0) exit(2);
    }
    for (i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *sessions[2] = { NULL, NULL };
    void *(*functions[SHARING])(void *);
    void *arguments[SHARING];
    int i;
    if (argc < 3) return 2;
    rounds = atoi(argv[1]);
    for (i = 0; i < ELEMENTS; i++) x[i] = (float)(i % 97) / 50.0f - 0.9f;
    EXPECT(FAR_OK, far_model_open(argv[2], NULL, &model));
    for (i = 0; i < 2; i++) {
        options.threads = 1 + (uint32_t)i;
        options.flags = FAR_SESSION_PROFILE;
        EXPECT(FAR_OK, far_session_new(model, &options, &sessions[i]));
    }
    if (failures != 0) return 1;
    EXPECT(FAR_OK, run(sessions[0], expected));

    for (i = 0; i < 2; i++) {
        functions[i] = argc > 3 ? run_into_the_same : run_often;
        arguments[i] = sessions[i];
    }
    together(2, functions, arguments);
    /* The same session in one thread after another. */
    together(1, functions, &arguments[1]);

    for (i = 0; i < SHARING; i++) {
        functions[i] = make_often;
        arguments[i] = model;
    }
    together(SHARING, functions, arguments);

    for (i = 0; i < 3; i++) {
        functions[i] = i < 2 ? run_against_others : cancel_often;
        arguments[i] = sessions[1];
    }
    together(3, functions, arguments);
    together(1, &functions[0], &arguments[1]);

    far_model_free(model);
    far_session_free(sessions[0]);
    far_session_free(sessions[1]);
    return verdict();
}
