//! Models: opening, freeing, and what they say about themselves.
//! May import: `ffi`, `log`, `meta`, `precision`, `status`, `strings`, `port`, `tensor`, the engine's model.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use far_engine::signature::PublicKey;
use far_engine::{Counted, Limits, Model, ModelOptions, Signed};
use far_format::meta::Meta;

use crate::extent::Extents;
use crate::ffi::{
    CText, Failure, Out, Versioned, bytes, free_handle, guard, into_handle, read_struct, reference, text,
    vec_of, write_struct,
};
use crate::info::FAR_ABI_VERSION;
use crate::log::{FAR_LOG_DEBUG, FAR_LOG_INFO, Logger, far_logger};
use crate::meta::Texts;
use crate::port::Port;
use crate::precision::Precisions;
use crate::status::{FAR_ERROR_ABI_VERSION, FAR_ERROR_INDEX, FAR_ERROR_OPTION, far_status};
use crate::strings::Strings;
use crate::tensor::far_tensor_info;

/// A validated artifact. The handle is one owner of it, each of its sessions another.
pub struct far_model(Counted<Described>);

/// A model with what C asks about it in C's terms.
pub(crate) struct Described {
    pub(crate) model: Counted<Model>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// What is known of every call.
    pub(crate) extents: Extents,
    /// Names of the steps.
    pub(crate) step_names: Strings,
    texts: Texts,
    precisions: Precisions,
    name: CText,
    features: CText,
}

// The header says that pointers to const may be used by many threads at once.
const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<Described>();
};

impl far_model {
    pub(crate) fn new(model: Counted<Model>) -> Result<far_model, Failure> {
        let extents = Extents::new(&model);
        Ok(far_model(Counted::new(Described {
            step_names: Strings::new(model.plan().steps.iter().map(|step| &step.name))?,
            texts: Texts::new(model.meta())?,
            precisions: Precisions::new(model.plan())?,
            inputs: ports(model.inputs(), &extents)?,
            outputs: ports(model.outputs(), &extents)?,
            extents,
            name: text(format_args!("{}", model.plan().model))?,
            features: text(format_args!("{}", model.header().features))?,
            model,
        })?))
    }

    pub(crate) fn model(&self) -> &Model {
        &self.0.model
    }

    pub(crate) fn meta(&self) -> &Meta {
        self.model().meta()
    }

    pub(crate) fn precisions(&self) -> &Precisions {
        &self.0.precisions
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.0.texts
    }

    pub(crate) fn share(&self) -> Counted<Described> {
        Counted::clone(&self.0)
    }
}

fn ports(ports: &[far_engine::Port], extents: &Extents) -> Result<Vec<Port>, Failure> {
    let mut described = vec_of(ports.len())?;
    for port in ports {
        described.push(Port::new(port, extents)?);
    }
    Ok(described)
}

/// Bytes of a public key.
pub const FAR_PUBLIC_KEY_SIZE: usize = PublicKey::BYTES;

/// Flag of [`far_model_options`]: the file is read into memory, not mapped.
pub const FAR_MODEL_COPY: u32 = 1 << 0;

/// How a model is opened.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_model_options {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// [`FAR_ABI_VERSION`] as the caller knows it.
    pub abi_version: u32,
    /// `FAR_MODEL_*`.
    pub flags: u32,
    /// Who hears of it; NULL: nobody.
    pub logger: *const far_logger,
    /// [`FAR_PUBLIC_KEY_SIZE`] bytes, whose signature is demanded; NULL: nobody's.
    pub public_key: *const u8,
    /// Contents of the file of signatures; NULL: those of the file beside the artifact's.
    pub signature: *const c_void,
    /// Bytes at `signature`.
    pub signature_size: usize,
    /// Most bytes of the artifact; 0: any.
    pub max_file_size: u64,
    /// Most bytes of the arena; 0: what the format allows, as for those that follow.
    pub max_arena_size: u64,
    /// Most tensors of the plan.
    pub max_tensors: u32,
    /// Most steps of the plan.
    pub max_steps: u32,
    /// Most tokens of a call.
    pub max_tokens: u32,
    /// Most elements of a batch.
    pub max_batch: u32,
}

