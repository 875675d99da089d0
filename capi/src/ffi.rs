//! The boundary itself: panics, NULL, ownership, and structs of several versions, each handled here and
//! nowhere else. May import: `status`, `message`.

use std::alloc::Layout;
use std::ffi::{CStr, c_char, c_void};
use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use crate::message;
use crate::status::{
    FAR_ERROR_ALIGNMENT, FAR_ERROR_INTERNAL, FAR_ERROR_NULL_POINTER, FAR_ERROR_OUT_OF_MEMORY, FAR_ERROR_SIZE,
    FAR_ERROR_STRUCT_SIZE, FAR_OK, far_status,
};

/// A call that failed; its message is already recorded for this thread.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure(far_status);

impl Failure {
    /// Records `text` as this thread's last error.
    pub(crate) fn new(status: far_status, text: fmt::Arguments<'_>) -> Failure {
        message::record(text);
        Failure(status)
    }

    /// A panic that was caught further inside, as `text` says.
    pub(crate) fn panicked(text: fmt::Arguments<'_>) -> Failure {
        message::record_panic(text);
        Failure(FAR_ERROR_INTERNAL)
    }

    pub(crate) fn status(self) -> far_status {
        self.0
    }
}

/// Runs the body of a function of the C interface: a failure becomes its status, a panic
/// [`FAR_ERROR_INTERNAL`].
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> far_status {
    let outcome = message::with_panics_noted(|| catch_unwind(AssertUnwindSafe(body)));
    match outcome {
        Ok(Ok(())) => FAR_OK,
        Ok(Err(Failure(status))) => status,
        Err(payload) => {
            message::record_panic(format_args!("internal error, please report it"));
            // Dropping a payload that is no text may panic again, outside of any guard.
            if !payload.is::<&'static str>() && !payload.is::<String>() {
                std::mem::forget(payload);
            }
            FAR_ERROR_INTERNAL
        }
    }
}

/// What a pointer to const points at.
///
/// # Safety
///
/// `pointer` is NULL or points at a valid `T` that nobody changes during `'a`.
pub(crate) unsafe fn reference<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Failure> {
    present(pointer, what)?;
    // SAFETY: not NULL and aligned, checked above; valid by this function's own contract.
    Ok(unsafe { &*pointer })
}

/// The bytes that a caller passes in.
///
/// # Safety
///
/// `pointer` is NULL or points at `size` readable bytes that nobody changes during `'a`.
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, size: usize, what: &str) -> Result<&'a [u8], Failure> {
    let start = present(pointer.cast::<u8>(), what)?;
    if isize::try_from(size).is_err() {
        return Err(Failure::new(
            FAR_ERROR_SIZE,
            format_args!("`{what}`: `{size}` bytes are more than a process can have"),
        ));
    }
    // SAFETY: not NULL and of a size that can be, checked above; readable and constant by the contract.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), size) })
}

/// Memory of the caller's for f32, of at least `needed` bytes; zeroed, as far as it is needed.
///
/// # Safety
///
/// `pointer` is NULL or points at `size` bytes that are the result's alone during `'a`.
pub(crate) unsafe fn lines<'a>(
    pointer: *mut c_void,
    size: usize,
    needed: usize,
    what: &str,
) -> Result<&'a mut [f32], Failure> {
    /// A cache line.
    #[repr(align(64))]
    struct Line(#[expect(dead_code, reason = "only its alignment counts")] [u8; 64]);
    let start = present(pointer.cast::<Line>(), what)?.cast::<u8>();
    if size < needed || isize::try_from(size).is_err() {
        return Err(Failure::new(
            FAR_ERROR_SIZE,
            format_args!(
                "`{what}`: expected at least `{needed}` bytes, got `{size}`; hint: far_session_memory_size() with \
                 the same options"
            ),
        ));
    }
    // SAFETY: not NULL, aligned and of that size, checked above; ours alone by the contract.
    unsafe { start.write_bytes(0, needed) };
    // SAFETY: as above; just initialised, and every bit pattern is an f32.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.as_ptr().cast(), needed / size_of::<f32>()) })
}

