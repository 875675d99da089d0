/* What the test programs share: expectations that say where they failed. */
#ifndef EXPECT_H
#define EXPECT_H

#include <far.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static inline void expect(int line, const char *what, far_status expected, far_status got) {
    if (expected == got) return;
    printf("line %d: %s: expected %s, got %s (%s)\n", line, what, far_status_name(expected), far_status_name(got),
           far_last_error());
    failures++;
}

static inline void hold(int line, const char *what, int holds) {
    if (holds) return;
    printf("line %d: %s does not hold\n", line, what);
    failures++;
}

#define EXPECT(status, call) expect(__LINE__, #call, status, call)
#define HOLD(condition) hold(__LINE__, #condition, condition)

/* The last line of a program, and its exit status. */
static inline int verdict(void) {
    if (failures == 0) puts("all as expected");
    return failures != 0;
}

#endif
