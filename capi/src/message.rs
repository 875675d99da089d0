//! The last error of each thread, in memory that needs no allocation, and how the text of a panic gets there.
//! May import: nothing of ours.

use std::cell::{Cell, RefCell};
use std::ffi::c_char;
use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Once, OnceLock};

/// One line of UTF-8 of less than `CAPACITY` bytes; what is longer is cut.
pub(crate) struct Message<const CAPACITY: usize> {
    /// The text, then at least one NUL.
    bytes: [u8; CAPACITY],
    len: usize,
}

impl<const CAPACITY: usize> Message<CAPACITY> {
    pub(crate) const EMPTY: Self = Message { bytes: [0; CAPACITY], len: 0 };

    pub(crate) fn as_str(&self) -> &str {
        // Written by `write_str` only, which writes whole characters.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// As C reads it.
    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    pub(crate) fn replace(&mut self, text: fmt::Arguments<'_>) {
        self.len = 0;
        // An error means that the text is longer than there is room for: the rest is left out.
        let _ = self.write_fmt(text);
        self.bytes[self.len] = 0;
    }
}

impl<const CAPACITY: usize> fmt::Write for Message<CAPACITY> {
    /// Control characters become spaces: a message is one line and holds no NUL.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let end = self.len + c.len_utf8();
            if end >= CAPACITY {
                return Err(fmt::Error);
            }
            c.encode_utf8(&mut self.bytes[self.len..end]);
            self.len = end;
        }
        Ok(())
    }
}

thread_local! {
    static LAST: RefCell<Message<1024>> = const { RefCell::new(Message::EMPTY) };
    /// What the hook saw of a panic during the current call.
    static PANIC: RefCell<Message<256>> = const { RefCell::new(Message::EMPTY) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What went wrong in the last call that failed on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn far_last_error() -> *const c_char {
    LAST.with(|last| {
        let message = last.as_ptr();
        // SAFETY: the cell's content, which lives as long as the thread; no reference is made.
        unsafe { &raw const (*message).bytes }.cast()
    })
}

/// Replaces this thread's message.
pub(crate) fn record(text: fmt::Arguments<'_>) {
    LAST.with(|last| {
        // Borrowed already only where formatting `text` itself panics, and then the hook comes here.
        if let Ok(mut message) = last.try_borrow_mut() {
            message.replace(text);
        }
    });
}

/// Shows this thread's message.
pub(crate) fn with_last(show: impl FnOnce(&str)) {
    LAST.with_borrow(|last| show(last.as_str()));
}

/// Runs `body`; a panic in it is noted instead of printed. A call inside another, as of a pool's lane, notes it for both.
pub(crate) fn with_panics_noted<R>(body: impl FnOnce() -> R) -> R {
    install_hook();
    let outer = INSIDE.replace(true);
    if !outer {
        PANIC.with_borrow_mut(|panic| panic.replace(format_args!("")));
    }
    let result = body();
    INSIDE.set(outer);
    result
}

/// Replaces this thread's message by one about a panic during the current call: what the hook saw of it, if
/// it did.
pub(crate) fn record_panic(what: fmt::Arguments<'_>) {
    PANIC.with_borrow(|panic| match panic.as_str() {
        "" => record(what),
        seen => record(format_args!("{what}: {seen}")),
    });
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Rust prints the message of a panic before it unwinds. A library must not print, so panics inside our calls
/// and on the engine's threads are noted, and all others go to the hook that was there. (`libfar.so` and
/// `libfar.a` carry a Rust runtime of their own, so there no other code's panics come here.)
fn install_hook() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() {
        return; // A hook can't be replaced while unwinding.
    }
    ONCE.call_once(|| {
        // Kept aside, so that the new hook is of no size and takes no memory.
        static PREVIOUS: OnceLock<Hook> = OnceLock::new();
        let _ = PREVIOUS.set(std::panic::take_hook());
        std::panic::set_hook(Box::new(|info| {
            // The engine catches the panics of its own threads, and reports them to the caller.
            if INSIDE.get() || far_engine::is_worker() {
                PANIC.with(|panic| {
                    if let Ok(mut panic) = panic.try_borrow_mut() {
                        panic.replace(format_args!("{info}"));
                    }
                });
            } else if let Some(previous) = PREVIOUS.get() {
                previous(info);
            }
        }));
    });
}