// SAFETY: `repr(C)`, `struct_size` first, integers and raw pointers only: 8 + 4 + 4 + 8, then 3 × 8, 2 × 8 and 4 × 4 bytes.
unsafe impl Versioned for far_model_options {
    const FIRST_SIZE: usize = 24;
    const DEFAULT: Self = far_model_options {
        struct_size: size_of::<Self>(),
        abi_version: FAR_ABI_VERSION,
        flags: 0,
        logger: std::ptr::null(),
        public_key: std::ptr::null(),
        signature: std::ptr::null(),
        signature_size: 0,
        max_file_size: 0,
        max_arena_size: 0,
        max_tensors: 0,
        max_steps: 0,
        max_tokens: 0,
        max_batch: 0,
    };
}

impl Default for far_model_options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Checks options, of whose flags only those of `known` may be set: what the engine makes of them, and who hears of the opening.
///
/// # Safety
///
/// `options` is as [`read_struct`] wants it, its logger as [`Logger::read`] wants it; its key and signature are NULL or as
/// many bytes as the header says, which nobody changes during `'a`.
unsafe fn check_options<'a>(
    options: *const far_model_options,
    known: u32,
) -> Result<(ModelOptions<'a>, Logger), Failure> {
    if options.is_null() {
        return Ok((ModelOptions::default(), Logger::NONE));
    }
    // SAFETY: the same contract.
    let options = unsafe { read_struct(options, "options") }?;
    if options.abi_version != FAR_ABI_VERSION {
        return Err(Failure::new(
            FAR_ERROR_ABI_VERSION,
            format_args!(
                "the program was compiled for version `{}` of the binary interface, this libfar has version \
                 `{FAR_ABI_VERSION}`; hint: link it against the far.h that came with this library",
                options.abi_version
            ),
        ));
    }
    if options.flags & !known != 0 {
        return Err(Failure::new(
            FAR_ERROR_OPTION,
            format_args!("`options.flags`: expected none but `{known:#x}`, got `{:#x}`", options.flags),
        ));
    }
    // SAFETY: the same contract.
    let (signed, logger) = unsafe { (signed(&options)?, Logger::read(options.logger)?) };
    let copy = options.flags & FAR_MODEL_COPY != 0;
    Ok((ModelOptions { copy, signed, limits: limits(&options) }, logger))
}

/// By whom the artifact must be signed.
///
/// # Safety
///
/// As for [`check_options`].
unsafe fn signed<'a>(options: &far_model_options) -> Result<Option<Signed<'a>>, Failure> {
    let mut key = None;
    if !options.public_key.is_null() {
        // SAFETY: the same contract; bytes are aligned everywhere.
        let bytes = unsafe { reference(options.public_key.cast(), "options.public_key") }?;
        key = Some(PublicKey::new(*bytes)?);
    }
    let mut signatures = None;
    if !options.signature.is_null() {
        // SAFETY: the same contract.
        signatures = Some(unsafe { bytes(options.signature, options.signature_size, "options.signature") }?);
    }
    match (key, signatures) {
        (None, None) => Ok(None),
        (Some(key), signatures) => Ok(Some(Signed { key, signatures })),
        // Whoever gives one believes that it is looked at.
        (None, Some(_)) => Err(Failure::new(
            FAR_ERROR_OPTION,
            format_args!("`options.signature`: expected `options.public_key` with it, got NULL"),
        )),
    }
}

