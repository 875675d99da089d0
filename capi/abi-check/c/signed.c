/*
 * Demands signatures and sets limits, rightly and wrongly: `signed FIXTURE.far MAKER.pub OTHER.pub OTHER.sig TEXT.far`, with the maker's
 * signature in FIXTURE.far.sig, another's in OTHER.sig, and the two public keys as their bare bytes. It works on copies. Ends with 0,
 * or says which expectation failed.
 */
#define _DEFAULT_SOURCE
#include "expect.h"
#include <unistd.h>

enum { ROOM = 1 << 20 };

struct file {
    uint8_t *data;
    size_t size;
};

static struct file artifact, signature, theirs;
static uint8_t maker[FAR_PUBLIC_KEY_SIZE], other[FAR_PUBLIC_KEY_SIZE];
static const char *const PLACE = "place.far", *const BESIDE = "place.far.sig";

static struct file read_file(const char *path) {
    struct file it = { (uint8_t *)malloc(ROOM), 0 };
    FILE *file = fopen(path, "rb");
    if (file == NULL || it.data == NULL) exit(2);
    it.size = fread(it.data, 1, ROOM, file);
    fclose(file);
    return it;
}

static void write_file(const char *path, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) exit(2);
}

static far_model_options demanding(const uint8_t *key) {
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    options.public_key = key;
    return options;
}

static far_model_options with(const uint8_t *key, const struct file *signatures) {
    far_model_options options = demanding(key);
    options.signature = signatures->data;
    options.signature_size = signatures->size;
    return options;
}

/* What opening answers; a model that is opened must be freed, one that is not must not be written. */
static far_status freed(far_status status, far_model *model) {
    HOLD(status == FAR_OK || model == NULL);
    far_model_free(model);
    return status;
}

static far_status in_memory(const uint8_t *data, size_t size, const far_model_options *options) {
    far_model *model = NULL;
    return freed(far_model_open_memory(data, size, options, &model), model);
}

static far_status in_place(const uint8_t *data, size_t size, const far_model_options *options) {
    far_model *model = NULL;
    return freed(far_model_open_static(data, size, options, &model), model);
}

static far_status in_file(const far_model_options *options) {
    far_model *model = NULL;
    return freed(far_model_open(PLACE, options, &model), model);
}

/* Every byte counts: of the header each, then one of every 97. */
static void tampered(void) {
    const far_model_options options = with(maker, &signature);
    size_t i;
    EXPECT(FAR_OK, in_memory(artifact.data, artifact.size, &options));
    for (i = 0; i < artifact.size; i += i < 128 ? 1 : 97) {
        artifact.data[i] ^= (uint8_t)(1 << i % 8);
        EXPECT(FAR_ERROR_SIGNATURE, in_memory(artifact.data, artifact.size, &options));
        artifact.data[i] ^= (uint8_t)(1 << i % 8);
    }
    HOLD(strstr(far_last_error(), "; hint: ") != NULL);
    for (i = 0; i < artifact.size; i += 1009) {
        EXPECT(FAR_ERROR_CORRUPT, in_memory(artifact.data, i, &options));
    }
    EXPECT(FAR_ERROR_CORRUPT, in_memory(artifact.data, artifact.size - 1, &options));
    EXPECT(FAR_ERROR_CORRUPT, in_memory(artifact.data, artifact.size + 1, &options));
    EXPECT(FAR_OK, in_memory(artifact.data, artifact.size, &options));
}

