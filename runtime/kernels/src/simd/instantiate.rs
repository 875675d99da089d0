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
        gemm vectors $vectors:tt of $lanes:literal rows $rows:tt
    ) => {
        use $crate::elementwise::{AddCall, MapCall};
        use $crate::layer_norm::LayerNormCall;
        use $crate::simd;
        use $crate::softmax::SoftmaxCall;

        $crate::simd::products! {
            $variant enables $features,
            product $crate::simd::Fused, finish finish,
            register $register,
            vector $vector,
            half $half,
            lstm pairs $pairs,
            gemm as gemm vectors $vectors of $lanes rows $rows
        }

        /// # Safety
        /// As [`simd::gemm::Finish`].
        #[target_feature(enable = $features)]
        pub(super) unsafe fn finish(
            call: &$crate::gemm::GemmCall,
            place: simd::gemm::Place,
            rows: usize,
            cols: usize,
            acc: *const f32,
        ) {
            // SAFETY: as the caller promises.
            unsafe { simd::gemm::finish($vector, call, place, rows, cols, acc) }
        }

        instantiate!(@rows $features, $vector, layer_norm: LayerNormCall = simd::layer_norm::layer_norm);
        instantiate!(@rows $features, $vector, softmax: SoftmaxCall = simd::softmax::softmax);
        instantiate!(@rows $features, $vector, map: MapCall = simd::elementwise::map);
        instantiate!(@rows $features, $vector, add: AddCall = simd::elementwise::add);
    };
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

/// Defines the product over words of rows and weights, as `$gemm`, and `lstm`, with the instructions of `$features`
/// enabled. `$product` multiplies; `$finish` ends a tile of the product.
macro_rules! products {
    (
        $variant:ident enables $features:literal,
        product $product:expr, finish $finish:path,
        register $register:expr,
        vector $vector:expr,
        half $half:expr,
        lstm pairs $pairs:literal,
        gemm as $gemm:ident vectors [$($vectors:literal)*] of $lanes:literal rows $rows:tt
    ) => {
        const TILE: &$crate::Variant = $crate::table::variant::$variant;
        static TILES: $crate::simd::gemm::Tiles<
            $crate::simd::gemm::Depth,
            { TILE.gemm_tile_rows },
            { TILE.gemm_tile_cols / $lanes },
        > = [$($crate::simd::products!(@tiles $vectors, $rows)),*];

        /// # Safety
        /// As [`simd::gemm::Tile`]($crate::simd::gemm::Tile).
        #[target_feature(enable = $features)]
        unsafe fn tile<const ROWS: usize, const VECTORS: usize>(
            call: &$crate::gemm::GemmCall,
            place: $crate::simd::gemm::Place,
            ahead: &mut $crate::simd::ahead::Ahead,
            depth: $crate::simd::gemm::Depth,
        ) {
            // SAFETY: as the caller promises.
            unsafe {
                $crate::simd::gemm::tile::<_, _, ROWS, VECTORS>($register, $product, call, place, ahead, depth, $finish)
            }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`GemmCall`]($crate::gemm::GemmCall), `k` counting words.
        pub(crate) unsafe fn $gemm(call: &$crate::gemm::GemmCall) {
            // SAFETY: as the caller promises.
            unsafe { $crate::simd::gemm::gemm(call, $lanes, &TILES) }
        }

        /// # Safety
        /// The CPU has the instructions, and the promises of [`LstmCall`]($crate::lstm::LstmCall).
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn lstm(call: &$crate::lstm::LstmCall) {
            // SAFETY: as the caller promises.
            unsafe { $crate::simd::lstm::lstm::<_, _, _, $pairs>($vector, $half, $product, call) }
        }
    };
    (@tiles $vectors:literal, [$($rows:literal)*]) => { [$(tile::<$rows, $vectors>),*] };
}
pub(crate) use products;
