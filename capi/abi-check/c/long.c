/*
 * One session, run again and again: `long RUNS MODEL.far HISTOGRAM.svg`. Every run must give the bits of the first, and after a tenth of
 * the runs the process must not grow any more. The time of each run goes into a histogram.
 */
#define _POSIX_C_SOURCE 199309L
#include "expect.h"
#include <math.h>
#include <time.h>
#include <unistd.h>

enum { ELEMENTS = 64 * 64, BUCKETS = 96, WIDTH = 720, HEIGHT = 300, BASE = 250, LEFT = 40 };

static float x[ELEMENTS], first[ELEMENTS], y[ELEMENTS];
/* Bucket i counts runs of up to 1.15^i microseconds. */
static long buckets[BUCKETS];

/* What the process holds without the pages of files: of code the system maps 64 KiB at a time, whenever a line of it is first needed. */
static long resident_kib(void) {
    long pages = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld %ld", &pages, &resident, &shared) != 3) exit(2);
    fclose(file);
    return (resident - shared) * (sysconf(_SC_PAGESIZE) / 1024);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static double upper(int bucket) { return pow(1.15, bucket); }

/* The end of the bucket in which that part of the runs has ended. */
static double quantile(long runs, double part) {
    long sum = 0;
    int i;
    for (i = 0; i < BUCKETS; i++) {
        sum += buckets[i];
        if ((double)sum >= part * (double)runs) break;
    }
    return upper(i);
}

/* A bar for each bucket, its height the logarithm of the count. */
static void draw(const char *path, long runs, double most) {
    FILE *file = fopen(path, "w");
    int i, lowest = 0, highest = BUCKETS - 1;
    double width, mark;
    if (file == NULL) exit(2);
    while (lowest < highest && buckets[lowest] == 0) lowest++;
    while (highest > lowest && buckets[highest] == 0) highest--;
    width = (double)(WIDTH - LEFT - 20) / (highest - lowest + 1);
    fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">\n", WIDTH, HEIGHT);
    fprintf(file, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, HEIGHT);
    fprintf(file, "<text x=\"%d\" y=\"18\">%ld runs: p50 %.0f µs, p99 %.0f µs, p99.9 %.0f µs, longest %.0f µs; bars: how many runs, logarithmic</text>\n",
            LEFT, runs, quantile(runs, 0.5), quantile(runs, 0.99), quantile(runs, 0.999), most);
    for (i = lowest; i <= highest; i++) {
        double height = buckets[i] > 0 ? 25 + 30 * log10((double)buckets[i]) : 0;
        fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#2a6f97\"><title>up to %.0f µs: %ld</title></rect>\n",
                LEFT + (i - lowest) * width, BASE - height, width - 1, height, upper(i), buckets[i]);
    }
    for (mark = 1; mark <= upper(highest); mark *= 10) {
        double at = LEFT + (log(mark) / log(1.15) - lowest + 1) * width;
        if (mark >= upper(lowest)) fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f µs</text>\n", at, BASE + 16, mark);
    }
    fprintf(file, "</svg>\n");
    fclose(file);
}

int main(int argc, char **argv) {
    far_input input = FAR_INPUT_F32(x, ELEMENTS);
    far_output output = FAR_OUTPUT_F32(y, ELEMENTS);
    far_session_options options = FAR_SESSION_OPTIONS_INIT;
    far_model *model = NULL;
    far_session *session = NULL;
    long runs, run, before = 0, after;
    double most = 0;
    int i;
    if (argc != 4) return 2;
    runs = atol(argv[1]);
    for (i = 0; i < ELEMENTS; i++) x[i] = (float)(i % 31) / 16 - 1;
    options.threads = 1;
    EXPECT(FAR_OK, far_model_open(argv[2], NULL, &model));
    EXPECT(FAR_OK, far_session_new(model, &options, &session));
    EXPECT(FAR_OK, far_session_run(session, &input, 1, &output, 1));
    memcpy(first, y, sizeof y);
    for (run = 0; run < runs && failures == 0; run++) {
        double start = now(), time;
        far_status status = far_session_run(session, &input, 1, &output, 1);
        time = now() - start;
        if (run == runs / 10) before = resident_kib();
        if (status != FAR_OK || memcmp(first, y, sizeof y) != 0) {
            printf("run %ld differs\n", run);
            failures++;
        }
        memset(y, 0, sizeof y);
        for (i = 0; i < BUCKETS - 1 && upper(i) < time; i++) {}
        buckets[i]++;
        if (time > most) most = time;
    }
    after = resident_kib();
    HOLD(after - before < 64);
    draw(argv[3], runs, most);
    fprintf(stderr, "%ld runs with the same bits, %ld KiB after a tenth of them, %ld KiB at the end; p50 %.0f us, p99 %.0f us, p99.9 %.0f us, longest %.0f us\n",
            run, before, after, quantile(runs, 0.5), quantile(runs, 0.99), quantile(runs, 0.999), most);
    far_session_free(session);
    far_model_free(model);
    return verdict();
}