static void keys(void) {
    uint8_t none[FAR_PUBLIC_KEY_SIZE] = { 1 };
    far_model_options options = with(maker, &theirs);
    struct file forged = { theirs.data, theirs.size };
    EXPECT(FAR_ERROR_OTHER_KEY, in_memory(artifact.data, artifact.size, &options));
    HOLD(strstr(far_last_error(), "expected `") != NULL && strstr(far_last_error(), "`options.public_key`") != NULL);
    options = with(other, &theirs);
    EXPECT(FAR_OK, in_memory(artifact.data, artifact.size, &options));
    options = with(other, &signature);
    EXPECT(FAR_ERROR_OTHER_KEY, in_memory(artifact.data, artifact.size, &options));
    /* Another's signature under the maker's name. */
    memcpy(forged.data + 8, maker, sizeof maker);
    options = with(maker, &forged);
    EXPECT(FAR_ERROR_SIGNATURE, in_memory(artifact.data, artifact.size, &options));
    memcpy(forged.data + 8, other, sizeof other);
    /* Nobody's key, and none where a signature is given. */
    options = with(none, &signature);
    EXPECT(FAR_ERROR_OPTION, in_memory(artifact.data, artifact.size, &options));
    options = with(NULL, &signature);
    EXPECT(FAR_ERROR_OPTION, in_memory(artifact.data, artifact.size, &options));
    EXPECT(FAR_ERROR_OPTION, in_file(&options));
}

static void signatures(void) {
    far_model_options options = with(maker, &signature);
    far_model_options unsigned_memory = demanding(maker);
    size_t size;
    for (size = 0; size < signature.size; size++) {
        options.signature_size = size;
        EXPECT(FAR_ERROR_SIGNATURE_FILE, in_memory(artifact.data, artifact.size, &options));
    }
    options.signature_size = SIZE_MAX;
    EXPECT(FAR_ERROR_SIZE, in_memory(artifact.data, artifact.size, &options));
    options = with(maker, &artifact);
    EXPECT(FAR_ERROR_SIGNATURE_FILE, in_memory(artifact.data, artifact.size, &options));
    EXPECT(FAR_ERROR_UNSIGNED, in_memory(artifact.data, artifact.size, &unsigned_memory));
    EXPECT(FAR_ERROR_UNSIGNED, in_place(artifact.data, artifact.size, &unsigned_memory));
    HOLD(strstr(far_last_error(), "`options.signature`") != NULL);
}

static void used_in_place(void) {
    const far_model_options options = with(maker, &signature);
    uint8_t *room = (uint8_t *)malloc(artifact.size + 64), *aligned = room + (64 - (uintptr_t)room % 64) % 64;
    if (room == NULL) exit(2);
    memcpy(aligned, artifact.data, artifact.size);
    EXPECT(FAR_OK, in_place(aligned, artifact.size, &options));
    aligned[artifact.size - 1] ^= 1;
    EXPECT(FAR_ERROR_SIGNATURE, in_place(aligned, artifact.size, &options));
    free(room);
}

static void files(void) {
    const far_model_options by_maker = demanding(maker), by_other = demanding(other);
    const far_model_options given = with(other, &theirs);
    far_model_options copied = demanding(maker);
    far_model *model = NULL;
    far_session *session = NULL;
    float a[8] = { 1 }, b[8] = { 2 }, sum[8], features[6];
    far_input inputs[2] = { FAR_INPUT_F32(a, 8), FAR_INPUT_F32(b, 8) };
    far_output outputs[2] = { FAR_OUTPUT_F32(sum, 8), FAR_OUTPUT_F32(features, 6) };
    copied.flags = FAR_MODEL_COPY;
    write_file(PLACE, artifact.data, artifact.size);
    unlink(BESIDE);
    EXPECT(FAR_ERROR_UNSIGNED, in_file(&by_maker));
    HOLD(strstr(far_last_error(), BESIDE) != NULL);
    EXPECT(FAR_OK, in_file(&given));
    write_file(BESIDE, signature.data, signature.size);
    EXPECT(FAR_OK, in_file(&by_maker));
    EXPECT(FAR_OK, in_file(&copied));
    EXPECT(FAR_ERROR_OTHER_KEY, in_file(&by_other));
    EXPECT(FAR_OK, in_file(&given)); /* goes before what is beside the file */
    write_file(BESIDE, artifact.data, artifact.size);
    EXPECT(FAR_ERROR_SIGNATURE_FILE, in_file(&by_maker));
    EXPECT(FAR_OK, in_file(NULL)); /* nobody looks */
    write_file(BESIDE, signature.data, signature.size);

    /* What was checked is what runs: the file may go, and be written to. */
    EXPECT(FAR_OK, far_model_open(PLACE, &by_maker, &model));
    write_file(PLACE, artifact.data, 9);
    EXPECT(FAR_OK, far_session_new(model, NULL, &session));
    EXPECT(FAR_OK, far_session_run(session, inputs, 2, outputs, 2));
    HOLD(sum[0] == 3.0f);
    far_session_free(session);
    far_model_free(model);
    EXPECT(FAR_ERROR_CORRUPT, in_file(&by_maker));
    artifact.data[artifact.size - 1] ^= 1;
    write_file(PLACE, artifact.data, artifact.size);
    artifact.data[artifact.size - 1] ^= 1;
    EXPECT(FAR_ERROR_SIGNATURE, in_file(&by_maker));
    EXPECT(FAR_ERROR_CORRUPT, in_file(NULL)); /* the checksum sees it */
    unlink(PLACE);
    EXPECT(FAR_ERROR_FILE_NOT_FOUND, in_file(&by_maker));
    unlink(BESIDE);
}

