//! Status codes, their names, and how the errors of the engine map to them.
//! May import: `ffi` (to record a message), the engine's error.

use std::ffi::{CStr, c_char};
use std::io;

use far_engine::ErrorKind;

use crate::ffi::Failure;

/// What a function answers: [`FAR_OK`] or one of the errors. Ranges and numbers are never reused.
pub type far_status = i32;

macro_rules! statuses {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: far_status = $value;)*

        /// Every status and its name, in order.
        pub const STATUSES: &[(far_status, &CStr)] = &[$(($value, c_name(concat!(stringify!($name), "\0")))),*];
    };
}

const fn c_name(with_nul: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(with_nul.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a name ends with its only NUL"),
    }
}

statuses! {
    FAR_OK = 0, "It worked.";

    FAR_ERROR_NULL_POINTER = 100, "A pointer that is needed is NULL.";
    FAR_ERROR_STRUCT_SIZE = 101, "`struct_size` is too small, or larger and not zero where this library knows no field.";
    FAR_ERROR_ABI_VERSION = 102, "The program was compiled for another ABI version.";
    FAR_ERROR_OPTION = 103, "An option has a value that does not exist.";
    FAR_ERROR_INDEX = 104, "No input or output of that index.";
    FAR_ERROR_COUNT = 105, "Not as many inputs or outputs as the model has.";
    FAR_ERROR_NAME = 106, "No input or output of that name, or the same one twice.";
    FAR_ERROR_DTYPE = 107, "Not the element type that the model has there.";
    FAR_ERROR_SHAPE = 108, "Not the dimensions that the model has there.";
    FAR_ERROR_SIZE = 109, "Not the number of bytes that the shape takes.";
    FAR_ERROR_ALIGNMENT = 110, "A pointer is not aligned to what it points at.";
    FAR_ERROR_OVERLAP = 111, "An output overlaps an input or another output.";
    FAR_ERROR_BUSY = 112, "The session is running in another thread.";
    FAR_ERROR_TOKEN_ID = 113, "A token's id that its table does not have.";
    FAR_ERROR_MASK = 114, "An attention mask that is not ones, at least one, then zeros.";
    FAR_ERROR_ABSENT = 115, "The artifact does not say that.";

    FAR_ERROR_FILE_NOT_FOUND = 200, "There is no such file.";
    FAR_ERROR_IO = 201, "The operating system refused.";

    FAR_ERROR_NOT_AN_ARTIFACT = 300, "Does not begin as an artifact does.";
    FAR_ERROR_FORMAT_VERSION = 301, "Made for another version of the format.";
    FAR_ERROR_CORRUPT = 302, "Shortened, lengthened or altered after it was written.";
    FAR_ERROR_INVALID_ARTIFACT = 303, "Breaks the specification of the format.";

    FAR_ERROR_ARCH = 400, "Compiled for another architecture.";
    FAR_ERROR_FEATURES = 401, "Needs CPU features that are not here.";
    FAR_ERROR_LIMIT = 402, "More than the options accept.";

    FAR_ERROR_OUT_OF_MEMORY = 500, "Memory could not be had.";
    FAR_ERROR_THREAD = 501, "A thread could not be started.";

    FAR_ERROR_CANCELLED = 600, "The caller ended the run.";

    FAR_ERROR_UNSIGNED = 700, "There is no signature.";
    FAR_ERROR_SIGNATURE_FILE = 701, "The signatures are not written as they should be.";
    FAR_ERROR_OTHER_KEY = 702, "Signed, but not by the key that is demanded.";
    FAR_ERROR_SIGNATURE = 703, "Altered after it was signed.";

    FAR_ERROR_INTERNAL = 900, "A panic was caught.";
    FAR_ERROR_POISONED = 901, "An earlier run of this session panicked.";
}

/// The name of a status.
#[unsafe(no_mangle)]
pub extern "C" fn far_status_name(status: far_status) -> *const c_char {
    STATUSES.iter().find(|(value, _)| *value == status).map_or(c"unknown", |(_, name)| *name).as_ptr()
}

impl From<far_engine::Error> for Failure {
    fn from(error: far_engine::Error) -> Failure {
        let status = match error.kind() {
            ErrorKind::Io => match &error {
                far_engine::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    FAR_ERROR_FILE_NOT_FOUND
                }
                _ => FAR_ERROR_IO,
            },
            ErrorKind::NotAnArtifact => FAR_ERROR_NOT_AN_ARTIFACT,
            ErrorKind::Version => FAR_ERROR_FORMAT_VERSION,
            ErrorKind::Corrupt => FAR_ERROR_CORRUPT,
            ErrorKind::InvalidArtifact => FAR_ERROR_INVALID_ARTIFACT,
            ErrorKind::Exceeded => FAR_ERROR_LIMIT,
            ErrorKind::Unsigned => FAR_ERROR_UNSIGNED,
            ErrorKind::SignatureFile => FAR_ERROR_SIGNATURE_FILE,
            ErrorKind::OtherKey => FAR_ERROR_OTHER_KEY,
            ErrorKind::Signature => FAR_ERROR_SIGNATURE,
            ErrorKind::Architecture => FAR_ERROR_ARCH,
            ErrorKind::Features => FAR_ERROR_FEATURES,
            ErrorKind::OutOfMemory => FAR_ERROR_OUT_OF_MEMORY,
            ErrorKind::Alignment => FAR_ERROR_ALIGNMENT,
            ErrorKind::Option => FAR_ERROR_OPTION,
            ErrorKind::MemorySize => FAR_ERROR_SIZE,
            ErrorKind::Cancelled => FAR_ERROR_CANCELLED,
            ErrorKind::PortCount => FAR_ERROR_COUNT,
            ErrorKind::PortLength => FAR_ERROR_SIZE,
            ErrorKind::PortType => FAR_ERROR_DTYPE,
            ErrorKind::Extent => FAR_ERROR_SHAPE,
            ErrorKind::TokenId => FAR_ERROR_TOKEN_ID,
            ErrorKind::Mask => FAR_ERROR_MASK,
            ErrorKind::Thread => FAR_ERROR_THREAD,
            _ => return Failure::panicked(format_args!("{error}")),
        };
        match hint(&error) {
            "" => Failure::new(status, format_args!("{error}")),
            hint => Failure::new(status, format_args!("{error}; hint: {hint}")),
        }
    }
}

/// What to try, in terms of the header.
fn hint(error: &far_engine::Error) -> &'static str {
    use far_engine::Error;
    use far_format::{Error::Exceeded, Limit};
    match error {
        Error::Artifact(Exceeded { limit, .. }) => match limit {
            Limit::FileBytes => "raise `options.max_file_size`",
            Limit::ArenaBytes => "raise `options.max_arena_size`",
            Limit::Tensors => "raise `options.max_tensors`",
            Limit::Steps => "raise `options.max_steps`",
            Limit::Tokens => "raise `options.max_tokens`",
            Limit::Batch => "raise `options.max_batch`",
        },
        Error::Unsigned { path: None } => {
            "give the contents of the file of signatures in `options.signature`"
        }
        Error::Unsigned { .. } => "sign it with `farc sign`, and copy the file of signatures too",
        Error::SignatureFile { .. } => "copy the file of signatures again",
        Error::OtherKey { .. } => "sign it with the key that belongs to `options.public_key`",
        Error::Signature { .. } => {
            "copy artifact and signatures again; if that doesn't help, somebody changed one"
        }
        Error::PublicKey => "`options.public_key` takes the 32 bytes that `farc keygen` shows",
        _ => "",
    }
}
