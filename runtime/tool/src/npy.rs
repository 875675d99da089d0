//! Arrays of f32, i32 or i64 in NumPy's format: versions 1 to 3, little-endian, C order; and the header of any array.
//! Reads hostile files without harm.
//! May import: nothing of this crate; the engine's element types.

use far_engine::{Dtype, Input};

/// What a file begins with.
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is looked at: shapes of arrays take a few dozen bytes.
const MAX_HEADER: usize = 64 * 1024;

/// Most dimensions, as in NumPy.
const MAX_RANK: usize = 64;

/// An array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of its dimensions; their product is the length of `data`.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Data,
}

/// The elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Floats.
    F32(Vec<f32>),
    /// Integers of 32 bits.
    I32(Vec<i32>),
    /// Integers of 64 bits.
    I64(Vec<i64>),
}

impl Data {
    /// Their type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Data::F32(_) => Dtype::F32,
            Data::I32(_) => Dtype::I32,
            Data::I64(_) => Dtype::I64,
        }
    }

    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(data) => data.len(),
            Data::I32(data) => data.len(),
            Data::I64(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, for a run.
    pub fn as_input(&self) -> Input<'_> {
        match self {
            Data::F32(data) => Input::F32(data),
            Data::I32(data) => Input::I32(data),
            Data::I64(data) => Input::I64(data),
        }
    }

    /// The same numbers as elements of another type; integers become others where they fit, and no floats.
    ///
    /// # Errors
    /// What doesn't fit.
    pub fn into_dtype(self, dtype: Dtype) -> Result<Data, String> {
        match (self, dtype) {
            (Data::I32(data), Dtype::I64) => Ok(Data::I64(data.into_iter().map(i64::from).collect())),
            (Data::I64(data), Dtype::I32) => {
                let narrow =
                    |n: i64| i32::try_from(n).map_err(|_| format!("expected numbers of i32, got `{n}`"));
                data.into_iter().map(narrow).collect::<Result<_, _>>().map(Data::I32)
            }
            (data, dtype) if data.dtype() == dtype => Ok(data),
            (data, dtype) => Err(format!("element type: expected {dtype}, got {}", data.dtype())),
        }
    }

    /// The floats that they are.
    ///
    /// # Errors
    /// They are integers.
    pub fn into_f32(self) -> Result<Vec<f32>, String> {
        match self {
            Data::F32(data) => Ok(data),
            data => Err(format!("element type: expected f32, got {}", data.dtype())),
        }
    }

    fn from_le_bytes(bytes: &[u8], dtype: Dtype) -> Result<Data, String> {
        fn numbers<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Result<Vec<T>, String> {
            let mut data = Vec::new();
            data.try_reserve_exact(bytes.len() / N)
                .map_err(|_| format!("out of memory for `{}` bytes", bytes.len()))?;
            data.extend(bytes.as_chunks().0.iter().map(|one| from(*one)));
            Ok(data)
        }
        Ok(match dtype {
            Dtype::F32 => Data::F32(numbers(bytes, f32::from_le_bytes)?),
            Dtype::I32 => Data::I32(numbers(bytes, i32::from_le_bytes)?),
            Dtype::I64 => Data::I64(numbers(bytes, i64::from_le_bytes)?),
        })
    }
}

impl From<Vec<f32>> for Data {
    fn from(data: Vec<f32>) -> Data {
        Data::F32(data)
    }
}

/// A type in NumPy's notation.
fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "<f4",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
    }
}

/// What a file says about the elements that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Type of the elements in NumPy's notation, e.g. `<f4`.
    pub descr: &'a str,
    /// Whether the first dimension is the one that runs fastest.
    pub fortran_order: bool,
    /// Lengths of its dimensions; nothing is known of their product.
    pub shape: Vec<usize>,
}

/// Most bytes of a file that [`header`] needs to see.
pub const MAX_PREFIX: usize = MAGIC.len() + 6 + MAX_HEADER;

/// The header that a file begins with, and the bytes behind it.
///
/// # Errors
/// What is wrong, with what was expected and what is there.
pub fn header(file: &[u8]) -> Result<(Header<'_>, &[u8]), String> {
    let rest = file.strip_prefix(MAGIC).ok_or("not a .npy file: the first 6 bytes are not its signature")?;
    let (version, rest) = rest.split_at_checked(2).ok_or("truncated in the version")?;
    let (len, rest) = match version[0] {
        1 => rest.split_first_chunk().map(|(len, rest)| (u16::from_le_bytes(*len) as usize, rest)),
        2 | 3 => rest.split_first_chunk().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest)),
        other => return Err(format!("format version: expected `1`, `2` or `3`, got `{other}`")),
    }
    .ok_or("truncated in the length of the header")?;
    if len > MAX_HEADER {
        return Err(format!("header: expected at most `{MAX_HEADER}` bytes, got `{len}`"));
    }
    let (header, data) = rest.split_at_checked(len).ok_or("truncated in the header")?;
    let header = std::str::from_utf8(header).map_err(|_| "header: expected text")?;
    Ok((parse_header(header)?, data))
}