/// A place where the caller wants a result; written only by [`Out::set`], so a call that fails leaves it as
/// it was.
pub(crate) struct Out<'a, T> {
    place: NonNull<T>,
    lifetime: PhantomData<&'a mut MaybeUninit<T>>,
}

impl<T> Out<'_, T> {
    /// # Safety
    ///
    /// `pointer` is NULL or points at memory for a `T`, initialised or not, that is the caller's to write.
    pub(crate) unsafe fn new(pointer: *mut T, what: &str) -> Result<Self, Failure> {
        Ok(Out { place: present(pointer, what)?, lifetime: PhantomData })
    }

    /// As [`Out::new`], for a result that the caller may decline with NULL.
    ///
    /// # Safety
    ///
    /// As for [`Out::new`].
    pub(crate) unsafe fn optional(pointer: *mut T, what: &str) -> Result<Option<Self>, Failure> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: the same contract.
        unsafe { Out::new(pointer, what) }.map(Some)
    }

    /// Hands the result out.
    pub(crate) fn set(self, value: T) {
        // SAFETY: memory for a `T` that we may write, by the contract of `new`; aligned, checked there.
        unsafe { self.place.write(value) };
    }
}

/// Gives up ownership of a handle to the caller.
pub(crate) fn into_handle<T>(value: T) -> Result<*mut T, Failure> {
    const { assert!(size_of::<T>() != 0) };
    let layout = Layout::new::<T>();
    // SAFETY: the size is not zero, asserted above.
    let memory = unsafe { std::alloc::alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(out_of_memory(layout.size()));
    }
    // SAFETY: fresh memory of the layout of a `T`.
    unsafe { memory.write(value) };
    Ok(memory)
}

