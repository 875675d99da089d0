// Pictures in Netpbm's binary formats (PGM and PPM of 8 bits), which every camera tool can write, and what a model's metadata
// make of them: nearest pixels, channels in order, scale, mean and standard deviation. The command `far run --image`
// resizes better and reads JPEG and PNG; a program of its own has its camera's driver for that.
#pragma once

#include <cctype>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "far.hpp"

struct Pixmap {
    std::size_t width = 0, height = 0, channels = 0;
    std::vector<std::uint8_t> data;
};

inline Pixmap read_pixmap(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("can't read " + path);
    auto wrong = [&](const char *why) { return std::runtime_error(path + ": " + why); };
    auto number = [&] {
        while (std::isspace(file.peek()) || file.peek() == '#') {
            if (file.get() == '#') file.ignore(1 << 16, '\n');
        }
        std::size_t n = 0;
        file >> n;
        return n;
    };
    char magic[2] = {};
    file.read(magic, 2);
    if (magic[0] != 'P' || (magic[1] != '5' && magic[1] != '6')) throw wrong("expected a PGM or PPM picture");
    Pixmap picture;
    picture.channels = magic[1] == '6' ? 3 : 1;
    picture.width = number();
    picture.height = number();
    if (number() != 255 || !file) throw wrong("expected values from 0 to 255");
    if (picture.width == 0 || picture.height == 0 || picture.width > 16384 || picture.height > 16384) {
        throw wrong("expected sides of 1 to 16384");
    }
    file.get(); // one white space
    picture.data.resize(picture.width * picture.height * picture.channels);
    file.read(reinterpret_cast<char *>(picture.data.data()), static_cast<std::streamsize>(picture.data.size()));
    if (static_cast<std::size_t>(file.gcount()) != picture.data.size()) throw wrong("is cut short");
    return picture;
}

// Writes the picture into an input, which `info` describes.
inline void fill(const Pixmap &picture, const far_image_info &info, std::vector<float> &input) {
    const std::size_t height = info.height, width = info.width, count = info.channels;
    input.resize(height * width * count);
    for (std::size_t y = 0; y < height; y++) {
        for (std::size_t x = 0; x < width; x++) {
            const std::size_t from_x = x * picture.width / width, from_y = y * picture.height / height;
            const std::uint8_t *pixel = &picture.data[(from_y * picture.width + from_x) * picture.channels];
            for (std::size_t c = 0; c < count; c++) {
                float value;
                if (picture.channels == 1) {
                    value = pixel[0];
                } else if (count == 1) {
                    value = 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
                } else {
                    value = pixel[info.color == FAR_IMAGE_BGR ? 2 - c : c];
                }
                const std::size_t at = info.layout == FAR_IMAGE_NHWC ? (y * width + x) * count + c
                                                                     : (c * height + y) * width + x;
                input[at] = (value * info.scale - info.mean[c]) / info.std_dev[c];
            }
        }
    }
}
