//! The last error of each thread, in memory that needs no allocation, and how the text of a panic gets there.
//! May import: nothing of ours.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_char;
use std::fmt::{self, Write as _};
use std::sync::Once;

/// Bytes of a message with its NUL.
const CAPACITY: usize = 1024;

struct Message {
    /// UTF-8, then at least one NUL.
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Message {
    const EMPTY: Message = Message { bytes: [0; CAPACITY], len: 0 };

    fn replace(&mut self, text: fmt::Arguments<'_>) {
        self.len = 0;
        // An error means that the text is longer than there is room for: the rest is left out.
        let _ = self.write_fmt(text);
        self.bytes[self.len] = 0;
    }
}

impl fmt::Write for Message {
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
    static LAST: RefCell<Message> = const { RefCell::new(Message::EMPTY) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static RECORDED: Cell<bool> = const { Cell::new(false) };
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

/// Runs `body`; a panic in it is recorded instead of printed.
pub(crate) fn with_panics_recorded<R>(body: impl FnOnce() -> R) -> R {
    install_hook();
    RECORDED.set(false);
    let outer = INSIDE.replace(true);
    let result = body();
    INSIDE.set(outer);
    result
}

/// Records a panic that unwound to the boundary, unless the hook has done so with more detail.
pub(crate) fn record_panic(payload: &(dyn Any + Send)) {
    if RECORDED.get() {
        return;
    }
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    record(format_args!("internal error: {text}"));
}

/// Rust prints the message of a panic before it unwinds. A library must not, so panics below a call of ours are recorded, and all others go
/// to the hook that was there. (`libfar.so` and `libfar.a` carry a Rust runtime of their own: there, no other code's
/// panics come here.)
fn install_hook() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() {
        return; // A hook can't be replaced while unwinding.
    }
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if INSIDE.get() {
                record(format_args!("internal error: {info}"));
                RECORDED.set(true);
            } else {
                previous(info);
            }
        }));
    });
}
