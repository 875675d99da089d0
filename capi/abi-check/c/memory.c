/*
 * Fails each allocation in turn: `memory TEXT.far WIDE.far MAKER.pub`, with the maker's signature in WIDE.far.sig. Linked with --wrap for malloc and its kin, so that those of libfar and of
 * the standard library in it are seen. A process of its own for each: it opens, makes sessions, runs and frees, one allocation
 * fails, and what called it must answer that there is no memory, with nothing left behind. Twice: in a process that has used libfar before
 * (what is left behind is counted), and in a new one (what is allocated once only is failed too). Then with address space that is
 * too small, in steps of 64 KiB up to what is enough.
 */
#define _DEFAULT_SOURCE
#include "expect.h"
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
int __real_posix_memalign(void **, size_t, size_t);
void __real_free(void *);

static atomic_long calls, alive, fails_at = -1, in_run;
static atomic_int running;

/* Whether this allocation has to fail. */
static int fails(void) {
    if (atomic_load(&running)) atomic_fetch_add(&in_run, 1);
    return atomic_fetch_add(&calls, 1) == atomic_load(&fails_at);
}

static void *counted(void *memory) {
    if (memory != NULL) atomic_fetch_add(&alive, 1);
    return memory;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }

void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : counted(__real_calloc(count, size)); }

void *__wrap_realloc(void *memory, size_t size) {
    void *moved;
    if (fails()) return NULL;
    moved = __real_realloc(memory, size);
    return memory == NULL ? counted(moved) : moved;
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    int status;
    if (fails()) return 12; /* ENOMEM */
    status = __real_posix_memalign(memory, alignment, size);
    if (status == 0) counted(*memory);
    return status;
}

void __wrap_free(void *memory) {
    if (memory != NULL) atomic_fetch_sub(&alive, 1);
    __real_free(memory);
}

static float x[64 * 64], y[64 * 64];
static char *data;
static size_t size;
/* A path longer than what the standard library keeps on the stack. */
static char path[1024];
static uint8_t key[FAR_PUBLIC_KEY_SIZE];

/* Whether a call may have failed for want of memory. Of the room for a stack the system says only that there is no thread. */
static int short_of_memory(far_status status) {
    if (status != FAR_ERROR_OUT_OF_MEMORY && (atomic_load(&fails_at) >= 0 || status != FAR_ERROR_THREAD)) {
        printf("a failed allocation gave %s (%s)\n", far_status_name(status), far_last_error());
        failures++;
    }
    return 1;
}

static void run_wide(far_session *session) {
    far_input input = FAR_INPUT_F32(x, sizeof x / sizeof *x);
    far_output output = FAR_OUTPUT_F32(y, sizeof y / sizeof *y);
    atomic_store(&running, 1);
    EXPECT(FAR_OK, far_session_run(session, &input, 1, &output, 1));
    atomic_store(&running, 0);
}

static void lanes(void *context, size_t count, far_lane_function lane, void *job) {
    size_t i;
    (void)context;
    for (i = 0; i < count; i++) lane(job, i);
}

/* Whether an allocation failed in a call that has to be refused anyway; the answer is one or the other. */
static int refused(far_status expected, far_status status) {
    if (status == FAR_ERROR_OUT_OF_MEMORY) return short_of_memory(status);
    EXPECT(expected, status);
    return 0;
}

