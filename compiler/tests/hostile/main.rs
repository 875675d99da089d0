//! Files that name other files, or that are small and would become large: refused by the command, in bounded time and
//! memory, by an error that says what.

mod bombs;
mod external;
