//! far.h as bindgen reads it, against Rust's side. What build.rs generates does not compile where a signature
//! or the type of a field differs; sizes, offsets, values and completeness are tested here.

#[cfg(not(libclang))]
#[test]
fn libclang_is_there() {
    panic!(
        "libclang is missing, so far.h can't be compared with libfar; hint: install it (Debian: `apt-get install \
         libclang1-22 libclang-common-22-dev`), or point LIBCLANG_PATH to its folder"
    );
}

#[cfg(libclang)]
mod agreement {
    use std::collections::BTreeSet;
    use std::ffi::CStr;

    include!(concat!(env!("OUT_DIR"), "/header.rs"));

    #[test]
    fn layouts_agree() {
        assert!(LAYOUTS.len() > 20, "bindgen found {} sizes and offsets only", LAYOUTS.len());
        for (what, c, rust) in LAYOUTS {
            assert_eq!(c, rust, "{what}: far.h (left) and libfar (right) differ");
        }
    }

    #[test]
    fn constants_agree() {
        assert!(CONSTANTS.len() > 40, "bindgen found {} constants only", CONSTANTS.len());
        for (name, c, rust) in CONSTANTS {
            assert_eq!(c, rust, "{name}: far.h (left) and libfar (right) differ");
        }
    }

    #[test]
    fn header_has_every_status_and_feature() {
        let in_header: BTreeSet<&str> = CONSTANTS.iter().map(|(name, ..)| *name).collect();
        for (value, name) in far::STATUSES {
            let name = name.to_str().unwrap();
            assert!(in_header.contains(name), "far.h lacks {name} = {value}");
        }
        let features = in_header.iter().filter(|name| name.starts_with("FAR_FEATURE_")).count();
        assert_eq!(features, far_format::cpu::Features::ALL.len(), "far.h lacks features, or has too many");
    }

    #[test]
    fn version_is_the_package_s() {
        let header = CStr::from_bytes_with_nul(header::FAR_VERSION).unwrap();
        assert_eq!(header.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn header_declares_exactly_the_exported_symbols() {
        let declared: BTreeSet<&str> = FUNCTIONS.iter().copied().collect();
        assert_eq!(declared, far_abi_check::committed_symbols());
    }
}