/// The most that is accepted; 0 leaves it to the format.
fn limits(options: &far_model_options) -> Limits {
    let any = Limits::default();
    let most = |given: u64, any| if given == 0 { any } else { given };
    Limits {
        file_bytes: most(options.max_file_size, any.file_bytes),
        arena_bytes: most(options.max_arena_size, any.arena_bytes),
        tensors: most(options.max_tensors.into(), any.tensors),
        steps: most(options.max_steps.into(), any.steps),
        tokens: most(options.max_tokens.into(), any.tokens),
        batch: most(options.max_batch.into(), any.batch),
    }
}

/// Hands a model out, and says what it is.
fn opened(
    logger: Logger,
    out: Out<'_, *mut far_model>,
    open: impl FnOnce() -> Result<Counted<Model>, far_engine::Error>,
) -> Result<(), Failure> {
    let model = logger.hear(open().map_err(Failure::from).and_then(far_model::new))?;
    let described = &model.0.model;
    let (plan, header) = (described.plan(), described.header());
    logger.say(
        FAR_LOG_INFO,
        format_args!(
            "opened model `{}` for target `{}`: {} steps, {} bytes of weights, {} bytes of arena",
            plan.model,
            header.target,
            plan.steps.len(),
            described.weight_bytes(),
            plan.arena_bytes
        ),
    );
    for (kind, ports) in [("input", described.inputs()), ("output", described.outputs())] {
        for port in ports {
            let most = described.most();
            let elements = port.elements(most.batch, most.tokens);
            logger.say(
                FAR_LOG_DEBUG,
                format_args!("{kind} `{}`: at most {elements} elements of {}", port.name, port.dtype),
            );
        }
    }
    out.set(into_handle(model)?);
    Ok(())
}

/// Opens the artifact in a file.
///
/// # Safety
///
/// `path` is NULL or a string, `options` NULL or as [`read_struct`] wants it, `model` NULL or may be written
/// through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_open(
    path: *const c_char,
    options: *const far_model_options,
    model: *mut *mut far_model,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (path, model) = unsafe { (reference(path, "path")?, Out::new(model, "model")?) };
        // SAFETY: the caller's promise.
        let (options, logger) = unsafe { check_options(options, FAR_MODEL_COPY) }?;
        // SAFETY: not NULL, so a string by the caller's promise.
        let path = unsafe { CStr::from_ptr(path) };
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        opened(logger, model, || Model::open_with(path, &options))
    })
}

/// Opens the artifact in memory, which is copied.
///
/// # Safety
///
/// `data` is NULL or has `size` readable bytes, `options` is NULL or as [`read_struct`] wants it, `model` is
/// NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_open_memory(
    data: *const c_void,
    size: usize,
    options: *const far_model_options,
    model: *mut *mut far_model,
) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { open_bytes(data, size, options, model, Model::from_bytes_with) }
}

/// Opens the artifact in memory that stays, and uses it in place.
///
/// # Safety
///
/// `data` is NULL or has `size` readable bytes that nobody changes while the model or a session of it lives; the rest as
/// for [`far_model_open_memory`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_open_static(
    data: *const c_void,
    size: usize,
    options: *const far_model_options,
    model: *mut *mut far_model,
) -> far_status {
    // SAFETY: the caller's promise: as long as anything looks at the bytes, they are as good as static.
    unsafe { open_bytes(data, size, options, model, Model::from_static_with) }
}

/// Body of the functions that open memory.
///
/// # Safety
///
/// As for [`far_model_open_memory`]; nobody changes the bytes during `'a`.
unsafe fn open_bytes<'a>(
    data: *const c_void,
    size: usize,
    options: *const far_model_options,
    model: *mut *mut far_model,
    open: impl FnOnce(&'a [u8], &ModelOptions<'a>) -> far_engine::Result<Counted<Model>>,
) -> far_status {
    guard(|| {
        // SAFETY: this function's own contract.
        let (data, model) = unsafe { (bytes(data, size, "data")?, Out::new(model, "model")?) };
        // SAFETY: as above.
        let (options, logger) = unsafe { check_options(options, 0) }?;
        opened(logger, model, || open(data, &options))
    })
}

