/*
 * from_memory: opens a model that is in memory already, such as one out of a flash partition or a network. Where the model is
 * part of the program (`farc compile -o model.o` or `model.c`), far_model_open_static() uses it in place.
 *
 *     from_memory MODEL.far
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

/* The bytes of a file; NULL where it can't be read. */
static unsigned char *bytes_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long length;
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)length;
        bytes = malloc(*size);
        if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    far_model *model = NULL;
    const char *name = NULL;
    const char *features = NULL;
    uint64_t arena = 0;
    size_t size = 0;
    unsigned char *bytes;
    far_status status;

    if (argc != 2) return fprintf(stderr, "usage: from_memory MODEL.far\n"), 2;
    bytes = bytes_of(argv[1], &size);
    if (bytes == NULL) return fprintf(stderr, "error: can't read %s\n", argv[1]), 1;
    status = far_model_open_memory(bytes, size, NULL, &model);
    free(bytes); /* what the model needs of them was copied */
    if (status == FAR_OK) status = far_model_name(model, &name);
    if (status == FAR_OK) status = far_model_required_features(model, NULL, &features);
    if (status == FAR_OK) status = far_model_arena_size(model, &arena);
    if (status != FAR_OK) return fprintf(stderr, "error: %s (%s)\n", far_last_error(), far_status_name(status)), 1;
    printf("%s: %zu bytes proved, needs features %s and %llu bytes of arena a session\n", name, size, features,
           (unsigned long long)arena);
    far_model_free(model);
    return 0;
}
