//! The functions of an int8 variant's row in the kernel table. May import: `simd`.

/// Defines `gemm` and `lstm` with the instructions of `$features` enabled. `$register` makes the products of one register,
/// `$vector` those of 16 lanes, `$half` of 8; all rely on those instructions.
macro_rules! instantiate_int8 {
    (
        $variant:ident enables $features:literal,
        register $register:expr,
        vector $vector:expr,
        half $half:expr,
        lstm pairs $pairs:literal,
        gemm vectors [$($vectors:literal)*] of $lanes:literal rows $rows:tt
    ) => {
        use $crate::gemm::GemmCall;
        use $crate::lstm::LstmCall;
        use $crate::simd::ahead::Ahead;
        use $crate::simd::gemm::{Place, Tiles};
        use $crate::simd::{gemm as single, int8};

        const TILE: &$crate::Variant = $crate::table::variant::$variant;
        static TILES: Tiles<*const f32, { TILE.gemm_tile_rows }, { TILE.gemm_tile_cols / $lanes }> =
            [$(instantiate_int8!(@tiles $vectors, $rows)),*];

        /// # Safety
        /// As [`int8::tile`].
        #[target_feature(enable = $features)]
        unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
            call: &GemmCall,
            place: Place,
            ahead: &mut Ahead,
            starts: *const f32,
        ) {
            // SAFETY: as the caller promises.
            unsafe { int8::tile::<_, ROWS, VECTORS>($register, call, place, ahead, starts, finish) }
        }

        /// # Safety
        /// As [`int8::columns`].
        #[target_feature(enable = $features)]
        unsafe fn columns(call: &GemmCall, col: usize, cols: usize, to: *mut f32) {
            // SAFETY: as the caller promises.
            unsafe { int8::columns($register, call, col, cols, to) }
        }

        /// # Safety
        /// As [`single::Finish`].
        #[target_feature(enable = $features)]
        unsafe fn finish(call: &GemmCall, place: Place, rows: usize, cols: usize, acc: *const f32) {
            // SAFETY: as the caller promises.
            unsafe { single::finish($vector.simd(), call, place, rows, cols, acc) }
        }

        /// # Safety
        /// As [`gemm`].
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn rows(call: &GemmCall) {
            // SAFETY: as the caller promises.
            unsafe { int8::rows($register, call) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`GemmCall`].
        pub(crate) unsafe fn gemm(call: &GemmCall) {
            // SAFETY: as the caller promises; the tiles read the rows that are quantised first.
            unsafe {
                rows(call);
                int8::gemm(call, $lanes, &TILES, columns);
            }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`LstmCall`].
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn lstm(call: &LstmCall) {
            // SAFETY: as the caller promises.
            unsafe { int8::lstm::<_, _, $pairs>($vector, $half, call) }
        }
    };
    (@tiles $vectors:literal, [$($rows:literal)*]) => { [$(tile::<$rows, $vectors>),*] };
}
pub(crate) use instantiate_int8;