/// Takes ownership of a handle back and drops it; NULL is fine. A panic on the way is swallowed: there is
/// nobody to tell.
///
/// # Safety
///
/// `handle` is NULL or came from [`into_handle`], is used by nobody else, and is not used again.
pub(crate) unsafe fn free_handle<T>(handle: *mut T) {
    guard(|| {
        if !handle.is_null() {
            // SAFETY: from `into_handle`, which allocates with the global allocator as a box does; ours alone
            // by the contract.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    });
}

/// A struct of the C interface that begins with its own size and grows only at the end.
///
/// # Safety
///
/// `repr(C)`, its first field is `struct_size: usize`, every bit pattern is valid, and it has no padding.
pub(crate) unsafe trait Versioned: Copy {
    /// Size in the first version of the interface that had it.
    const FIRST_SIZE: usize;
    /// Every field at what it means when it is not given.
    const DEFAULT: Self;
}

/// No struct will ever be larger; a larger `struct_size` is memory that was not initialised.
const MAX_STRUCT_SIZE: usize = 4096;

/// Reads a struct that the caller filled. Fields that the caller does not know take their defaults; fields
/// that we do not know must be zero.
///
/// # Safety
///
/// `pointer` is NULL or points at `struct_size` readable bytes, of which the first hold `struct_size` itself.
pub(crate) unsafe fn read_struct<T: Versioned>(pointer: *const T, what: &str) -> Result<T, Failure> {
    // SAFETY: the same contract.
    let size = unsafe { struct_size(pointer, what) }?;
    let known = size.min(size_of::<T>());
    let mut value = T::DEFAULT;
    // SAFETY: `known` bytes are readable (the contract) and fit in a `T`; any bit pattern is a valid `T` (its
    // trait).
    unsafe { pointer.cast::<u8>().copy_to_nonoverlapping((&raw mut value).cast(), known) };
    for offset in known..size {
        // SAFETY: below `struct_size`, hence readable.
        if unsafe { pointer.cast::<u8>().add(offset).read() } != 0 {
            return Err(Failure::new(
                FAR_ERROR_STRUCT_SIZE,
                format_args!(
                    "`{what}` sets a field at offset `{offset}` that this library doesn't know: it knows the first `{}` \
                     bytes; hint: the program was compiled for a newer libfar",
                    size_of::<T>()
                ),
            ));
        }
    }
    Ok(value)
}

/// Writes a struct whose `struct_size` the caller set, as far as the caller knows it.
///
/// # Safety
///
/// `pointer` is NULL or points at `struct_size` bytes that may be written, of which the first hold
/// `struct_size` itself.
pub(crate) unsafe fn write_struct<T: Versioned>(
    pointer: *mut T,
    what: &str,
    value: T,
) -> Result<(), Failure> {
    // SAFETY: the same contract.
    let size = unsafe { struct_size(pointer, what) }?;
    let known = size.min(size_of::<T>());
    let head = size_of::<usize>();
    // SAFETY: `known` bytes may be written (the contract) and are in `value`; the caller's `struct_size` stays.
    unsafe {
        let from = (&raw const value).cast::<u8>().add(head);
        pointer.cast::<u8>().add(head).copy_from_nonoverlapping(from, known - head);
    }
    Ok(())
}

/// The size of a struct as the caller knows it.
///
/// # Safety
///
/// `pointer` is NULL or points at a readable `usize`.
pub(crate) unsafe fn struct_size<T: Versioned>(pointer: *const T, what: &str) -> Result<usize, Failure> {
    present(pointer, what)?;
    // SAFETY: not NULL and aligned, checked above; readable by the contract.
    let size = unsafe { pointer.cast::<usize>().read() };
    // No version of a struct ends inside a field: half a pointer must not be read.
    let cut = size < size_of::<T>() && !size.is_multiple_of(align_of::<T>());
    if size < T::FIRST_SIZE || size > MAX_STRUCT_SIZE || cut {
        return Err(Failure::new(
            FAR_ERROR_STRUCT_SIZE,
            format_args!(
                "`{what}.struct_size`: expected `{}`, got `{size}`; hint: start from the macro for the struct",
                size_of::<T>()
            ),
        ));
    }
    Ok(size)
}

fn present<T>(pointer: *const T, what: &str) -> Result<NonNull<T>, Failure> {
    let Some(present) = NonNull::new(pointer.cast_mut()) else {
        return Err(Failure::new(FAR_ERROR_NULL_POINTER, format_args!("`{what}` is NULL")));
    };
    if !pointer.is_aligned() {
        return Err(Failure::new(
            FAR_ERROR_ALIGNMENT,
            format_args!(
                "`{what}`: expected an address that is a multiple of `{}`, got `{pointer:p}`",
                align_of::<T>()
            ),
        ));
    }
    Ok(present)
}

/// A string for C, in memory that was asked for fallibly.
#[derive(Debug)]
pub(crate) struct CText(Vec<u8>);

impl CText {
    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default() // `text` ends it with one
    }
}

impl fmt::Write for CText {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.try_reserve(s.len() + 1).map_err(|_| fmt::Error)?;
        self.0.extend(s.bytes().map(|b| if b == 0 { b' ' } else { b }));
        Ok(())
    }
}

/// Formats a string for C; a NUL in it becomes a space.
pub(crate) fn text(text: fmt::Arguments<'_>) -> Result<CText, Failure> {
    let mut out = CText(Vec::new());
    // Room for the last byte was made with that for what is before it.
    out.write_str("").and_then(|()| out.write_fmt(text)).map_err(|_| out_of_memory(out.0.len() + 1))?;
    out.0.push(0);
    Ok(out)
}

/// A vector with room for `capacity` elements.
pub(crate) fn vec_of<T>(capacity: usize) -> Result<Vec<T>, Failure> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(capacity).map_err(|_| out_of_memory(capacity.saturating_mul(size_of::<T>())))?;
    Ok(vec)
}

