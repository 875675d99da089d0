//! A value with counted owners, as `std::sync::Arc`, but for two things: where there is no memory for it, that is an error, and
//! there are no weak owners. One of the places that hold unsafe code. May import: `error`, `team` (the trait of pools).
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::error::{Error, Result};
use crate::team::Pool;

/// One of the owners of a value, which lives as long as any of them.
pub struct Counted<T: ?Sized> {
    inner: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

#[repr(C)]
struct Inner<T: ?Sized> {
    owners: AtomicUsize,
    value: T,
}

// SAFETY: owners on several threads share the value, and the last of them drops it, on whatever thread it is.
unsafe impl<T: ?Sized + Send + Sync> Send for Counted<T> {}
// SAFETY: as above; a shared owner gives a shared value, and another owner.
unsafe impl<T: ?Sized + Send + Sync> Sync for Counted<T> {}

impl<T> Counted<T> {
    /// The first owner of a value.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(value: T) -> Result<Counted<T>> {
        let layout = Layout::new::<Inner<T>>();
        // SAFETY: the layout is not of size 0: a counter is in it.
        let inner = NonNull::new(unsafe { alloc(layout) }.cast::<Inner<T>>())
            .ok_or(Error::OutOfMemory { what: "a shared object", bytes: layout.size() })?;
        // SAFETY: fresh memory of that layout.
        unsafe { inner.write(Inner { owners: AtomicUsize::new(1), value }) };
        Ok(Counted { inner, owns: PhantomData })
    }

    /// Gives up this owner for a pointer, by which [`from_raw`](Self::from_raw) has it again.
    pub(crate) fn into_raw(self) -> *mut std::ffi::c_void {
        let inner = self.inner;
        std::mem::forget(self);
        inner.as_ptr().cast()
    }

    /// The owner that a pointer stands for.
    ///
    /// # Safety
    /// The pointer came from [`into_raw`](Self::into_raw) of the same type, and this is done once.
    pub(crate) unsafe fn from_raw(raw: *mut std::ffi::c_void) -> Counted<T> {
        // SAFETY: what `into_raw` gave is not null.
        Counted { inner: unsafe { NonNull::new_unchecked(raw.cast()) }, owns: PhantomData }
    }
}

impl<P: Pool + 'static> From<Counted<P>> for Counted<dyn Pool> {
    fn from(pool: Counted<P>) -> Counted<dyn Pool> {
        let inner: NonNull<Inner<dyn Pool>> = pool.inner;
        std::mem::forget(pool);
        Counted { inner, owns: PhantomData }
    }
}

impl<T: ?Sized> Counted<T> {
    fn inner(&self) -> &Inner<T> {
        // SAFETY: alive as long as any owner is, of which this is one.
        unsafe { self.inner.as_ref() }
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    fn clone(&self) -> Counted<T> {
        // An owner is made from an owner, so that nothing has to be seen before.
        if self.inner().owners.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            abort(); // only by owners that were forgotten, more than memory has room for
        }
        Counted { inner: self.inner, owns: PhantomData }
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    fn drop(&mut self) {
        if self.inner().owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What other owners did happens before the value is dropped.
        fence(Ordering::Acquire);
        let layout = Layout::for_value(self.inner());
        // SAFETY: this was the last owner; the value was written by `new` and is dropped once.
        unsafe { self.inner.drop_in_place() };
        // SAFETY: from `alloc` by `new`, with the layout of the same value.
        unsafe { dealloc(self.inner.as_ptr().cast(), layout) };
    }
}

impl<T: ?Sized> Deref for Counted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often one of its kind was dropped.
    #[derive(Debug)]
    struct Drops<'a>(&'a AtomicUsize);

    impl Drop for Drops<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_owner_drops_the_value() {
        let drops = AtomicUsize::new(0);
        let first = Counted::new(Drops(&drops)).unwrap();
        let second = first.clone();
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        // SAFETY: a pointer of `into_raw`, used once.
        let second = unsafe { Counted::<Drops<'_>>::from_raw(second.into_raw()) };
        assert_eq!(second.0.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn owners_on_many_threads() {
        let drops = AtomicUsize::new(0);
        let first = Counted::new(Drops(&drops)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let owner = first.clone();
                scope.spawn(move || (0..1000).for_each(|_| drop(owner.clone())));
            }
            drop(first);
        });
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_pool_of_any_type() {
        #[derive(Debug)]
        struct Large([u64; 9]);
        impl Pool for Large {
            fn run(&self, count: usize, lane: &(dyn Fn(usize) + Sync)) {
                lane(count + self.0.len());
            }
        }
        let pool: Counted<dyn Pool> = Counted::new(Large([7; 9])).unwrap().into();
        let called = AtomicUsize::new(0);
        pool.clone().run(1, &|n| called.store(n, Ordering::Relaxed));
        assert_eq!(
            (called.load(Ordering::Relaxed), format!("{pool:?}")),
            (10, format!("{:?}", Large([7; 9])))
        );
    }
}
