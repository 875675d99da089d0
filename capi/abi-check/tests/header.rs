//! far.h compiles, without a warning, as every language it promises to be; also when it is included twice.

use far_abi_check::{capi, cc, cxx, succeed};

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];

/// Uses each macro of the header, so that its expansion is compiled too.
const SOURCE: &str = r#"
#include "far.h"
#include "far.h"
static void hear(void *context, far_log_level level, const char *message) {
    (void)context, (void)level, (void)message;
}
static void in_turn(void *context, size_t count, far_lane_function lane, void *job) {
    (void)context;
    for (size_t i = 0; i < count; i++) lane(job, i);
}
uint64_t use_all(const float *in, float *out) {
    far_logger logger = FAR_LOGGER_INIT(hear, NULL, FAR_LOG_INFO);
    far_thread_pool pool = FAR_THREAD_POOL_INIT(in_turn, NULL);
    far_image_info image = FAR_IMAGE_INFO_INIT;
    far_step_profile step = FAR_STEP_PROFILE_INIT;
    far_model_options model_options = FAR_MODEL_OPTIONS_INIT;
    far_session_options session_options = FAR_SESSION_OPTIONS_INIT;
    far_tensor_info info = FAR_TENSOR_INFO_INIT;
    far_input input = FAR_INPUT_F32(in, 2);
    far_output output = FAR_OUTPUT_F32(out, 3);
    static const int32_t types[1] = { 0 };
    static const int64_t ids[1] = { 0 };
    far_input integers[2] = { FAR_INPUT_I32(types, 1), FAR_INPUT_I64(ids, 1) };
    return image.struct_size + logger.struct_size + pool.struct_size + step.struct_size + FAR_SESSION_PROFILE + FAR_MAX_THREADS
        + model_options.struct_size + session_options.struct_size + info.struct_size + input.size + output.size
        + integers[0].size + integers[1].size + FAR_PUBLIC_KEY_SIZE + FAR_FEATURE_ZVFH + FAR_ABI_VERSION + sizeof FAR_VERSION;
}
"#;

fn compile(mut compiler: std::process::Command, standard: &str, extension: &str) {
    let folder = tempfile::tempdir().expect("a folder for the source");
    let source = folder.path().join("use").with_extension(extension);
    std::fs::write(&source, SOURCE).expect("the source can be written");
    compiler.arg(standard).args(STRICT).arg("-I").arg(capi().join("include")).arg(source);
    succeed(&mut compiler);
}

#[test]
fn is_c99() {
    compile(cc(), "-std=c99", "c");
}

#[test]
fn is_c11() {
    compile(cc(), "-std=c11", "c");
}

#[test]
fn is_cpp17() {
    compile(cxx(), "-std=c++17", "cpp");
}
