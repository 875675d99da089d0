// Uses all of far.hpp with any model: `any MODEL.far [MAKER.pub]`, with a key where the model is signed. Every way to run it must give the same bits; what is wrong must be refused.
// Ends with 0 and "all as expected", or says what was not.

#include <far.hpp>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {

int failures = 0;

void hold(int line, const char *what, bool holds) {
    if (holds) return;
    std::printf("line %d: %s does not hold (%s)\n", line, what, far_last_error());
    failures++;
}

#define HOLD(condition) hold(__LINE__, #condition, static_cast<bool>(condition))

// What a call gives, and the status that it must fail with, whether there are exceptions or not.
#ifdef FAR_NO_EXCEPTIONS
template <class T> T take(far::Result<T> &&result) { return std::move(*result); }
template <class Call> far_status status_of(Call call) { return call().status(); }
#else
template <class T> T &&take(T &&value) { return std::move(value); }
template <class Call> far_status status_of(Call call) {
    try {
        (void)call();
    } catch (const far::Error &error) {
        HOLD(std::strlen(error.what()) > 0 && std::strncmp(error.name(), "FAR_ERROR_", 10) == 0);
        return error.status();
    }
    return FAR_OK;
}
#endif

// Inputs and outputs of a call of the largest size, filled with what any model takes.
struct Call {
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<std::int32_t>> ints;
    std::vector<std::vector<std::int64_t>> longs;
    std::vector<std::vector<std::uint64_t>> dims;
    std::vector<std::vector<float>> results;
    std::vector<far::Input> inputs;
    std::vector<far::Output> outputs;

    explicit Call(const far::Model &model) {
        for (std::size_t i = 0; i < model.input_count(); i++) {
            const far_tensor_info info = take(model.input(i));
            const auto count = static_cast<std::size_t>(info.element_count);
            dims.emplace_back(info.dims, info.dims + info.rank);
            if (info.dtype == FAR_DTYPE_F32) {
                floats.emplace_back(count);
                for (std::size_t k = 0; k < count; k++) floats.back()[k] = static_cast<float>(k % 97) / 50.0f - 0.9f;
                inputs.push_back(far::Input(floats.back()).shaped(dims.back()).named(info.name));
            } else if (info.dtype == FAR_DTYPE_I32) {
                ints.emplace_back(count, 1);
                inputs.push_back(far::Input(ints.back()).shaped(dims.back()));
            } else {
                longs.emplace_back(count, 1);
                inputs.push_back(far::Input(longs.back()).shaped(dims.back()));
            }
        }
        for (std::size_t i = 0; i < model.output_count(); i++) {
            const far_tensor_info info = take(model.output(i));
            results.emplace_back(static_cast<std::size_t>(info.element_count), -1.0f);
            outputs.push_back(far::Output(results.back()).named(info.name));
        }
    }
};

std::vector<std::vector<float>> run(const far::Model &model, far::Session &session) {
    Call call(model);
    HOLD(status_of([&] { return session.run(call.inputs, call.outputs); }) == FAR_OK);
    return call.results;
}

void lent_things(const far::Model &model, const std::vector<std::vector<float>> &expected) {
    far::SessionOptions options;
    options.threads = 3;
    options.flags = FAR_SESSION_PROFILE;

    std::size_t jobs = 0;
    auto pool = [&jobs](std::size_t count, auto lane) {
        jobs++;
        std::vector<std::thread> threads;
        for (std::size_t i = 1; i < count; i++) threads.emplace_back([lane, i] { lane(i); });
        lane(0);
        for (auto &thread : threads) thread.join();
    };
    const far_thread_pool lent = far::thread_pool(pool);
    std::string heard;
    auto listener = [&heard](far_log_level, std::string_view text) { heard += std::string(text) + "\n"; };
    const far_logger logger = far::logger(listener, FAR_LOG_INFO);
    options.pool = &lent;
    options.logger = &logger;

    const std::size_t size = take(far::Session::memory_size(model, options));
    std::vector<std::byte> memory(size + 64);
    std::byte *const start = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    HOLD(status_of([&] { return far::Session::make_in(model, { start, size - 1 }, options); }) == FAR_ERROR_SIZE);
    far::Session session = take(far::Session::make_in(model, { start, size }, options));
    HOLD(heard.find("made a session of model") != std::string::npos);
    HOLD(run(model, session) == expected);
    HOLD(session.threads() == 1 || jobs > 0);
    HOLD(session.memory_used() <= size);

    HOLD(session.step_count() > 0);
    const far_step_profile step = take(session.step(0));
    HOLD(step.runs == 1 && std::strlen(step.op) > 0);
    HOLD(status_of([&] { return session.step(session.step_count()); }) == FAR_ERROR_INDEX);
    session.cancel(); // there is no run to end
    HOLD(run(model, session) == expected);
}

