//! What the system is asked directly, because the standard library allocates while it asks, and ends the process where memory is
//! short. One of the places that hold unsafe code. May import: `error`.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// CPUs that this process may use; 1 where the system doesn't say.
pub(crate) fn cpus() -> usize {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is as long as stated; 0 is this thread.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&set), set.as_mut_ptr()) };
    if status != 0 {
        return 1;
    }
    // SAFETY: bits, of which all are initialised.
    let count = unsafe { libc::CPU_COUNT(set.assume_init_ref()) };
    usize::try_from(count).map_or(1, |count| count.max(1))
}

/// Passes the value of an environment variable to `read`, if it has one that isn't empty. Whoever changes the environment
/// meanwhile breaks this as every other program in C.
pub(crate) fn with_variable<T>(name: &CStr, read: impl FnOnce(&CStr) -> T) -> Option<T> {
    // SAFETY: a string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a string of the environment's.
    let value = unsafe { CStr::from_ptr(value) };
    if value.is_empty() { None } else { Some(read(value)) }
}

/// Opens a file to read.
pub(crate) fn open(path: &Path) -> Result<File> {
    let error = |source| Ok::<_, Error>(Error::Io { path: copy(path)?, source });
    let mut text = copy(path)?.into_os_string().into_vec();
    text.try_reserve_exact(1).map_err(|_| out_of_memory(path))?;
    text.push(0);
    let Ok(text) = CStr::from_bytes_with_nul(&text) else {
        return Err(error(io::Error::from_raw_os_error(libc::EINVAL))?); // a NUL inside
    };
    loop {
        // SAFETY: a string.
        let file = unsafe { libc::open(text.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if file >= 0 {
            // SAFETY: just opened, and nobody else's.
            return Ok(File::from(unsafe { OwnedFd::from_raw_fd(file) }));
        }
        let source = io::Error::last_os_error();
        if source.kind() != io::ErrorKind::Interrupted {
            return Err(error(source)?);
        }
    }
}

/// A path's copy.
pub(crate) fn copy(path: &Path) -> Result<PathBuf> {
    copy_with(path, "")
}

/// A path's copy with something behind its name.
pub(crate) fn copy_with(path: &Path, suffix: &str) -> Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let mut copy = Vec::new();
    // One more, for the NUL that C wants.
    copy.try_reserve_exact(bytes.len() + suffix.len() + 1).map_err(|_| out_of_memory(path))?;
    copy.extend_from_slice(bytes);
    copy.extend_from_slice(suffix.as_bytes());
    Ok(PathBuf::from(OsString::from_vec(copy)))
}

fn out_of_memory(path: &Path) -> Error {
    Error::OutOfMemory { what: "a path", bytes: path.as_os_str().len() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_says() {
        assert!(cpus() >= std::thread::available_parallelism().map_or(1, Into::into));
        let length = with_variable(c"PATH", |value| value.count_bytes());
        assert_eq!(length, std::env::var_os("PATH").map(|value| value.len()).filter(|length| *length > 0));
        assert_eq!(with_variable(c"FAR_NO_SUCH_VARIABLE", |_| ()), None);
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        for path in ["/no/such/file", "/a\0b", &"/x".repeat(4000)] {
            let error = open(Path::new(path)).unwrap_err();
            assert!(matches!(&error, Error::Io { path: named, .. } if named == Path::new(path)), "{error}");
        }
    }
}
