/*
 * far.hpp: run compiled FAR models (model.far) from C++17, over far.h. Header only; libfar is linked
 * as far.h says.
 *
 *     far::Model model = far::Model::open("model.far");
 *     far::Session session = far::Session::make(model);
 *     std::vector<float> image(model.input(0).element_count), logits(model.output(0).element_count);
 *     session.run(image, logits);
 *     std::size_t best = far::argmax(logits);
 *     if (best < model.labels().size()) std::puts(model.labels()[best]);
 *
 * OWNERSHIP
 *
 *   Model and Session free themselves, can be moved and not copied; a Session keeps what it needs of its
 *   Model. Strings and spans that they hand out live as long as they do. What is const may be used by
 *   several threads at once.
 *
 * ERRORS
 *
 *   What fails throws far::Error. Where exceptions are off, or FAR_NO_EXCEPTIONS is defined before the
 *   header is included, it returns a far::Result of what it returns else:
 *
 *     far::Result<far::Model> model = far::Model::open("model.far");
 *     if (!model) return std::fprintf(stderr, "%s\n", model.message()), 1;
 *     far::Result<far::Session> session = far::Session::make(*model);
 *     if (!session) return std::fprintf(stderr, "%s\n", session.message()), 1;
 *     std::vector<float> image(model->input(0)->element_count), logits(model->output(0)->element_count);
 *     far::Result<void> done = session->run(image, logits);
 *     if (!done) return std::fprintf(stderr, "%s: %s\n", far_status_name(done.status()), done.message()), 1;
 *
 *   Session::run allocates nothing unless it throws.
 */
#ifndef FAR_HPP
#define FAR_HPP

#include "far.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#if !defined(FAR_NO_EXCEPTIONS) && !defined(__cpp_exceptions)
#define FAR_NO_EXCEPTIONS
#endif
#ifdef FAR_NO_EXCEPTIONS
#include <cstdlib>
#else
#include <stdexcept>
#endif

#if __cplusplus >= 202002L && __has_include(<span>)
#include <span>
#endif

