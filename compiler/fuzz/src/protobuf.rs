//! Mutates protocol buffers of any schema: messages are taken apart as far as they can be, changed, and put together with the right
//! lengths.

use super::random::Random;

/// How deep messages are looked into.
const DEPTH: usize = 12;

/// Operators, so that nodes change into what is understood.
const OPERATORS: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "MatMul",
    "Gemm",
    "LSTM",
    "Transpose",
    "Reshape",
    "Concat",
    "Slice",
    "Split",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Gather",
    "Softmax",
    "LayerNormalization",
    "Relu",
    "Gelu",
    "Erf",
    "Tanh",
    "Sqrt",
    "Pow",
    "ReduceMean",
    "Conv",
    "Flatten",
    "Cast",
    "Shape",
    "Constant",
    "ConstantOfShape",
    "Where",
    "Identity",
    "Range",
    "If",
];

#[derive(Clone)]
enum Value {
    Number(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

#[derive(Clone)]
struct Field {
    tag: u64,
    value: Value,
}

pub(crate) fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let Some(mut message) = parse(data, DEPTH) else {
        let mut bytes = data.to_vec();
        change_bytes(&mut bytes, &mut random);
        bytes.truncate(most);
        return bytes;
    };
    for _ in 0..random.few() {
        let count = count(&message);
        let donor = nth(&message, random.below(count)).cloned();
        change(&mut message, &mut random.below(count), donor, &mut random);
    }
    let mut bytes = Vec::new();
    write(&message, &mut bytes);
    if bytes.len() > most { data.to_vec() } else { bytes }
}

fn parse(mut data: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let tag = varint(&mut data)?;
        if tag >> 3 == 0 || tag >> 3 > 1 << 12 {
            return None;
        }
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut data)?),
            1 => Value::Fixed64(*data.split_off(..8)?.as_array()?),
            5 => Value::Fixed32(*data.split_off(..4)?.as_array()?),
            2 => {
                let len = usize::try_from(varint(&mut data)?).ok()?;
                let bytes = data.split_off(..len)?;
                let text = bytes.iter().all(|byte| (b'-'..=b'z').contains(byte));
                match parse(bytes, depth.checked_sub(1)?) {
                    Some(message) if !message.is_empty() && !text => Value::Message(message),
                    _ => Value::Bytes(bytes.to_vec()),
                }
            }
            _ => return None,
        };
        fields.push(Field { tag, value });
    }
    Some(fields)
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *data.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write(message: &[Field], out: &mut Vec<u8>) {
    for Field { tag, value } in message {
        put_varint(*tag, out);
        match value {
            Value::Number(number) => put_varint(*number, out),
            Value::Fixed32(bytes) => out.extend_from_slice(bytes),
            Value::Fixed64(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => {
                put_varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            Value::Message(inner) => {
                let mut bytes = Vec::new();
                write(inner, &mut bytes);
                put_varint(bytes.len() as u64, out);
                out.extend_from_slice(&bytes);
            }
        }
    }
}

/// Fields at any depth; at least 1.
fn count(message: &[Field]) -> usize {
    fn of(message: &[Field]) -> usize {
        let inner = |field: &Field| if let Value::Message(inner) = &field.value { of(inner) } else { 0 };
        message.iter().map(|field| 1 + inner(field)).sum()
    }
    of(message).max(1)
}

fn nth(message: &[Field], mut n: usize) -> Option<&Field> {
    for field in message {
        if n == 0 {
            return Some(field);
        }
        n -= 1;
        if let Value::Message(inner) = &field.value {
            let inside = count(inner);
            if n < inside {
                return nth(inner, n);
            }
            n -= inside;
        }
    }
    None
}

/// Changes the field that is `n` fields further on. Whether it was in this message.
fn change(message: &mut Vec<Field>, n: &mut usize, donor: Option<Field>, random: &mut Random) -> bool {
    for at in 0..message.len() {
        if *n == 0 {
            change_field(message, at, donor, random);
            return true;
        }
        *n -= 1;
        if let Value::Message(inner) = &mut message[at].value
            && change(inner, n, donor.clone(), random)
        {
            return true;
        }
    }
    false
}

fn change_field(message: &mut Vec<Field>, at: usize, donor: Option<Field>, random: &mut Random) {
    let other = random.below(message.len());
    match random.below(16) {
        0 => drop(message.remove(at)),
        1 => message.insert(at, message[other].clone()),
        2 => message.swap(at, other),
        3 => message.extend(donor),
        4 => message[at].tag = (message[at].tag & 7) | (1 + random.below(24) as u64) << 3,
        5..8 => {
            // What another field of the kind says: a name, for example.
            if let Some(donor) = donor
                && std::mem::discriminant(&donor.value) == std::mem::discriminant(&message[at].value)
            {
                message[at].value = donor.value;
            }
        }
        _ => match &mut message[at].value {
            Value::Number(number) => *number = random.number(*number),
            Value::Fixed32(bytes) => {
                let number = random.number(u64::from(u32::from_le_bytes(*bytes))) as u32;
                *bytes = number.to_le_bytes();
            }
            Value::Fixed64(bytes) => *bytes = random.number(u64::from_le_bytes(*bytes)).to_le_bytes(),
            Value::Bytes(bytes) if random.below(3) == 0 => {
                *bytes = OPERATORS[random.below(OPERATORS.len())].as_bytes().to_vec();
            }
            Value::Bytes(bytes) => change_bytes(bytes, random),
            Value::Message(_) => message[at].value = message[other].value.clone(),
        },
    }
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.next() as u8);
    }
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        2 => drop(bytes.remove(at)),
        // A word of the numbers that constants are made of.
        3 if bytes.len() >= 8 => {
            let at = random.below(bytes.len() / 8) * 8;
            let word: [u8; 8] = bytes[at..at + 8].try_into().expect("8 bytes");
            bytes[at..at + 8].copy_from_slice(&random.number(u64::from_le_bytes(word)).to_le_bytes());
        }
        4..6 => bytes[at] = random.next() as u8,
        _ => bytes[at] ^= 1 << random.below(8),
    }
}
