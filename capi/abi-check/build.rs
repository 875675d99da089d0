//! Reads far.h with bindgen and writes, for everything in it, a comparison with Rust's side of the interface.
//!
//! Signatures and field types are compared by the compiler: each function of libfar is assigned to the
//! function pointer that bindgen read, each struct is taken apart into the fields that bindgen read. Sizes,
//! offsets and values are compared by tests.

use std::path::PathBuf;
use std::{env, fs};

use quote::{format_ident, quote};
use syn::{Fields, ForeignItem, Ident, Item, ItemConst, ItemForeignMod, ItemStruct};

const HEADER: &str = "../include/far.h";

/// The first header of the current binary interface, which never changes.
const FROZEN: &str = "../abi/far-1.h";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={HEADER}");
    println!("cargo::rerun-if-changed={FROZEN}");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    println!("cargo::rustc-check-cfg=cfg(libclang)");
    // Without libclang the package still builds; its tests fail and say why.
    if clang_sys::load().is_ok() {
        println!("cargo::rustc-cfg=libclang");
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        for (path, name) in [(HEADER, "header"), (FROZEN, "frozen")] {
            let module = compared(&header(path), &format_ident!("{name}"));
            fs::write(out.join(format!("{name}.rs")), module).expect("OUT_DIR can be written");
        }
    }
}

/// A header in Rust, with types of its own.
fn header(path: &str) -> String {
    let bindings =
        bindgen::Builder::default().header(path).allowlist_item("(far|FAR)_.*").layout_tests(false);
    match bindings.generate() {
        Ok(bindings) => bindings.to_string(),
        Err(error) => panic!(
            "bindgen can't read {path}: {error}; hint: where it lacks stddef.h, install the headers of libclang itself \
             (Debian: `apt-get install libclang-common-22-dev`)"
        ),
    }
}

/// A header as module `module`, and its comparisons with Rust's side.
fn compared(header: &str, module: &Ident) -> String {
    let file = syn::parse_file(header).expect("bindgen writes Rust");
    let (mut layouts, mut types, mut names, mut constants) = (vec![], vec![], vec![], vec![]);
    for item in &file.items {
        match item {
            Item::Struct(item) if item.fields.iter().all(is_public_field) => {
                layouts.push(layout(item, module));
                types.push(fields(item, module));
            }
            Item::ForeignMod(item) => {
                for (name, check) in signatures(item) {
                    names.push(name);
                    types.push(check);
                }
            }
            Item::Const(item) => constants.push(constant(item, module)),
            _ => {}
        }
    }
    quote! {
        #[allow(
            dead_code,
            missing_docs,
            non_camel_case_types,
            non_upper_case_globals,
            unsafe_code,
            unreachable_pub,
            clippy::all,
            reason = "generated from C"
        )]
        mod #module {
            #file
        }

        /// The functions of far.h.
        const FUNCTIONS: &[&str] = &[#(#names),*];
        /// Its constants: name, value there, value in Rust.
        const CONSTANTS: &[(&str, i128, i128)] = &[#(#constants),*];
        /// Sizes, alignments and offsets: what, value there, value in Rust.
        const LAYOUTS: &[(&str, usize, usize)] = &[#(#(#layouts),*),*];

        /// Compiles only where all types agree. The names of types mean libfar's own.
        #[allow(dead_code, clippy::type_complexity)]
        mod types {
            use far::*;
            #(#types)*
        }
    }
    .to_string()
}

fn is_public_field(field: &syn::Field) -> bool {
    // An opaque type becomes a struct with one private field.
    matches!(field.vis, syn::Visibility::Public(_))
}

fn layout(item: &ItemStruct, module: &Ident) -> Vec<proc_macro2::TokenStream> {
    let name = &item.ident;
    let mut checks = vec![
        {
            let what = format!("size of {name}");
            quote! { (#what, size_of::<#module::#name>(), size_of::<far::#name>()) }
        },
        {
            let what = format!("alignment of {name}");
            quote! { (#what, align_of::<#module::#name>(), align_of::<far::#name>()) }
        },
    ];
    for field in item.fields.iter().filter_map(|field| field.ident.as_ref()) {
        let what = format!("offset of {name}.{field}");
        checks.push(quote! {
            (#what, std::mem::offset_of!(#module::#name, #field), std::mem::offset_of!(far::#name, #field))
        });
    }
    checks
}

/// Of a frozen header the fields that there are: structs grow at the end.
fn fields(item: &ItemStruct, module: &Ident) -> proc_macro2::TokenStream {
    let Fields::Named(named) = &item.fields else { panic!("bindgen names fields") };
    let name = &item.ident;
    let check = format_ident!("fields_of_{name}");
    let rest = (module == "frozen").then(|| quote! { .. });
    let names: Vec<_> = named.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types = named.named.iter().map(|field| &field.ty);
    quote! {
        fn #check(value: #name) -> (#(#types,)*) {
            let #name { #(#names,)* #rest } = value;
            (#(#names,)*)
        }
    }
}

fn signatures(item: &ItemForeignMod) -> Vec<(String, proc_macro2::TokenStream)> {
    let functions = item.items.iter().filter_map(|item| match item {
        ForeignItem::Fn(function) => Some(&function.sig),
        _ => None,
    });
    functions
        .map(|signature| {
            let (name, output) = (&signature.ident, &signature.output);
            let inputs = signature.inputs.iter().map(|input| match input {
                syn::FnArg::Typed(typed) => &typed.ty,
                syn::FnArg::Receiver(_) => panic!("a C function has no receiver"),
            });
            let check = quote! { const _: unsafe extern "C" fn(#(#inputs),*) #output = #name; };
            (name.to_string(), check)
        })
        .collect()
}

fn constant(item: &ItemConst, module: &Ident) -> proc_macro2::TokenStream {
    let name = &item.ident;
    let text = name.to_string();
    if text == "FAR_VERSION" {
        // A string; compared by a test of its own.
        return quote! { (#text, 0, 0) };
    }
    // bindgen puts the name of an anonymous enum before those of its values.
    let rust = format_ident!("{}", text.find("FAR_").map_or(text.as_str(), |at| &text[at..]));
    quote! { (#text, #module::#name as i128, far::#rust as i128) }
}
