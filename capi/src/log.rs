//! What a caller may hear of opening models and making sessions.
//! May import: `ffi`, `message`, `status`.

use std::ffi::{c_char, c_void};
use std::fmt;

use crate::ffi::{Failure, Versioned, read_struct};
use crate::message::{self, Message};
use crate::status::{FAR_ERROR_NULL_POINTER, FAR_ERROR_OPTION};

/// How important a message is.
pub type far_log_level = i32;

/// Why a call failed: what the last error says.
pub const FAR_LOG_ERROR: far_log_level = 1;
/// It works, but not as well as could be expected.
pub const FAR_LOG_WARNING: far_log_level = 2;
/// What was opened or made.
pub const FAR_LOG_INFO: far_log_level = 3;
/// Details of it.
pub const FAR_LOG_DEBUG: far_log_level = 4;

/// What takes messages.
pub type far_log_function =
    Option<unsafe extern "C" fn(context: *mut c_void, level: far_log_level, message: *const c_char)>;

/// Who hears of it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct far_logger {
    /// Size of this struct as the caller knows it.
    pub struct_size: usize,
    /// Called with each message.
    pub log: far_log_function,
    /// First argument of `log`.
    pub context: *mut c_void,
    /// The least important messages that are wanted.
    pub level: far_log_level,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, `struct_size` first, pointers and integers, 8 + 8 + 8 + 4 + 4 bytes; a function pointer may be any bits
// that are not 0.
unsafe impl Versioned for far_logger {
    const FIRST_SIZE: usize = 32;
    const DEFAULT: Self = far_logger {
        struct_size: size_of::<Self>(),
        log: None,
        context: std::ptr::null_mut(),
        level: FAR_LOG_WARNING,
        reserved: 0,
    };
}

/// A caller's logger for the length of one call.
#[derive(Clone, Copy)]
pub(crate) struct Logger {
    log: far_log_function,
    context: *mut c_void,
    level: far_log_level,
}

impl Logger {
    pub(crate) const NONE: Logger = Logger { log: None, context: std::ptr::null_mut(), level: 0 };

    /// # Safety
    ///
    /// `logger` is NULL or as [`read_struct`] wants it, with a function that may be called during this call.
    pub(crate) unsafe fn read(logger: *const far_logger) -> Result<Logger, Failure> {
        if logger.is_null() {
            return Ok(Logger::NONE);
        }
        // SAFETY: the same contract.
        let far_logger { log, context, level, reserved, .. } =
            unsafe { read_struct(logger, "options.logger") }?;
        if log.is_none() {
            return Err(Failure::new(FAR_ERROR_NULL_POINTER, format_args!("`options.logger.log` is NULL")));
        }
        if !(FAR_LOG_ERROR..=FAR_LOG_DEBUG).contains(&level) || reserved != 0 {
            return Err(Failure::new(
                FAR_ERROR_OPTION,
                format_args!(
                    "`options.logger`: expected a level of FAR_LOG_* and `0`, got `{level}` and `{reserved}`"
                ),
            ));
        }
        Ok(Logger { log, context, level })
    }

    /// Says `text` to whoever wants messages of that level.
    pub(crate) fn say(&self, level: far_log_level, text: fmt::Arguments<'_>) {
        if let Some(log) = self.log.filter(|_| level <= self.level) {
            let mut message: Message<1024> = Message::EMPTY;
            message.replace(text);
            // SAFETY: the promise of `read`; the text ends with NUL and lives until the call ends.
            unsafe { log(self.context, level, message.as_ptr()) };
        }
    }

    /// Passes a result on, and says why where it is none.
    pub(crate) fn hear<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.is_err() && self.log.is_some() {
            // A copy: what the function does may fail, and so change the last error, which is to be this one.
            let mut text: Message<1024> = Message::EMPTY;
            message::with_last(|last| text.replace(format_args!("{last}")));
            self.say(FAR_LOG_ERROR, format_args!("{}", text.as_str()));
            message::record(format_args!("{}", text.as_str()));
        }
        result
    }
}