/// The array in a file's bytes.
///
/// # Errors
/// What is wrong, with what was expected and what is there.
pub fn read(file: &[u8]) -> Result<Array, String> {
    let (Header { descr: found, fortran_order, shape }, data) = header(file)?;
    let known = [Dtype::F32, Dtype::I32, Dtype::I64];
    let dtype = known.into_iter().find(|dtype| descr(*dtype) == found).ok_or_else(|| {
        format!(
            "element type: expected `<f4`, `<i4` or `<i8` (little-endian f32, i32, i64), got `{}`",
            clip(found)
        )
    })?;
    if fortran_order {
        return Err("order: expected C order, got Fortran order".into());
    }
    let elements = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let bytes = elements.and_then(|elements| elements.checked_mul(dtype.bytes()));
    if bytes != Some(data.len()) {
        let expected = bytes.map_or("more than can be counted".into(), |bytes| bytes.to_string());
        return Err(format!(
            "data of shape `{}`: expected `{expected}` bytes, got `{}`",
            text(&shape),
            data.len()
        ));
    }
    Ok(Array { shape, data: Data::from_le_bytes(data, dtype)? })
}

/// Little-endian numbers without a header, as one dimension.
///
/// # Errors
/// The length is no multiple of an element's, or memory is short.
pub fn read_raw(file: &[u8], dtype: Dtype) -> Result<Array, String> {
    let size = dtype.bytes();
    if !file.len().is_multiple_of(size) {
        return Err(format!("{dtype} data: expected a multiple of `{size}` bytes, got `{}`", file.len()));
    }
    Ok(Array { shape: vec![file.len() / size], data: Data::from_le_bytes(file, dtype)? })
}

/// The bytes of a file, version 1.
pub fn write(array: &Array) -> Vec<u8> {
    let comma = if array.shape.len() == 1 { "," } else { "" };
    let dims: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let (dtype, shape) = (descr(array.data.dtype()), dims.join(", "));
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}{comma}), }}");
    // Data begins at a multiple of 64, the line ends with a newline.
    let prefix = MAGIC.len() + 4;
    let padding = (prefix + header.len() + 1).next_multiple_of(64) - (prefix + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let bytes = array.data.len() * array.data.dtype().bytes();
    let mut file = Vec::with_capacity(prefix + header.len() + bytes);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[1, 0]);
    // At most 64 dimensions of 20 digits: far below 65,536.
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    match &array.data {
        Data::F32(data) => file.extend(data.iter().flat_map(|x| x.to_le_bytes())),
        Data::I32(data) => file.extend(data.iter().flat_map(|x| x.to_le_bytes())),
        Data::I64(data) => file.extend(data.iter().flat_map(|x| x.to_le_bytes())),
    }
    file
}

/// A shape as people write it.
pub fn text(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// A header is a Python dictionary literal with three known keys.
fn parse_header(header: &str) -> Result<Header<'_>, String> {
    let mut from = Literal { left: header };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    from.expect('{')?;
    while !from.take('}') {
        let key = from.string()?;
        from.expect(':')?;
        match key {
            "descr" => descr = Some(from.string()?),
            "fortran_order" => fortran = Some(from.boolean()?),
            "shape" => shape = Some(from.tuple()?),
            other => {
                return Err(format!(
                    "header: expected `descr`, `fortran_order` or `shape`, got `{}`",
                    clip(other)
                ));
            }
        }
        if !from.take(',') {
            from.expect('}')?;
            break;
        }
    }
    if !from.left.trim().is_empty() {
        return Err(format!("header: expected its end, got `{}`", clip(from.left.trim())));
    }
    Ok(Header {
        descr: descr.ok_or("header: no `descr`")?,
        fortran_order: fortran.ok_or("header: no `fortran_order`")?,
        shape: shape.ok_or("header: no `shape`")?,
    })
}

/// As much of a stranger's text as fits an error message.
fn clip(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Takes tokens off the front of a Python literal.
struct Literal<'a> {
    left: &'a str,
}

impl<'a> Literal<'a> {
    fn take(&mut self, token: char) -> bool {
        self.left = self.left.trim_start();
        match self.left.strip_prefix(token) {
            Some(rest) => {
                self.left = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!("header: expected `{token}`, got `{}`", clip(self.left)))
        }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take('\'') { '\'' } else { self.expect('"').map(|()| '"')? };
        let (text, rest) = self.left.split_once(quote).ok_or("header: a string doesn't end")?;
        self.left = rest;
        Ok(text)
    }