fn out_of_memory(bytes: usize) -> Failure {
    Failure::new(FAR_ERROR_OUT_OF_MEMORY, format_args!("out of memory: can't allocate `{bytes}` bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::last_error;

    #[test]
    fn a_panic_becomes_a_status_with_its_text_and_place() {
        assert_eq!(guard(|| panic!("the answer is {}", 42)), FAR_ERROR_INTERNAL);
        let message = last_error();
        assert!(message.starts_with("internal error, please report it: "), "{message}");
        assert!(message.contains("the answer is 42") && message.contains("ffi.rs"), "{message}");
    }

    #[test]
    fn a_panic_of_any_type_is_contained() {
        assert_eq!(guard(|| std::panic::panic_any(vec![1, 2, 3])), FAR_ERROR_INTERNAL);
        assert_eq!(guard(|| std::panic::resume_unwind(Box::new(7))), FAR_ERROR_INTERNAL);
        assert_eq!(last_error(), "internal error, please report it");
    }

    #[test]
    fn a_failure_becomes_its_status() {
        assert_eq!(
            guard(|| Err(Failure::new(FAR_ERROR_SIZE, format_args!("too {}", "long")))),
            FAR_ERROR_SIZE
        );
        assert_eq!(last_error(), "too long");
        assert_eq!(guard(|| Ok(())), FAR_OK);
    }

    #[test]
    fn a_panic_while_freeing_is_contained() {
        struct Bad(#[expect(dead_code, reason = "a handle has a size")] u8);
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("not today");
            }
        }
        let handle = into_handle(Bad(1)).unwrap();
        // SAFETY: just made, and not used again.
        unsafe { free_handle(handle) };
    }

    /// A struct that once had no `later`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        struct_size: usize,
        first: u64,
        later: u64,
    }

    // SAFETY: as the trait wants it.
    unsafe impl Versioned for Grown {
        const FIRST_SIZE: usize = 16;
        const DEFAULT: Self = Grown { struct_size: 24, first: 1, later: 2 };
    }

    #[test]
    fn a_struct_of_an_older_program_lacks_what_it_does_not_know() {
        let older = Grown { struct_size: 16, first: 7, later: 8 };
        // SAFETY: a struct of that size.
        let read = unsafe { read_struct(&older, "it") }.unwrap();
        assert_eq!((read.first, read.later), (7, 2));
        let mut written = older;
        // SAFETY: as above.
        unsafe { write_struct(&mut written, "it", Grown { struct_size: 24, first: 3, later: 4 }) }.unwrap();
        assert_eq!(written, Grown { struct_size: 16, first: 3, later: 8 });
        let small = Grown { struct_size: 15, ..older };
        // SAFETY: as above.
        assert_eq!(unsafe { read_struct(&small, "it") }.unwrap_err().status(), FAR_ERROR_STRUCT_SIZE);
    }

    #[test]
    fn lent_memory_is_zeroed_as_far_as_it_is_needed() {
        #[repr(align(64))]
        struct Memory([u8; 192]);
        let mut memory = Memory([9; 192]);
        let start: *mut c_void = (&raw mut memory.0).cast();
        // SAFETY: memory of this function.
        assert_eq!(unsafe { lines(start, 192, 128, "it") }.unwrap(), [0.0; 32]);
        assert_eq!(memory.0[128], 9);
        // SAFETY: as above.
        assert_eq!(unsafe { lines(start, 192, 193, "it") }.unwrap_err().status(), FAR_ERROR_SIZE);
        // SAFETY: as above.
        let misaligned = unsafe { lines(start.wrapping_byte_add(16), 64, 64, "it") };
        assert_eq!(misaligned.unwrap_err().status(), FAR_ERROR_ALIGNMENT);
        // SAFETY: NULL is refused.
        let null = unsafe { lines(std::ptr::null_mut(), 64, 64, "it") };
        assert_eq!(null.unwrap_err().status(), FAR_ERROR_NULL_POINTER);
    }

    #[test]
    fn strings_for_c_hold_no_nul() {
        assert_eq!(text(format_args!("a{}c", '\0')).unwrap().as_c_str(), c"a c");
        assert_eq!(text(format_args!("")).unwrap().as_c_str(), c"");
    }
}
