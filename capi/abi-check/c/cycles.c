/*
 * Loads, runs and frees again and again: `cycles COUNT WIDE.far`. A cycle opens the file or its bytes, makes a session of its
 * own memory or of libfar's, of one thread or two, runs it, fails a call, and frees both, in either order. After a tenth of the
 * cycles the process must not grow any more.
 */
#include "expect.h"
#include <unistd.h>

enum { ELEMENTS = 64 * 64 };

static float x[ELEMENTS], y[ELEMENTS];

static long resident_kib(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) exit(2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv) {
    long count, cycle, before = 0, after;
    size_t size, needed = 0;
    char *data = (char *)malloc(1 << 20), *memory = (char *)malloc(1 << 20);
    FILE *file;
    if (argc != 3 || data == NULL || memory == NULL) return 2;
    count = atol(argv[1]);
    file = fopen(argv[2], "rb");
    if (file == NULL) return 2;
    size = fread(data, 1, 1 << 20, file);
    fclose(file);
    for (cycle = 0; cycle < count && failures == 0; cycle++) {
        far_input input = FAR_INPUT_F32(x, ELEMENTS);
        far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
        far_session_options options = FAR_SESSION_OPTIONS_INIT;
        far_model *model = NULL;
        far_session *session = NULL;
        if (cycle == count / 10) before = resident_kib();
        options.threads = 1 + (uint32_t)cycle % 2;
        options.flags = FAR_SESSION_PROFILE;
        if (cycle % 3 == 0) {
            EXPECT(FAR_OK, far_model_open_memory(data, size, NULL, &model));
        } else {
            EXPECT(FAR_OK, far_model_open(argv[2], NULL, &model));
        }
        if (cycle % 4 < 2) {
            EXPECT(FAR_OK, far_session_new(model, &options, &session));
        } else {
            EXPECT(FAR_OK, far_session_memory_size(model, &options, &needed));
            HOLD(needed + 64 <= 1 << 20);
            EXPECT(FAR_OK, far_session_new_in(model, &options, memory + (64 - (uintptr_t)memory % 64), needed, &session));
        }
        EXPECT(FAR_OK, far_session_run(session, &input, 1, &output, 1));
        EXPECT(FAR_ERROR_COUNT, far_session_run(session, &input, 1, &output, 0));
        EXPECT(FAR_ERROR_CORRUPT, far_model_open_memory(data, size - 1, NULL, &model));
        if (cycle % 2 == 0) far_model_free(model);
        far_session_free(session);
        if (cycle % 2 == 1) far_model_free(model);
    }
    after = resident_kib();
    fprintf(stderr, "%ld cycles, %ld KiB after a tenth of them, %ld KiB at the end\n", cycle, before, after);
    /* What the allocator keeps moves by some pages; a leak of 64 bytes a cycle would be more. */
    HOLD(count < 1000 || after - before < 256);
    free(data);
    free(memory);
    return verdict();
}
