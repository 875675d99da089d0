//! What the system says of an error, in words: the standard library allocates to say so, and ends the process where memory is
//! short. One of the places that hold unsafe code. May import: nothing of this crate.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fmt;
use std::io;

/// Shows an error as the standard library does.
pub(crate) struct Reason<'a>(pub(crate) &'a io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = self.0.raw_os_error() else { return write!(f, "{}", self.0) };
        let mut text = [0u8; 256];
        // SAFETY: as long as stated. What doesn't fit is cut, and what is unknown said to be.
        unsafe { libc::strerror_r(code, text.as_mut_ptr().cast(), text.len()) };
        let text = CStr::from_bytes_until_nul(&text).ok().and_then(|text| text.to_str().ok());
        write!(f, "{} (os error {code})", text.unwrap_or("an error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_says_it() {
        for error in [
            io::Error::from_raw_os_error(libc::ENOENT),
            io::Error::from_raw_os_error(123_456),
            io::ErrorKind::UnexpectedEof.into(),
        ] {
            assert_eq!(Reason(&error).to_string(), error.to_string());
        }
    }
}
