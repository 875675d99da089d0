/*
 * npy.h: reads NumPy's .npy files, as little as an example needs: one C-ordered little-endian array of one type.
 * The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
#ifndef NPY_H
#define NPY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NPY_MAX_RANK 8

typedef struct npy_array {
    void *data; /* free() it */
    size_t count; /* elements in all */
    size_t rank;
    size_t dims[NPY_MAX_RANK];
} npy_array;

/* The header is a Python dict such as {'descr': '<f4', 'fortran_order': False, 'shape': (1000, 10), } */
static const char *npy_parse(const char *header, const char *descr, size_t element_size, npy_array *array) {
    char expected[32];
    const char *at;
    snprintf(expected, sizeof expected, "'descr': '%s'", descr);
    if (strstr(header, expected) == NULL) return "has another element type than expected";
    if (strstr(header, "'fortran_order': False") == NULL) return "is not in C order";
    at = strstr(header, "'shape': (");
    if (at == NULL) return "has no shape";
    at += strlen("'shape': (");
    array->rank = 0;
    array->count = 1;
    while (*at >= '0' && *at <= '9') {
        char *end;
        unsigned long long dim = strtoull(at, &end, 10);
        if (array->rank == NPY_MAX_RANK) return "has too many dimensions";
        if (dim != 0 && array->count > SIZE_MAX / element_size / dim) return "is too large";
        array->dims[array->rank++] = (size_t)dim;
        array->count *= (size_t)dim;
        at = end + strspn(end, ", ");
    }
    return *at == ')' ? NULL : "has a shape that is not understood";
}

static const char *npy_read(FILE *file, const char *descr, size_t element_size, npy_array *array) {
    unsigned char head[12];
    size_t length;
    char *header;
    const char *wrong;
    if (fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY", 6) != 0) return "is not a .npy file";
    length = head[8] | (size_t)head[9] << 8;
    if (head[6] >= 2) { /* from version 2 on, the length has four bytes */
        if (fread(head + 10, 1, 2, file) != 2) return "ends in its header";
        length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    if (length > 65536) return "has a header that is too long";
    header = (char *)calloc(length + 1, 1);
    if (header == NULL) return "does not fit in memory";
    wrong = "ends in its header";
    if (fread(header, 1, length, file) == length) wrong = npy_parse(header, descr, element_size, array);
    free(header);
    if (wrong != NULL) return wrong;
    array->data = malloc(array->count * element_size + 1);
    if (array->data == NULL) return "does not fit in memory";
    if (fread(array->data, element_size, array->count, file) != array->count) {
        free(array->data);
        array->data = NULL;
        return "is shorter than its shape says";
    }
    return NULL;
}

/* Reads an array of type `descr` ("<f4", "<i8"). NULL when it worked, else what is wrong with the file. */
static const char *npy_load(const char *path, const char *descr, size_t element_size, npy_array *array) {
    FILE *file = fopen(path, "rb");
    const char *wrong;
    memset(array, 0, sizeof *array);
    if (file == NULL) return "can't be opened";
    wrong = npy_read(file, descr, element_size, array);
    fclose(file);
    return wrong;
}

#endif /* NPY_H */
