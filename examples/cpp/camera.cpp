// camera: what a program with a camera does, with picture files in the camera's place. One thread takes pictures and hands on
// the newest; when the model is slower than the camera, pictures are dropped and not queued, so that answers stay fresh.
// Another thread runs the model. At the end it prints how long answers took, from picture to class, as a histogram.
//
//     camera MODEL.far PICTURE.ppm ... [--frames N] [--fps N] [--threads N] [--quiet]
//
// SIGTERM and SIGINT end it after the run that is under way; --frames 0, the default with --fps, goes on until then.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "far.hpp"
#include "pixmap.hpp"

using Clock = std::chrono::steady_clock;

namespace {

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

struct Frame {
    std::size_t number = 0;
    std::shared_ptr<const Pixmap> picture;
    Clock::time_point taken;
};

// Holds the newest frame only.
class Newest {
public:
    void put(Frame frame) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (frame_) dropped_++;
        frame_ = std::move(frame);
        changed_.notify_one();
    }
    void close() {
        std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
        changed_.notify_one();
    }
    // Waits for a frame; none where the camera has stopped.
    std::optional<Frame> take() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return frame_.has_value() || closed_; });
        std::optional<Frame> frame = std::move(frame_);
        frame_.reset();
        return frame;
    }
    std::size_t dropped() {
        std::lock_guard<std::mutex> lock(mutex_);
        return dropped_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Frame> frame_;
    bool closed_ = false;
    std::size_t dropped_ = 0;
};

// Times in buckets that double: below 0.125 ms, 0.25 ms, and so on.
class Histogram {
public:
    void add(double ms) {
        std::size_t bucket = 0;
        while (bucket + 1 < counts_.size() && ms >= limit(bucket)) bucket++;
        counts_[bucket]++;
        times_.push_back(ms);
    }
    void print() {
        if (times_.empty()) return;
        std::sort(times_.begin(), times_.end());
        const std::size_t most = *std::max_element(counts_.begin(), counts_.end());
        for (std::size_t i = 0; i < counts_.size(); i++) {
            if (counts_[i] == 0) continue;
            const std::string bar(1 + 40 * counts_[i] / most, '#');
            std::printf("  < %8.3f ms %6zu %s\n", limit(i), counts_[i], bar.c_str());
        }
        const auto rank = [&](std::size_t percent) { return times_[(times_.size() * percent + 99) / 100 - 1]; };
        std::printf("latency  p50 %.3f ms, p90 %.3f ms, p99 %.3f ms\n", rank(50), rank(90), rank(99));
    }

private:
    static double limit(std::size_t bucket) { return 0.125 * static_cast<double>(std::size_t{1} << bucket); }
    std::array<std::size_t, 20> counts_{};
    std::vector<double> times_;
};

struct Arguments {
    std::string model;
    std::vector<std::string> pictures;
    std::size_t frames = 0, fps = 0;
    std::uint32_t threads = 0;
    bool quiet = false;
};

std::optional<Arguments> parse(int argc, char **argv) {
    Arguments arguments;
    bool counted = false;
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        const auto number = [&] { return i + 1 < argc ? std::strtoul(argv[++i], nullptr, 10) : 0ul; };
        if (argument == "--frames") {
            arguments.frames = number();
            counted = true;
        } else if (argument == "--fps") {
            arguments.fps = number();
        } else if (argument == "--threads") {
            arguments.threads = static_cast<std::uint32_t>(number());
        } else if (argument == "--quiet") {
            arguments.quiet = true;
        } else if (argument[0] == '-') {
            return std::nullopt;
        } else if (arguments.model.empty()) {
            arguments.model = argument;
        } else {
            arguments.pictures.push_back(argument);
        }
    }
    if (arguments.pictures.empty()) return std::nullopt;
    // Without a camera's pace each picture is taken once.
    if (!counted && arguments.fps == 0) arguments.frames = arguments.pictures.size();
    return arguments;
}

int run(const Arguments &arguments) {
    far::Model model = far::Model::open(arguments.model.c_str());
    far::SessionOptions options;
    options.threads = arguments.threads;
    far::Session session = far::Session::make(model, options);
    const std::optional<far_image_info> image = model.image();
    if (!image) throw std::runtime_error("the model doesn't say how an image becomes an input: farc compile --meta");

    // A camera has its pictures in memory.
    std::vector<std::shared_ptr<const Pixmap>> pictures;
    for (const std::string &path : arguments.pictures) {
        pictures.push_back(std::make_shared<const Pixmap>(read_pixmap(path)));
    }
    Newest newest;
    std::atomic<std::size_t> answered{0};
    std::thread camera([&] {
        auto next = Clock::now();
        for (std::size_t i = 0; !stopped && (arguments.frames == 0 || i < arguments.frames); i++) {
            newest.put({i, pictures[i % pictures.size()], Clock::now()});
            if (arguments.fps > 0) {
                next += std::chrono::nanoseconds(std::size_t{1000000000} / arguments.fps);
                std::this_thread::sleep_until(next);
            } else {
                // Without a pace the camera waits for the model.
                while (!stopped && answered.load() <= i) std::this_thread::yield();
            }
        }
        newest.close();
    });

    Histogram latency;
    std::vector<float> input, logits(model.output(0).element_count);
    const auto start = Clock::now();
    try {
        while (const std::optional<Frame> frame = newest.take()) {
            fill(*frame->picture, *image, input);
            session.run(input, logits);
            const std::size_t best = far::argmax(logits);
            const std::chrono::duration<double, std::milli> took = Clock::now() - frame->taken;
            latency.add(took.count());
            answered++;
            if (!arguments.quiet) {
                const char *label = best < model.labels().size() ? model.labels()[best] : "?";
                std::printf("frame %6zu  %-16s class %zu  %.3f ms\n", frame->number, label, best, took.count());
            }
        }
    } catch (...) {
        stopped = 1;
        camera.join();
        throw;
    }
    camera.join();
    const std::chrono::duration<double> all = Clock::now() - start;
    std::printf("\n%zu frames answered, %zu dropped, %.1f a second, %zu threads\n", answered.load(), newest.dropped(),
                static_cast<double>(answered.load()) / all.count(), session.threads());
    latency.print();
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    const std::optional<Arguments> arguments = parse(argc, argv);
    if (!arguments) {
        std::fprintf(stderr, "usage: camera MODEL.far PICTURE.ppm ... [--frames N] [--fps N] [--threads N] [--quiet]\n");
        return 2;
    }
    std::signal(SIGTERM, stop);
    std::signal(SIGINT, stop);
    try {
        return run(*arguments);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
