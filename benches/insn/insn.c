/* A plugin for QEMU's user mode that counts executed instructions: in all, and by function.
 *
 *     cc -O2 -shared -fPIC -fvisibility=hidden -o insn.so insn.c
 *     qemu-aarch64 -cpu cortex-a76 -plugin ./insn.so,out=counts.tsv PROGRAM
 *
 * Each line of the result is a count and a function's symbol, in order of first execution; the first line is the total.
 * Counts are exact for a program with one thread: the counters are not atomic. The declarations below are of version 1
 * of QEMU's plugin interface (docs/devel/tcg-plugins in QEMU), which 7.2 has; no header of QEMU is needed.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, enum qemu_plugin_op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct function {
    struct function *next;
    uint64_t count;
    char symbol[];
};

static uint64_t total;
static struct function *first, **last = &first;
static const char *path;

/* The counter of a function; its address never changes, for translated code adds to it. */
static uint64_t *counter(const char *symbol) {
    for (struct function *f = first; f; f = f->next)
        if (!strcmp(f->symbol, symbol)) return &f->count;
    size_t size = strlen(symbol) + 1;
    struct function *f = calloc(1, sizeof *f + size);
    if (!f) abort();
    memcpy(f->symbol, symbol, size);
    *last = f;
    last = &f->next;
    return &f->count;
}

/* Code that is about to be executed for the first time. */
static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const char *symbol = qemu_plugin_insn_symbol(insn);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &total, 1);
        if (symbol && *symbol)
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter(symbol), 1);
    }
}

static void on_exit_of_program(qemu_plugin_id_t id, void *unused) {
    (void)id, (void)unused;
    FILE *out = path ? fopen(path, "w") : stderr;
    if (!out) {
        perror(path);
        return;
    }
    fprintf(out, "%" PRIu64 "\ttotal\n", total);
    for (struct function *f = first; f; f = f->next) fprintf(out, "%" PRIu64 "\t%s\n", f->count, f->symbol);
    if (path) fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4)) {
            fprintf(stderr, "insn: unknown argument `%s`, expected `out=PATH`\n", argv[i]);
            return 1;
        }
        path = strdup(argv[i] + 4);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return 0;
}
