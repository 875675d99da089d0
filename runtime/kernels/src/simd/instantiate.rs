//! The functions of an instruction set's rows of the kernel table. May import: `simd`.

/// Defines `gemm`, `lstm`, `layer_norm`, `softmax`, `map` and `add` with the instructions of `$features` enabled.
/// `$register` makes the vector of one register, `$vector` one of 16 lanes, `$half` one of 8; all rely on those
/// instructions.
macro_rules! instantiate {
    (
        $variant:ident enables $features:literal,
        register $register:expr,
        vector $vector:expr,
        half $half:expr,
        lstm pairs $pairs:literal,
        gemm vectors [$($vectors:literal)*] of $lanes:literal rows $rows:tt
    ) => {
        use $crate::elementwise::{AddCall, MapCall};
        use $crate::gemm::GemmCall;
        use $crate::layer_norm::LayerNormCall;
        use $crate::lstm::LstmCall;
        use $crate::simd;
        use $crate::simd::gemm::{Depth, Place, Tiles};
        use $crate::softmax::SoftmaxCall;

        const TILE: &$crate::Variant = $crate::table::variant::$variant;
        static TILES: Tiles<Depth, { TILE.gemm_tile_rows }, { TILE.gemm_tile_cols / $lanes }> =
            [$(instantiate!(@tiles $vectors, $rows)),*];

        /// # Safety
        /// As [`simd::gemm::Tile`].
        #[target_feature(enable = $features)]
        unsafe fn tile<const ROWS: usize, const VECTORS: usize>(call: &GemmCall, place: Place, depth: Depth) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::tile::<_, ROWS, VECTORS>($register, call, place, depth, finish) }
        }

        /// # Safety
        /// As [`simd::gemm::Finish`].
        #[target_feature(enable = $features)]
        unsafe fn finish(call: &GemmCall, place: Place, rows: usize, cols: usize, acc: *const f32) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::finish($vector, call, place, rows, cols, acc) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`GemmCall`].
        pub(crate) unsafe fn gemm(call: &GemmCall) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::gemm(call, $lanes, &TILES) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`LstmCall`].
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn lstm(call: &LstmCall) {
            // SAFETY: as the caller promises.
            unsafe { simd::lstm::lstm::<_, _, $pairs>($vector, $half, call) }
        }

        instantiate!(@rows $features, $vector, layer_norm: LayerNormCall = simd::layer_norm::layer_norm);
        instantiate!(@rows $features, $vector, softmax: SoftmaxCall = simd::softmax::softmax);
        instantiate!(@rows $features, $vector, map: MapCall = simd::elementwise::map);
        instantiate!(@rows $features, $vector, add: AddCall = simd::elementwise::add);
    };
    (@tiles $vectors:literal, [$($rows:literal)*]) => { [$(tile::<$rows, $vectors>),*] };
    (@rows $features:literal, $vector:expr, $name:ident: $call:ty = $algorithm:path) => {
        /// # Safety
        /// The CPU has the instructions, and the promises of the call.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $name(call: &$call) {
            // SAFETY: as the caller promises.
            unsafe { $algorithm($vector, call) }
        }
    };
}
pub(crate) use instantiate;
