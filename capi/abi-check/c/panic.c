/*
 * Panics inside libfar, which are defects, seen from C: `panic WIDE.far`. Each is a status with a text, the session it struck
 * is refused from then on, and all others work. libfar must be built with `--cfg far_provoke`.
 */
#include "expect.h"
#include <pthread.h>

enum { ELEMENTS = 64 * 64, ROUNDS = 200 };

/* Where libfar panics next: as in capi/src/provoke.rs. */
enum { IN_RUN = 1, IN_STEP = 2, IN_NEW = 3 };
void far_provoke_panic(uint32_t place);

static float x[ELEMENTS], expected[ELEMENTS];

static far_status run(far_session *session, float *y) {
    far_input input = FAR_INPUT_F32(x, ELEMENTS);
    far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
    return far_session_run(session, &input, 1, &output, 1);
}

static int right(far_session *session) {
    float y[ELEMENTS];
    return run(session, y) == FAR_OK && memcmp(y, expected, sizeof y) == 0;
}

static void one_by_one(void *context, size_t count, far_lane_function lane, void *job) {
    size_t i;
    (void)context;
    for (i = 0; i < count; i++) lane(job, i);
}

/* The text is of the panic: that it is a defect, what was said, and in which file. */
static void says(const char *what) {
    const char *text = far_last_error();
    HOLD(strstr(text, what) != NULL);
    HOLD(strstr(text, "as expected by this test") != NULL && strstr(text, "provoke.rs") != NULL);
}

/* From now on whatever would touch what the run left is refused; the rest is answered. */
static void is_poisoned(far_session *session) {
    float y[ELEMENTS];
    far_step_profile step = FAR_STEP_PROFILE_INIT;
    size_t steps = 0;
    int i;
    for (i = 0; i < 3; i++) EXPECT(FAR_ERROR_POISONED, run(session, y));
    HOLD(strstr(far_last_error(), "internal error") != NULL);
    EXPECT(FAR_ERROR_POISONED, far_session_profile(session, 0, &step));
    EXPECT(FAR_ERROR_POISONED, far_session_profile_reset(session));
    EXPECT(FAR_OK, far_session_cancel(session));
    EXPECT(FAR_OK, far_session_step_count(session, &steps));
}

static int others_right = 1;

static void *run_often(void *argument) {
    int i;
    for (i = 0; i < ROUNDS; i++) others_right &= right((far_session *)argument);
    return NULL;
}

int main(int argc, char **argv) {
    const far_thread_pool pool = FAR_THREAD_POOL_INIT(one_by_one, NULL);
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *struck = NULL, *helped = NULL, *other = NULL, *none = NULL;
    float y[ELEMENTS];
    pthread_t thread;
    int i;
    if (argc != 2) return 2;
    for (i = 0; i < ELEMENTS; i++) x[i] = (float)(i % 97) / 50.0f - 0.9f;
    options.threads = 2;
    options.flags = FAR_SESSION_PROFILE;
    EXPECT(FAR_OK, far_model_open(argv[1], NULL, &model));
    EXPECT(FAR_OK, far_session_new(model, &options, &struck));
    EXPECT(FAR_OK, far_session_new(model, &options, &other));
    options.pool = &pool;
    EXPECT(FAR_OK, far_session_new(model, &options, &helped));
    if (failures != 0) return verdict();
    EXPECT(FAR_OK, run(other, expected));
    HOLD(right(struck) && right(helped));

    far_provoke_panic(IN_RUN);
    EXPECT(FAR_ERROR_INTERNAL, run(struck, y));
    says("internal error, please report it");
    is_poisoned(struck);
    HOLD(right(other) && right(helped));

    /* In a step, while the other session runs in another thread. */
    if (pthread_create(&thread, NULL, run_often, other) != 0) return 2;
    far_provoke_panic(IN_STEP);
    EXPECT(FAR_ERROR_INTERNAL, run(helped, y));
    says("`first`");
    is_poisoned(helped);
    pthread_join(thread, NULL);
    HOLD(others_right);

    /* A session that was not made is not handed out, and the next one is. */
    far_provoke_panic(IN_NEW);
    EXPECT(FAR_ERROR_INTERNAL, far_session_new(model, &options, &none));
    says("internal error, please report it");
    HOLD(none == NULL);
    far_session_free(struck);
    far_session_free(helped);
    EXPECT(FAR_OK, far_session_new(model, &options, &helped));
    HOLD(right(helped) && right(other));

    far_model_free(model);
    far_session_free(other);
    far_session_free(helped);
    return verdict();
}
