/*
 * Files that change while a model is open: `files WIDE.far`, which it overwrites. Another file renamed over it, and one that is shortened
 * while runs go on: read with FAR_MODEL_COPY the bits stay; mapped, a shortened file ends the process with SIGBUS, as far.h says.
 */
#define _DEFAULT_SOURCE
#include "expect.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ELEMENTS = 64 * 64, RUNS = 2000 };

static float x[ELEMENTS], expected[ELEMENTS];
static char *data;
static size_t size;
static const char *path;

static void write_file(const char *name) {
    FILE *file = fopen(name, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) exit(2);
}

static far_session *open_session(uint32_t flags) {
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    options.flags = flags;
    EXPECT(FAR_OK, far_model_open(path, &options, &model));
    EXPECT(FAR_OK, far_session_new(model, NULL, &session));
    far_model_free(model);
    return session;
}

static void run(far_session *session, float *y) {
    far_input input = FAR_INPUT_F32(x, ELEMENTS);
    far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
    EXPECT(FAR_OK, far_session_run(session, &input, 1, &output, 1));
}

static void *shorten(void *unused) {
    (void)unused;
    usleep(2000);
    if (truncate(path, 0) != 0) exit(2);
    return NULL;
}

/* Runs while the file is shortened to nothing; whether all runs gave the expected bits. */
static int run_while_shortened(uint32_t flags) {
    static float y[ELEMENTS];
    far_session *session;
    pthread_t thread;
    int i, same = 1;
    write_file(path);
    session = open_session(flags);
    if (pthread_create(&thread, NULL, shorten, NULL) != 0) exit(2);
    for (i = 0; i < RUNS; i++) {
        run(session, y);
        same &= memcmp(y, expected, sizeof y) == 0;
    }
    pthread_join(thread, NULL);
    run(session, y);
    same &= memcmp(y, expected, sizeof y) == 0;
    far_session_free(session);
    return same;
}

int main(int argc, char **argv) {
    static float y[ELEMENTS];
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *session;
    char other[1024];
    int i, status = 0;
    pid_t child;
    FILE *file;
    if (argc != 2) return 2;
    path = argv[1];
    data = (char *)malloc(1 << 20);
    file = fopen(path, "rb");
    if (data == NULL || file == NULL) return 2;
    size = fread(data, 1, 1 << 20, file);
    fclose(file);
    for (i = 0; i < ELEMENTS; i++) x[i] = (float)(i % 31) / 16 - 1;
    session = open_session(0);
    run(session, expected);

    /* Another file over it, damaged besides: the open model keeps the first. */
    snprintf(other, sizeof other, "%s.new", path);
    data[size - 1] ^= 1;
    write_file(other);
    data[size - 1] ^= 1;
    if (rename(other, path) != 0) return 2;
    run(session, y);
    HOLD(memcmp(y, expected, sizeof y) == 0);
    far_session_free(session);
    EXPECT(FAR_ERROR_CORRUPT, far_model_open(path, NULL, &model));

    HOLD(run_while_shortened(FAR_MODEL_COPY));
    EXPECT(FAR_ERROR_NOT_AN_ARTIFACT, far_model_open(path, NULL, &model)); /* it is empty */
    options.flags = FAR_MODEL_COPY;
    EXPECT(FAR_ERROR_NOT_AN_ARTIFACT, far_model_open(path, &options, &model));

    /* Mapped, in a process that may end. */
    fflush(stdout);
    child = fork();
    if (child < 0) return 2;
    if (child == 0) {
        run_while_shortened(0);
        _exit(3);
    }
    waitpid(child, &status, 0);
    HOLD(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);

    /* Memory is copied or used in place; the flag is for files. */
    EXPECT(FAR_ERROR_OPTION, far_model_open_memory(data, size, &options, &model));
    EXPECT(FAR_ERROR_OPTION, far_model_open_static(data, size, &options, &model));
    write_file(path);
    EXPECT(FAR_ERROR_FILE_NOT_FOUND, far_model_open(other, &options, &model));
    EXPECT(FAR_OK, far_model_open(path, &options, &model));
    far_model_free(model);
    free(data);
    return verdict();
}
