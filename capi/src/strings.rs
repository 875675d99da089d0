//! Lists of strings as C has them.
//! May import: `ffi`.

use std::ffi::c_char;
use std::fmt::Display;

use crate::ffi::{CText, Failure, vec_of};

/// Strings that end with NUL, and where each of them begins. Nobody changes them.
pub(crate) struct Strings {
    pointers: Vec<*const c_char>,
    /// What `pointers` point at.
    _owned: Vec<CText>,
}

// SAFETY: the pointers are to memory that the list owns and that nobody changes.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl Strings {
    /// Their text, of as many as the iterator says there are.
    pub(crate) fn new(texts: impl ExactSizeIterator<Item = impl Display>) -> Result<Strings, Failure> {
        let (mut owned, mut pointers) = (vec_of(texts.len())?, vec_of(texts.len())?);
        for text in texts {
            let text = crate::ffi::text(format_args!("{text}"))?;
            pointers.push(text.as_ptr());
            owned.push(text);
        }
        Ok(Strings { pointers, _owned: owned })
    }

    pub(crate) fn len(&self) -> usize {
        self.pointers.len()
    }

    /// All of them, as an array.
    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    pub(crate) fn get(&self, index: usize) -> Option<*const c_char> {
        self.pointers.get(index).copied()
    }
}