/* What is refused, and says why. Whether an allocation failed. */
static int refusals(const char *text) {
    static const uint32_t twice[] = {0, 0};
    far_model *model = NULL;
    far_session *session = NULL;
    far_model_options limited = FAR_MODEL_OPTIONS_INIT;
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_input input = FAR_INPUT_F32(x, 7);
    far_output output = FAR_OUTPUT_F32(y, sizeof y / sizeof *y);
    int32_t ids[1] = {0};
    far_input other = FAR_INPUT_I32(ids, 1);
    far_status status;
    int failed;
    limited.max_steps = 1;
    if (refused(FAR_ERROR_FILE_NOT_FOUND, far_model_open("/no/such/file.far", NULL, &model))) return 1;
    if (refused(FAR_ERROR_LIMIT, far_model_open(text, &limited, &model))) return 1;
    if (refused(FAR_ERROR_CORRUPT, far_model_open_memory(data, size / 2, NULL, &model))) return 1;
    status = far_model_open_memory(data, size, NULL, &model);
    if (status != FAR_OK) return short_of_memory(status);
    options.threads = 2, options.cpus = twice, options.cpu_count = 2;
    failed = refused(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    options.threads = 1, options.cpus = NULL, options.cpu_count = 0;
    setenv("FAR_ISA", "sse9", 1);
    if (!failed) failed = refused(FAR_ERROR_OPTION, far_session_new(model, &options, &session));
    unsetenv("FAR_ISA");
    if (!failed) {
        status = far_session_new(model, &options, &session);
        if (status != FAR_OK) failed = short_of_memory(status);
    }
    if (session != NULL) {
        if (!failed) failed = refused(FAR_ERROR_SIZE, far_session_run(session, &input, 1, &output, 1));
        if (!failed) failed = refused(FAR_ERROR_DTYPE, far_session_run(session, &other, 1, &output, 1));
        far_session_free(session);
    }
    far_model_free(model);
    return failed;
}

/* All that allocates, until something fails. Whether something did. */
static int everything(const char *text) {
    far_model *model = NULL;
    far_session *session = NULL;
    far_thread_pool pool = FAR_THREAD_POOL_INIT(lanes, NULL);
    int way, failed = 0;
    for (way = 0; way < 7 && !failed; way++) {
        far_session_options options = FAR_SESSION_OPTIONS_INIT;
        far_model_options copied = FAR_MODEL_OPTIONS_INIT;
        if (way == 6) copied.public_key = key;
        far_status status = way == 0   ? far_model_open(path, NULL, &model)
                            : way == 1 ? far_model_open(text, NULL, &model)
                            : way == 5 ? (copied.flags = FAR_MODEL_COPY, far_model_open(path, &copied, &model))
                            : way == 6 ? far_model_open(path, &copied, &model)
                                       : far_model_open_memory(data, size, NULL, &model);
        if (status != FAR_OK) return short_of_memory(status);
        options.threads = way == 2 ? 3 : way == 3 ? 0 : 1;
        if (way == 4) options.threads = 2, options.pool = &pool;
        options.flags = FAR_SESSION_PROFILE;
        status = far_session_new(model, &options, &session);
        if (status != FAR_OK) {
            failed = short_of_memory(status);
        } else {
            if (way != 1) run_wide(session);
            far_session_free(session);
        }
        far_model_free(model);
    }
    if (!failed) failed = refusals(text);
    if (!failed) {
        const char *names;
        far_status status = far_cpu_features(NULL, &names);
        if (status != FAR_OK) return short_of_memory(status);
    }
    return failed;
}

/* Fails allocation `at` in a process of its own; whether there are as many. */
static int one(const char *text, long at, int warm) {
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        long before;
        int failed;
        before = atomic_load(&alive);
        atomic_store(&calls, 0);
        atomic_store(&fails_at, at);
        failed = everything(text);
        atomic_store(&fails_at, -1);
        if (warm && atomic_load(&alive) != before) {
            printf("allocation %ld: %ld blocks left behind\n", at, atomic_load(&alive) - before);
            failures++;
        }
        if (atomic_load(&in_run) != 0) {
            printf("runs allocated %ld times\n", atomic_load(&in_run));
            failures++;
        }
        if (failures == 0 && !failed && atomic_load(&calls) > at) {
            printf("allocation %ld failed and nothing came of it\n", at);
            failures++;
        }
        fflush(stdout);
        _exit(failures != 0 ? 1 : atomic_load(&calls) > at ? 0 : 3);
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) return 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("allocation %ld of a %s process: status %#x\n", at, warm ? "used" : "new", (unsigned)status);
        failures++;
    }
    return 1;
}

/* Everything in a process whose address space may grow by `room` bytes; whether that was enough. */
static int within(const char *text, long room) {
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        long pages = 0;
        int failed;
        struct rlimit limit;
        FILE *file = fopen("/proc/self/statm", "r");
        if (file == NULL || fscanf(file, "%ld", &pages) != 1) _exit(2);
        fclose(file);
        limit.rlim_cur = limit.rlim_max = (rlim_t)(pages * sysconf(_SC_PAGESIZE) + room);
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        failed = everything(text);
        fflush(stdout);
        _exit(failures != 0 ? 1 : failed ? 0 : 3);
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) return 1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("with room for %ld bytes: status %#x\n", room, (unsigned)status);
        failures++;
    }
    return 0;
}

int main(int argc, char **argv) {
    long cold, warm, i, room;
    FILE *file;
    if (argc != 4) return 2;
    file = fopen(argv[2], "rb");
    data = (char *)malloc(1 << 20);
    if (file == NULL || data == NULL) return 2;
    size = fread(data, 1, 1 << 20, file);
    fclose(file);
    file = fopen(argv[3], "rb");
    if (file == NULL || fread(key, 1, sizeof key, file) != sizeof key) return 2;
    fclose(file);
    for (i = 0; i < 300; i++) strcat(path, "./");
    strcat(path, argv[2]);

    for (cold = 0; one(argv[1], cold, 0) && failures < 20; cold++) {}
    for (room = 0; !within(argv[1], room) && failures < 20; room += 64 << 10) {}
    everything(argv[1]);
    for (warm = 0; one(argv[1], warm, 1) && failures < 20; warm++) {}
    HOLD(cold > 100 && warm > 100);
    HOLD(room > 1 << 20);
    fprintf(stderr, "%ld allocations failed in turn in a new process, %ld in a used one; %ld KiB of address space are enough\n",
            cold, warm, room >> 10);
    free(data);
    return verdict();
}