std::vector<char> read(const char *path) {
    std::ifstream file(path, std::ios::binary);
    return std::vector<char>((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// Who made it, and how large it is.
void demands(const char *path, const char *key_path, const std::vector<char> &bytes) {
    std::uint8_t key[FAR_PUBLIC_KEY_SIZE] = { 0x58 };
    std::memset(key + 1, 0x66, sizeof key - 1); // a key of nobody's
    far::ModelOptions options;
    options.signed_by(key);
    const far_status status = status_of([&] { return far::Model::open(path, options); });
    HOLD(status == (key_path != nullptr ? FAR_ERROR_OTHER_KEY : FAR_ERROR_UNSIGNED));
    const std::byte rubbish[3] = {};
    options.signed_by(key, rubbish);
    HOLD(status_of([&] { return far::Model::open(path, options); }) == FAR_ERROR_SIGNATURE_FILE);
    if (key_path != nullptr) {
        const std::vector<char> maker = read(key_path), signatures = read((std::string(path) + ".sig").c_str());
        std::memcpy(key, maker.data(), sizeof key);
        HOLD(take(far::Model::open(path, far::ModelOptions().signed_by(key))).input_count() > 0);
        const auto *data = reinterpret_cast<const std::byte *>(signatures.data());
        options.signed_by(key, { data, signatures.size() });
        HOLD(take(far::Model::from_memory(bytes.data(), bytes.size(), options)).input_count() > 0);
    }
    far::ModelOptions small;
    small.max_file_size = bytes.size() - 1;
    HOLD(status_of([&] { return far::Model::open(path, small); }) == FAR_ERROR_LIMIT);
}

void check(const char *path, const char *key_path) {
    far::Model first = take(far::Model::open(path));
    far::Model model = std::move(first);
    HOLD(first.get() == nullptr && first.input_count() == 0 && std::strlen(first.name()) == 0);
    HOLD(std::strlen(model.name()) > 0 && model.description() != nullptr);
    std::printf("model %s: %zu inputs, %zu outputs, %llu bytes of arena\n", model.name(), model.input_count(),
                model.output_count(), static_cast<unsigned long long>(model.arena_size()));
    for (const char *label : model.labels()) HOLD(std::strlen(label) > 0);
    for (std::size_t i = 0; i < model.info_count(); i++) HOLD(std::strlen(take(model.info(i)).first) > 0);
    if (const auto image = model.image()) HOLD(image->channels <= FAR_MAX_CHANNELS && image->std_dev[0] > 0.0f);
    HOLD(model.precisions() != 0);
    std::uint64_t present = 0;
    HOLD(far_cpu_features(&present, nullptr) == FAR_OK && (model.required_features() & ~present) == 0);

    far::SessionOptions one;
    one.threads = 1;
    far::Session session = take(far::Session::make(model, one));
    HOLD(session.threads() == 1);
    const auto expected = run(model, session);
    HOLD(run(model, session) == expected);
    for (const char *kernel : session.kernels()) HOLD(std::strlen(kernel) > 0);

    // The bytes, copied and in place.
    const std::vector<char> bytes = read(path);
    far::Model copied = take(far::Model::from_memory(bytes.data(), bytes.size()));
    std::vector<char> room(bytes.size() + 64);
    char *const aligned = room.data() + (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64) % 64;
    std::memcpy(aligned, bytes.data(), bytes.size());
    far::Model in_place = take(far::Model::from_static(aligned, bytes.size()));
    far::Session other = take(far::Session::make(copied));
    HOLD(run(copied, other) == expected);
    other = take(far::Session::make(in_place));
    HOLD(run(in_place, other) == expected);
    lent_things(model, expected);
    demands(path, key_path, bytes);

    // What is wrong.
    HOLD(status_of([&] { return far::Model::open("/no/such/file"); }) == FAR_ERROR_FILE_NOT_FOUND);
    HOLD(status_of([&] { return far::Model::from_memory(bytes.data(), bytes.size() - 1); }) == FAR_ERROR_CORRUPT);
    HOLD(status_of([&] { return model.input(model.input_count()); }) == FAR_ERROR_INDEX);
    far::SessionOptions many;
    many.threads = FAR_MAX_THREADS + 1;
    HOLD(status_of([&] { return far::Session::make(model, many); }) == FAR_ERROR_OPTION);
    Call call(model);
    call.outputs.pop_back();
    HOLD(status_of([&] { return session.run(call.inputs, call.outputs); }) == FAR_ERROR_COUNT);
    HOLD(status_of([&] { return session.reset_profile(); }) == FAR_OK);
    float out[2] = { 1, 2 };
    const std::vector<float> nothing;
    HOLD(far::argmax(out) == 1 && far::argmax(nothing) == 0);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) return 2;
    const char *const key = argc == 3 ? argv[2] : nullptr;
#ifdef FAR_NO_EXCEPTIONS
    check(argv[1], key);
#else
    try {
        check(argv[1], key);
    } catch (const std::exception &error) {
        std::printf("not expected: %s\n", error.what());
        return 1;
    }
#endif
    if (failures == 0) std::puts("all as expected");
    return failures != 0;
}
