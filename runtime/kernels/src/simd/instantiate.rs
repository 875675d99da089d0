//! The six functions of a row of the kernel table, for one instruction set. May import: `simd`.

/// Defines `gemm`, `lstm`, `layer_norm`, `softmax`, `map` and `add` with the instructions of `$features` enabled.
/// `$new` makes a vector of 16 lanes, `$half` one of 8; both rely on those instructions.
macro_rules! instantiate {
    (
        $isa:ident enables $features:literal,
        vector $new:expr,
        half $half:expr,
        lstm pairs $pairs:literal,
        gemm panels [$($panels:literal)*] rows $rows:tt
    ) => {
        use $crate::elementwise::{AddCall, MapCall};
        use $crate::gemm::GemmCall;
        use $crate::layer_norm::LayerNormCall;
        use $crate::lstm::LstmCall;
        use $crate::simd;
        use $crate::simd::gemm::{Place, Tiles};
        use $crate::softmax::SoftmaxCall;

        const TILE: &$crate::Descriptor = $crate::Isa::$isa.descriptor();
        static TILES: Tiles<{ TILE.gemm_tile_rows }, { TILE.gemm_tile_cols / far_format::layout::PANEL }> =
            [$(instantiate!(@tiles $panels, $rows)),*];

        /// # Safety
        /// As [`simd::gemm::Tile`].
        #[target_feature(enable = $features)]
        unsafe fn tile<const ROWS: usize, const PANELS: usize>(call: &GemmCall, place: Place) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::tile::<_, ROWS, PANELS>($new, call, place, finish) }
        }

        /// # Safety
        /// As [`simd::gemm::Finish`].
        #[target_feature(enable = $features)]
        unsafe fn finish(call: &GemmCall, place: Place, rows: usize, panels: usize, acc: *const f32) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::finish($new, call, place, rows, panels, acc) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`GemmCall`].
        pub(crate) unsafe fn gemm(call: &GemmCall) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::gemm(call, &TILES) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`LstmCall`].
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn lstm(call: &LstmCall) {
            // SAFETY: as the caller promises.
            unsafe { simd::lstm::lstm::<_, _, $pairs>($new, $half, call) }
        }

        instantiate!(@rows $features, $new, layer_norm: LayerNormCall = simd::layer_norm::layer_norm);
        instantiate!(@rows $features, $new, softmax: SoftmaxCall = simd::softmax::softmax);
        instantiate!(@rows $features, $new, map: MapCall = simd::elementwise::map);
        instantiate!(@rows $features, $new, add: AddCall = simd::elementwise::add);
    };
    (@tiles $panels:literal, [$($rows:literal)*]) => { [$(tile::<$rows, $panels>),*] };
    (@rows $features:literal, $new:expr, $name:ident: $call:ty = $algorithm:path) => {
        /// # Safety
        /// The CPU has the instructions, and the promises of the call.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn $name(call: &$call) {
            // SAFETY: as the caller promises.
            unsafe { $algorithm($new, call) }
        }
    };
}
pub(crate) use instantiate;