/// Gives a model back.
///
/// # Safety
///
/// `model` is NULL or a handle that is used by nobody else and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_free(model: *mut far_model) {
    // SAFETY: the caller's promise; handles come from `into_handle`.
    unsafe { free_handle(model) };
}

/// Body of the functions that ask a handle one question.
///
/// # Safety
///
/// `handle` is NULL or a live handle, `out` NULL or may be written through.
pub(crate) unsafe fn ask<H, T>(
    handle: *const H,
    what: &str,
    out: *mut T,
    out_name: &str,
    answer: impl FnOnce(&H) -> T,
) -> far_status {
    guard(|| {
        // SAFETY: the same contract.
        let (handle, out) = unsafe { (reference(handle, what)?, Out::new(out, out_name)?) };
        out.set(answer(handle));
        Ok(())
    })
}

/// The model's name.
///
/// # Safety
///
/// `model` is NULL or a live handle, `name` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_name(model: *const far_model, name: *mut *const c_char) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", name, "name", |model| model.0.name.as_ptr()) }
}

/// How many inputs the model has.
///
/// # Safety
///
/// `model` is NULL or a live handle, `count` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_input_count(model: *const far_model, count: *mut usize) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", count, "count", |model| model.0.inputs.len()) }
}

/// How many outputs the model has.
///
/// # Safety
///
/// `model` is NULL or a live handle, `count` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_output_count(model: *const far_model, count: *mut usize) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", count, "count", |model| model.0.outputs.len()) }
}

/// Bytes of the arena of each session.
///
/// # Safety
///
/// `model` is NULL or a live handle, `size` NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_arena_size(model: *const far_model, size: *mut u64) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { ask(model, "model", size, "size", |model| model.0.model.plan().arena_bytes) }
}

/// Describes an input.
///
/// # Safety
///
/// `model` is NULL or a live handle, `info` NULL or as [`write_struct`] wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_input_info(
    model: *const far_model,
    index: usize,
    info: *mut far_tensor_info,
) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { describe(model, "input", |model| &model.0.inputs, index, info) }
}

/// Describes an output.
///
/// # Safety
///
/// `model` is NULL or a live handle, `info` NULL or as [`write_struct`] wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_output_info(
    model: *const far_model,
    index: usize,
    info: *mut far_tensor_info,
) -> far_status {
    // SAFETY: the caller's promise.
    unsafe { describe(model, "output", |model| &model.0.outputs, index, info) }
}

/// # Safety
///
/// `model` is NULL or a live handle, `info` NULL or as [`write_struct`] wants it.
unsafe fn describe(
    model: *const far_model,
    kind: &str,
    ports: impl FnOnce(&far_model) -> &[Port],
    index: usize,
    info: *mut far_tensor_info,
) -> far_status {
    guard(|| {
        // SAFETY: the same contract.
        let ports = ports(unsafe { reference(model, "model") }?);
        let Some(port) = ports.get(index) else {
            return Err(Failure::new(
                FAR_ERROR_INDEX,
                format_args!("{kind} `{index}`: the model has `{}`, counted from 0", ports.len()),
            ));
        };
        // SAFETY: the same contract.
        unsafe { write_struct(info, "info", port.info()) }
    })
}

/// The CPU features that the model needs at least.
///
/// # Safety
///
/// `model` is NULL or a live handle; `bits` and `names` are NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_required_features(
    model: *const far_model,
    bits: *mut u64,
    names: *mut *const c_char,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let model = unsafe { reference(model, "model") }?;
        // SAFETY: the caller's promise.
        let (bits, names) = unsafe { (Out::optional(bits, "bits")?, Out::optional(names, "names")?) };
        if let Some(bits) = bits {
            bits.set(model.0.model.header().features.0);
        }
        if let Some(names) = names {
            names.set(model.0.features.as_ptr());
        }
        Ok(())
    })
}