    fn word(&mut self) -> &'a str {
        self.left = self.left.trim_start();
        let end = self.left.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.left.len());
        let (word, rest) = self.left.split_at(end);
        self.left = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool, String> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(format!("header: expected `True` or `False`, got `{}`", clip(other))),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut dims = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            let word = self.word();
            dims.push(word.parse().map_err(|_| format!("shape: expected a number, got `{}`", clip(word)))?);
            if dims.len() > MAX_RANK {
                return Err(format!("shape: expected at most `{MAX_RANK}` dimensions"));
            }
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(dims)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = [MAGIC, &[version, 0][..]].concat();
        match version {
            1 => file.extend((header.len() as u16).to_le_bytes()),
            _ => file.extend((header.len() as u32).to_le_bytes()),
        }
        [&file, header.as_bytes(), data].concat()
    }

    const GOOD: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }  \n";

    #[test]
    fn round_trip() {
        for shape in [vec![], vec![3], vec![2, 3], vec![1, 0, 4]] {
            let len = shape.iter().product();
            let data = [
                Data::F32((0..len).map(|i| i as f32 - 0.5).collect()),
                Data::I32((0..len as i32).map(|i| 1 - i).collect()),
                Data::I64((0..len as i64).map(|i| i64::MIN + i).collect()),
            ];
            for data in data {
                let array = Array { shape: shape.clone(), data };
                let file = write(&array);
                assert_eq!(read(&file), Ok(array.clone()));
                assert!((file.len() - len * array.data.dtype().bytes()).is_multiple_of(64));
            }
        }
    }

    #[test]
    fn versions_and_spellings() {
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let expected = Array { shape: vec![2, 1], data: Data::F32(vec![1.5, -2.0]) };
        let other = "{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}";
        for version in [1, 2, 3] {
            assert_eq!(read(&file(version, GOOD, &data)).as_ref(), Ok(&expected));
            assert_eq!(read(&file(version, other, &data)).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn errors_have_values() {
        let cases = [
            (b"PK\x03\x04".to_vec(), "not a .npy file: the first 6 bytes are not its signature"),
            (file(4, GOOD, &[]), "format version: expected `1`, `2` or `3`, got `4`"),
            (file(1, GOOD, &[0; 7]), "data of shape `[2, 1]`: expected `8` bytes, got `7`"),
            (
                file(1, &GOOD.replace("<f4", "<f8"), &[0; 16]),
                "element type: expected `<f4`, `<i4` or `<i8` (little-endian f32, i32, i64), got `<f8`",
            ),
            (file(1, &GOOD.replace("False", "True"), &[0; 8]), "order: expected C order, got Fortran order"),
            (file(1, &GOOD.replace("2, 1", "2, -1"), &[]), "shape: expected a number, got ``"),
            (
                file(1, &GOOD.replace("shape", "shade"), &[]),
                "header: expected `descr`, `fortran_order` or `shape`, got `shade`",
            ),
            (
                file(1, &GOOD.replace("2, 1", "4294967296, 4294967296"), &[]),
                "data of shape `[4294967296, 4294967296]`: expected `more than can be counted` bytes, got `0`",
            ),
            (file(2, "", &[])[..11].to_vec(), "truncated in the length of the header"),
            (
                [&file(2, "", &[])[..8], &[0, 0, 0, 1]].concat(),
                "header: expected at most `65536` bytes, got `16777216`",
            ),
        ];
        for (file, expected) in cases {
            assert_eq!(read(&file), Err(expected.to_string()));
        }
        let good = file(1, GOOD, &[0; 8]);
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "{len} bytes");
        }
        let odd = read_raw(&[0; 6], Dtype::F32);
        assert_eq!(odd, Err("f32 data: expected a multiple of `4` bytes, got `6`".into()));
        let odd = read_raw(&[0; 12], Dtype::I64);
        assert_eq!(odd, Err("i64 data: expected a multiple of `8` bytes, got `12`".into()));
        let two = Array { shape: vec![2], data: Data::F32(vec![0.0; 2]) };
        assert_eq!(read_raw(&[0; 8], Dtype::F32), Ok(two));
    }

    #[test]
    fn integers_become_others_where_they_fit() {
        let long = Data::I64(vec![-1, 7]);
        assert_eq!(long.clone().into_dtype(Dtype::I32), Ok(Data::I32(vec![-1, 7])));
        assert_eq!(Data::I32(vec![-1, 7]).into_dtype(Dtype::I64), Ok(long.clone()));
        assert_eq!(
            Data::I64(vec![0, 1 << 31]).into_dtype(Dtype::I32),
            Err("expected numbers of i32, got `2147483648`".into())
        );
        assert_eq!(long.into_dtype(Dtype::F32), Err("element type: expected f32, got i64".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_header_is_read_or_refused(header in "[{}()',: a-z<4TrueFals0-9]{0,80}") {
            let _ = read(&file(1, &header, &[]));
        }

        #[test]
        fn a_changed_byte_is_read_or_refused(at in 0usize..80, byte: u8) {
            let mut file = file(1, GOOD, &[0; 8]);
            let at = at % file.len();
            file[at] = byte;
            let _ = read(&file);
        }
    }
}