namespace far {

/* ---- Spans: std::span, or what of it is needed here ---- */

#if defined(__cpp_lib_span)
template <class T> using span = std::span<T>;
#else
template <class T> class span {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N> constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
    /** Of what has data() and size(): vectors, arrays, other spans. */
    template <class C, class = std::enable_if_t<std::is_convertible_v<
                           std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]>>>
    constexpr span(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

/* ---- Errors ---- */

#ifndef FAR_NO_EXCEPTIONS

/** What a call failed with: a status of far.h, and the text of far_last_error(). */
class Error : public std::runtime_error {
public:
    explicit Error(far_status status) : std::runtime_error(far_last_error()), status_(status) {}
    far_status status() const noexcept { return status_; }
    const char *name() const noexcept { return far_status_name(status_); }

private:
    far_status status_;
};

/** What a function that may fail returns: with exceptions simply its result. */
template <class T> using Returned = T;

#else

/** The result of a call, or the status it failed with. To take a result that is not there ends the program. */
template <class T> class [[nodiscard]] Result {
public:
    Result(T &&value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
    explicit Result(far_status status) noexcept : status_(status) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    far_status status() const noexcept { return status_; }
    /** Why it failed: far_last_error(), until the next call on this thread that fails. */
    const char *message() const noexcept { return value_ ? "" : far_last_error(); }

    T &operator*() noexcept { return get(); }
    const T &operator*() const noexcept { return const_cast<Result *>(this)->get(); }
    T *operator->() noexcept { return &get(); }
    const T *operator->() const noexcept { return &const_cast<Result *>(this)->get(); }

private:
    T &get() noexcept {
        if (!value_) std::abort();
        return *value_;
    }

    std::optional<T> value_;
    far_status status_ = FAR_OK;
};

template <> class [[nodiscard]] Result<void> {
public:
    explicit Result(far_status status) noexcept : status_(status) {}
    explicit operator bool() const noexcept { return status_ == FAR_OK; }
    far_status status() const noexcept { return status_; }
    /** Why it failed: far_last_error(), until the next call on this thread that fails. */
    const char *message() const noexcept { return status_ == FAR_OK ? "" : far_last_error(); }

private:
    far_status status_;
};

/** What a function that may fail returns: without exceptions a Result. */
template <class T> using Returned = Result<T>;

#endif

namespace detail {

#ifndef FAR_NO_EXCEPTIONS
/** The value that a call wrote, unless it failed. */
template <class T> T returned(far_status status, T &&value) {
    if (status != FAR_OK) throw Error(status);
    return std::move(value);
}
template <class T> T returned(far_status status, const T &value) { return returned<T>(status, T(value)); }
inline void returned(far_status status) {
    if (status != FAR_OK) throw Error(status);
}
#else
template <class T> Result<T> returned(far_status status, T &&value) {
    if (status != FAR_OK) return Result<T>(status);
    return Result<T>(std::move(value));
}
template <class T> Result<T> returned(far_status status, const T &value) {
    return returned<T>(status, T(value));
}
inline Result<void> returned(far_status status) noexcept { return Result<void>(status); }
#endif

/** The answer to a question that a live handle always answers; `otherwise` where it was moved away. */
template <class T, class Ask> T asked(T otherwise, Ask ask) noexcept {
    T value = otherwise;
    return ask(&value) == FAR_OK ? value : otherwise;
}

/** Element types of far.h. */
template <class T> constexpr far_dtype dtype = 0;
template <> inline constexpr far_dtype dtype<float> = FAR_DTYPE_F32;
template <> inline constexpr far_dtype dtype<std::int32_t> = FAR_DTYPE_I32;
template <> inline constexpr far_dtype dtype<std::int64_t> = FAR_DTYPE_I64;

/** The elements of what has data() and size(), where they are of a type of far.h. */
template <class C> using element = std::remove_pointer_t<decltype(std::declval<C &>().data())>;
template <class C> using if_elements = std::enable_if_t<dtype<std::remove_cv_t<element<C>>> != 0>;

/** A handle of far.h that frees itself. */
template <class Handle, void (*Free)(Handle *)> class Owner {
public:
    explicit Owner(Handle *handle) noexcept : handle_(handle) {}
    Owner(Owner &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Owner &operator=(Owner &&other) noexcept {
        if (this != &other) {
            Free(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Owner() { Free(handle_); }

    Handle *get() const noexcept { return handle_; }

private:
    Handle *handle_;
};

} // namespace detail

/* ---- Options ---- */

/** How a model is opened: the fields of far.h, as if started from its macro. */
struct ModelOptions : far_model_options {
    ModelOptions() noexcept : far_model_options FAR_MODEL_OPTIONS_INIT {}

    /** Demands a signature of this key, which must outlive the call, in the file beside the artifact's. */
    ModelOptions &signed_by(const std::uint8_t (&key)[FAR_PUBLIC_KEY_SIZE]) noexcept {
        public_key = key;
        return *this;
    }
    /** The same in the contents of a file of signatures, which must outlive the call too. */
    ModelOptions &signed_by(const std::uint8_t (&key)[FAR_PUBLIC_KEY_SIZE], span<const std::byte> signatures) noexcept {
        signature = signatures.data();
        signature_size = signatures.size();
        return signed_by(key);
    }
};

/** How a session runs: the fields of far.h, as if started from its macro. */
struct SessionOptions : far_session_options {
    SessionOptions() noexcept : far_session_options FAR_SESSION_OPTIONS_INIT {}
};

/** A far_logger that calls `listener(level, text)`, which must outlive it. What it throws ends the program. */
template <class Listener>
far_logger logger(Listener &listener, far_log_level level = FAR_LOG_WARNING) noexcept {
    const far_log_function call = [](void *context, far_log_level of, const char *text) noexcept {
        (*static_cast<Listener *>(context))(of, std::string_view(text));
    };
    return FAR_LOGGER_INIT(call, &listener, level);
}

/**
 * A far_thread_pool that calls `pool(count, lane)`, which must outlive the sessions that have it: it calls
 * lane(i) for each i below count and returns when all have ended. What it throws ends the program.
 */
template <class Pool> far_thread_pool thread_pool(Pool &pool) noexcept {
    const far_parallel_for_function call = [](void *context, std::size_t count, far_lane_function lane,
                                              void *job) noexcept {
        (*static_cast<Pool *>(context))(count, [lane, job](std::size_t i) { lane(job, i); });
    };
    return FAR_THREAD_POOL_INIT(call, &pool);
}

/* ---- Tensors ---- */

/** What is supplied for one input: a contiguous range of float, std::int32_t or std::int64_t; not copied. */
struct Input : far_input {
    template <class T, class = std::enable_if_t<detail::dtype<T> != 0>>
    Input(const T *data, std::size_t count) noexcept
        : far_input{ sizeof(far_input), nullptr, data, count * sizeof(T), detail::dtype<T>, 0, nullptr } {}
    template <class C, class = detail::if_elements<const C>>
    Input(const C &range) noexcept : Input(range.data(), range.size()) {}
    template <class T, std::size_t N, class = std::enable_if_t<detail::dtype<T> != 0>>
    Input(const T (&array)[N]) noexcept : Input(array, N) {}

    /** The same for the input of that name, which must outlive the call. */
    Input named(const char *as) const noexcept {
        Input copy = *this;
        copy.name = as;
        return copy;
    }

    /** The same with dimensions, which say how large the call is and must outlive it. */
    Input shaped(span<const std::uint64_t> as) const noexcept {
        Input copy = *this;
        copy.dims = as.data();
        copy.rank = static_cast<std::uint32_t>(as.size());
        return copy;
    }
};

/** Where one output goes: any contiguous range of float. */
struct Output : far_output {
    Output(float *data, std::size_t count) noexcept
        : far_output{ sizeof(far_output), nullptr, data, count * sizeof(float), FAR_DTYPE_F32, 0, nullptr } {}
    template <class C, class = std::enable_if_t<std::is_same_v<detail::element<C>, float>>>
    Output(C &&range) noexcept : Output(range.data(), range.size()) {}
    template <std::size_t N> Output(float (&array)[N]) noexcept : Output(array, N) {}

    /** The same for the output of that name, which must outlive the call. */
    Output named(const char *as) const noexcept {
        Output copy = *this;
        copy.name = as;
        return copy;
    }
};

static_assert(sizeof(Input) == sizeof(far_input) && sizeof(Output) == sizeof(far_output),
              "arrays of them are arrays of C's");

/** Position of the largest number; 0 of none. */
inline std::size_t argmax(span<const float> values) noexcept {
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); i++) {
        if (values[i] > values[best]) best = i;
    }
    return best;
}

/* ---- Model ---- */

/** A validated artifact; never changes, and may be shared by all threads. */
class Model {
public:
    /** far_model_open(). */
    static Returned<Model> open(const char *path, const ModelOptions &options = {}) {
        far_model *handle = nullptr;
        const far_status status = far_model_open(path, &options, &handle);
        return made(status, handle);
    }

    /** far_model_open_memory(): the bytes are copied. */
    static Returned<Model> from_memory(const void *data, std::size_t size, const ModelOptions &options = {}) {
        far_model *handle = nullptr;
        const far_status status = far_model_open_memory(data, size, &options, &handle);
        return made(status, handle);
    }

    /** far_model_open_static(): the bytes are used in place. */
    static Returned<Model> from_static(const void *data, std::size_t size, const ModelOptions &options = {}) {
        far_model *handle = nullptr;
        const far_status status = far_model_open_static(data, size, &options, &handle);
        return made(status, handle);
    }

    const char *name() const noexcept {
        return detail::asked<const char *>("", [&](auto out) { return far_model_name(get(), out); });
    }
    std::size_t input_count() const noexcept {
        return detail::asked<std::size_t>(0, [&](auto out) { return far_model_input_count(get(), out); });
    }
    std::size_t output_count() const noexcept {
        return detail::asked<std::size_t>(0, [&](auto out) { return far_model_output_count(get(), out); });
    }
    Returned<far_tensor_info> input(std::size_t index) const {
        far_tensor_info info = FAR_TENSOR_INFO_INIT;
        return detail::returned<far_tensor_info>(far_model_input_info(get(), index, &info), info);
    }
    Returned<far_tensor_info> output(std::size_t index) const {
        far_tensor_info info = FAR_TENSOR_INFO_INIT;
        return detail::returned<far_tensor_info>(far_model_output_info(get(), index, &info), info);
    }
    /** FAR_FEATURE_* that the CPU must have. */
    std::uint64_t required_features() const noexcept {
        return detail::asked<std::uint64_t>(0, [&](auto out) { return far_model_required_features(get(), out, nullptr); });
    }
    /** Bits 1 << FAR_PRECISION_* of what it computes in. */
    std::uint64_t precisions() const noexcept {
        return detail::asked<std::uint64_t>(0, [&](auto out) { return far_model_precisions(get(), out, nullptr); });
    }
    std::uint64_t arena_size() const noexcept {
        return detail::asked<std::uint64_t>(0, [&](auto out) { return far_model_arena_size(get(), out); });
    }

    const char *description() const noexcept {
        return detail::asked<const char *>("", [&](auto out) { return far_model_description(get(), out); });
    }
    /** Names of a classifier's classes; none where the artifact says none. */
    span<const char *const> labels() const noexcept {
        const char *const *names = nullptr;
        std::size_t count = 0;
        far_model_labels(get(), nullptr, &names, &count);
        return { names, count };
    }
    std::size_t info_count() const noexcept {
        return detail::asked<std::size_t>(0, [&](auto out) { return far_model_info_count(get(), out); });
    }
    /** A key and its value. */
    Returned<std::pair<const char *, const char *>> info(std::size_t index) const {
        std::pair<const char *, const char *> pair;
        const far_status status = far_model_info(get(), index, &pair.first, &pair.second);
        return detail::returned<std::pair<const char *, const char *>>(status, pair);
    }
    /** How an image becomes an input, where the artifact says it. */
    std::optional<far_image_info> image() const noexcept {
        far_image_info info = FAR_IMAGE_INFO_INIT;
        if (far_model_image_info(get(), &info) != FAR_OK) return std::nullopt;
        return info;
    }

    /** The handle, for functions of far.h. It stays this object's. */
    far_model *get() const noexcept { return handle_.get(); }

private:
    explicit Model(far_model *handle) noexcept : handle_(handle) {}
    static Returned<Model> made(far_status status, far_model *handle) {
        return detail::returned<Model>(status, Model(handle));
    }

    detail::Owner<far_model, far_model_free> handle_;
};

/* ---- Session ---- */

/** What runs need; one run at a time. */
class Session {
public:
    /** far_session_new(). */
    static Returned<Session> make(const Model &model, const SessionOptions &options = {}) {
        far_session *handle = nullptr;
        const far_status status = far_session_new(model.get(), &options, &handle);
        return made(status, handle);
    }

    /** far_session_new_in(): arena and scratch in memory that begins at a multiple of 64 and outlives the session. */
    static Returned<Session> make_in(const Model &model, span<std::byte> memory, const SessionOptions &options = {}) {
        far_session *handle = nullptr;
        const far_status status = far_session_new_in(model.get(), &options, memory.data(), memory.size(), &handle);
        return made(status, handle);
    }

    /** Bytes that make_in() needs with the same options. */
    static Returned<std::size_t> memory_size(const Model &model, const SessionOptions &options = {}) {
        std::size_t size = 0;
        const far_status status = far_session_memory_size(model.get(), &options, &size);
        return detail::returned<std::size_t>(status, size);
    }

    /** Runs the model once. */
    Returned<void> run(span<const Input> inputs, span<const Output> outputs) {
        const std::size_t given = inputs.size(), wanted = outputs.size();
        return detail::returned(far_session_run(get(), inputs.data(), given, outputs.data(), wanted));
    }
    Returned<void> run(std::initializer_list<Input> inputs, std::initializer_list<Output> outputs) {
        return run(span<const Input>(inputs.begin(), inputs.size()),
                   span<const Output>(outputs.begin(), outputs.size()));
    }
    /** Of one input and one output. */
    Returned<void> run(const Input &input, const Output &output) {
        return run(span<const Input>(&input, 1), span<const Output>(&output, 1));
    }

    /** Ends the run in progress, from any thread; see far_session_cancel(). */
    void cancel() const noexcept { far_session_cancel(get()); }

    /** The kernels that run. */
    span<const char *const> kernels() const noexcept {
        const char *const *names = nullptr;
        std::size_t count = 0;
        far_session_kernels(get(), &names, &count);
        return { names, count };
    }
    std::size_t threads() const noexcept {
        return detail::asked<std::size_t>(0, [&](auto out) { return far_session_threads(get(), out); });
    }
    std::uint64_t memory_used() const noexcept {
        return detail::asked<std::uint64_t>(0, [&](auto out) { return far_session_memory_used(get(), out); });
    }
    std::size_t step_count() const noexcept {
        return detail::asked<std::size_t>(0, [&](auto out) { return far_session_step_count(get(), out); });
    }
    /** A step, and the time in it where the options have FAR_SESSION_PROFILE. */
    Returned<far_step_profile> step(std::size_t index) const {
        far_step_profile step = FAR_STEP_PROFILE_INIT;
        return detail::returned<far_step_profile>(far_session_profile(get(), index, &step), step);
    }
    /** Begins to time anew. */
    Returned<void> reset_profile() { return detail::returned(far_session_profile_reset(get())); }

    /** The handle, for functions of far.h. It stays this object's. */
    far_session *get() const noexcept { return handle_.get(); }

private:
    explicit Session(far_session *handle) noexcept : handle_(handle) {}
    static Returned<Session> made(far_status status, far_session *handle) {
        return detail::returned<Session>(status, Session(handle));
    }

    detail::Owner<far_session, far_session_free> handle_;
};

} // namespace far

#endif /* FAR_HPP */
