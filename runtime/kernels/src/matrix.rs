//! Views of row-major f32 matrices: pointer, rows, columns, stride. May import: nothing of ours.
//!
//! A view is two things at once: bounds that kernels can trust, and permission to touch that memory for `'a`.
//! Views made from slices are checked; views made from raw parts are the engine's promise.

use core::marker::PhantomData;

/// A matrix that may be read.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    ptr: *const f32,
    rows: usize,
    cols: usize,
    stride: usize,
    memory: PhantomData<&'a f32>,
}

/// A matrix that may be read and written.
#[derive(Debug)]
pub struct MatMut<'a> {
    ptr: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    memory: PhantomData<&'a mut f32>,
}

/// Elements from the first to one past the last of such a matrix; `None` on overflow.
fn extent(rows: usize, cols: usize, stride: usize) -> Option<usize> {
    match rows {
        0 => Some(0),
        _ => (rows - 1).checked_mul(stride)?.checked_add(cols),
    }
}

fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    assert!(stride >= cols, "stride {stride} is less than the {cols} columns");
    let need = extent(rows, cols, stride).expect("matrix extent overflows");
    assert!(need <= len, "matrix needs {need} elements, slice has {len}");
}

impl<'a> Mat<'a> {
    /// View of a slice. Panics if the slice is too short or `stride < cols`.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { ptr: data.as_ptr(), rows, cols, stride, memory: PhantomData }
    }

    /// View of raw memory.
    ///
    /// # Safety
    /// For each row `r < rows` the `cols` elements at `ptr + r·stride` must be initialised and readable for `'a`,
    /// aligned for f32, and nobody may write them meanwhile except through a [`MatMut`] handed to the same kernel call
    /// where that kernel's documentation allows it.
    pub unsafe fn from_raw(ptr: *const f32, rows: usize, cols: usize, stride: usize) -> Self {
        debug_assert!(stride >= cols);
        Self { ptr, rows, cols, stride, memory: PhantomData }
    }

    /// First element.
    pub fn as_ptr(&self) -> *const f32 {
        self.ptr
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The part of `rows × cols` elements that begins at (`row`, `col`). Panics if it reaches outside.
    pub fn part(&self, row: usize, col: usize, rows: usize, cols: usize) -> Mat<'a> {
        assert!(row <= self.rows && rows <= self.rows - row, "rows {row}+{rows} of {}", self.rows);
        assert!(col <= self.cols && cols <= self.cols - col, "columns {col}+{cols} of {}", self.cols);
        let offset = if rows == 0 || cols == 0 { 0 } else { row * self.stride + col };
        // `wrapping_add`: in bounds by the asserts above; no dereference here.
        Mat { ptr: self.ptr.wrapping_add(offset), rows, cols, stride: self.stride, memory: PhantomData }
    }
}

impl<'a> MatMut<'a> {
    /// View of a slice. Panics if the slice is too short or `stride < cols`.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self { ptr: data.as_mut_ptr(), rows, cols, stride, memory: PhantomData }
    }

    /// View of raw memory.
    ///
    /// # Safety
    /// As [`Mat::from_raw`], and the elements (not the gaps between rows) must be writable and reachable through no
    /// other view that is used during `'a`.
    pub unsafe fn from_raw(ptr: *mut f32, rows: usize, cols: usize, stride: usize) -> Self {
        debug_assert!(stride >= cols);
        Self { ptr, rows, cols, stride, memory: PhantomData }
    }

    /// First element.
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.ptr
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { ptr: self.ptr, rows: self.rows, cols: self.cols, stride: self.stride, memory: PhantomData }
    }

    /// The part of `rows × cols` elements that begins at (`row`, `col`). Panics if it reaches outside.
    pub fn part(&mut self, row: usize, col: usize, rows: usize, cols: usize) -> MatMut<'_> {
        let read = self.as_mat().part(row, col, rows, cols);
        MatMut { ptr: read.ptr.cast_mut(), rows, cols, stride: self.stride, memory: PhantomData }
    }

    /// The same matrix, to read.
    pub fn as_mat(&self) -> Mat<'_> {
        Mat { ptr: self.ptr, rows: self.rows, cols: self.cols, stride: self.stride, memory: PhantomData }
    }
}
