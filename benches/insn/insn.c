/* A plugin for QEMU's user mode that counts how often each stretch of code is executed.
 *
 *     cc -O2 -shared -fPIC -fvisibility=hidden -o insn.so insn.c
 *     qemu-aarch64 -cpu cortex-a76 -plugin ./insn.so,out=counts.tsv PROGRAM
 *
 * Each line of the result is a translation block: how often it was executed, its number of instructions, the address of
 * its first instruction and the one after its last (hexadecimal), and the symbol of its function. Blocks may overlap.
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
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct block {
    struct block *next;
    uint64_t count;
    uint64_t start, end;
    uint64_t insns;
    char symbol[];
};

static struct block *blocks[1 << 14];
static const char *path;

/* The block's counter; its address never changes, for translated code adds to it. Code is translated more than once. */
static uint64_t *counter(uint64_t start, uint64_t end, uint64_t insns, const char *symbol) {
    struct block **bucket = &blocks[(start / 2) % (sizeof blocks / sizeof *blocks)];
    for (struct block *b = *bucket; b; b = b->next)
        if (b->start == start && b->end == end) return &b->count;
    size_t size = strlen(symbol) + 1;
    struct block *b = calloc(1, sizeof *b + size);
    if (!b) abort();
    b->start = start, b->end = end, b->insns = insns;
    memcpy(b->symbol, symbol, size);
    b->next = *bucket;
    *bucket = b;
    return &b->count;
}

/* Code that is about to be executed for the first time. */
static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (n == 0) return;
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
    const char *symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
    uint64_t *count = counter(qemu_plugin_tb_vaddr(tb), end, n, symbol ? symbol : "");
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, count, 1);
}

static void on_exit_of_program(qemu_plugin_id_t id, void *unused) {
    (void)id, (void)unused;
    FILE *out = path ? fopen(path, "w") : stderr;
    if (!out) {
        perror(path);
        return;
    }
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        for (struct block *b = blocks[i]; b; b = b->next)
            fprintf(out, "%" PRIu64 "\t%" PRIu64 "\t%" PRIx64 "\t%" PRIx64 "\t%s\n", b->count, b->insns, b->start,
                    b->end, b->symbol);
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