/* Each limit at what the artifact has, and one below. */
static void limits(const char *text) {
    far_model_options options = FAR_MODEL_OPTIONS_INIT;
    const far_model_options none = FAR_MODEL_OPTIONS_INIT;
    struct file words = read_file(text);
    write_file(PLACE, artifact.data, artifact.size);
#define LIMITED(field, name, most, file)                                                           \
    options = none;                                                                                \
    options.field = (most);                                                                        \
    EXPECT(FAR_OK, in_memory((file).data, (file).size, &options));                                 \
    options.field = (most) - 1;                                                                    \
    EXPECT(FAR_ERROR_LIMIT, in_memory((file).data, (file).size, &options));                        \
    HOLD(strstr(far_last_error(), "hint: raise `options." name "`") != NULL)
    LIMITED(max_file_size, "max_file_size", artifact.size, artifact);
    LIMITED(max_arena_size, "max_arena_size", 64, artifact);
    LIMITED(max_tensors, "max_tensors", 5, artifact);
    LIMITED(max_steps, "max_steps", 3, artifact);
    LIMITED(max_tokens, "max_tokens", 6, words);
    LIMITED(max_batch, "max_batch", 3, words);
    options = none;
    options.max_file_size = artifact.size - 1;
    EXPECT(FAR_ERROR_LIMIT, in_file(&options));
    options.flags = FAR_MODEL_COPY;
    EXPECT(FAR_ERROR_LIMIT, in_file(&options));
    options.max_file_size = UINT64_MAX;
    EXPECT(FAR_OK, in_file(&options));
    unlink(PLACE);
    free(words.data);
}

/* A struct of the first version, with rubbish behind it; and one that ends inside a field. */
static void older_programs(void) {
    far_model_options options;
    size_t size;
    memset(&options, 0xa5, sizeof options);
    options.struct_size = offsetof(far_model_options, public_key);
    options.abi_version = FAR_ABI_VERSION;
    options.flags = 0;
    options.logger = NULL;
    EXPECT(FAR_OK, in_memory(artifact.data, artifact.size, &options));
    for (size = options.struct_size + 1; size < sizeof options; size++) {
        if (size % sizeof(size_t) == 0) continue;
        options.struct_size = size;
        EXPECT(FAR_ERROR_STRUCT_SIZE, in_memory(artifact.data, artifact.size, &options));
    }
}

int main(int argc, char **argv) {
    struct file key;
    char beside[1024];
    if (argc != 6) return 2;
    snprintf(beside, sizeof beside, "%s.sig", argv[1]);
    artifact = read_file(argv[1]);
    signature = read_file(beside);
    key = read_file(argv[2]);
    memcpy(maker, key.data, sizeof maker);
    free(key.data);
    key = read_file(argv[3]);
    memcpy(other, key.data, sizeof other);
    free(key.data);
    theirs = read_file(argv[4]);
    tampered();
    keys();
    signatures();
    used_in_place();
    files();
    limits(argv[5]);
    older_programs();
    free(artifact.data);
    free(signature.data);
    free(theirs.data);
    return verdict();
}
