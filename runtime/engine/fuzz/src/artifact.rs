//! What the fuzzer of artifacts feeds and what it asks. A case is an artifact without what can be computed: header, checksums,
//! padding and weights. So every case reaches the validator behind the checksums, and a mutation changes what an
//! artifact says, not its sums.

use std::sync::OnceLock;

use far_engine::{Counted, Dtype, Error, Extent, Input, Model, Session, SessionOptions};
use far_format::cpu::Arch;
use far_format::{ArtifactParts, read, write};

use super::fields::{Field, Fields};
use super::random::Random;

/// Fixed part of a case: see [`Case`].
const HEAD: usize = 32;

/// Where the weights section begins at least, and a multiple of which.
const WEIGHTS_ALIGNMENT: usize = 64 * 1024;

/// Larger models are read and proved, but not run: they would only be slow.
const MOST_ARENA: u64 = 128 * 1024;
const MOST_ELEMENTS: usize = 16 * 1024;

/// Bytes of weights.
const MOST_WEIGHTS: u32 = 64 * 1024;

/// The weights of every case: numbers in (-1, 1) that look random.
fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut random = Random::new(1);
        let mut small = || (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        (0..MOST_WEIGHTS / 4).flat_map(|_| small().to_le_bytes()).collect()
    })
}

/// A case, taken apart. All bytes mean something.
#[derive(Clone, Default)]
struct Case {
    features: u64,
    weights: u32,
    /// Chooses the call and the number of threads.
    call: u32,
    /// A byte of the header that is changed after all sums are right; the header's own is made right again where the
    /// highest bit is set.
    damage: u32,
    damage_bits: u8,
    meta: Vec<u8>,
    plan: Vec<u8>,
}

impl Case {
    fn take(data: &[u8]) -> Case {
        let mut head = [0; HEAD];
        let (fixed, rest) = data.split_at(data.len().min(HEAD));
        head[..fixed.len()].copy_from_slice(fixed);
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let meta = (word(8) as usize).min(rest.len());
        Case {
            features: u64::from(word(0)) | u64::from(word(4)) << 32,
            weights: word(12) % MOST_WEIGHTS,
            call: word(16),
            damage: word(20),
            damage_bits: head[24],
            meta: rest[..meta].to_vec(),
            plan: rest[meta..].to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.meta.len() + self.plan.len());
        bytes.extend_from_slice(&self.features.to_le_bytes());
        bytes.extend_from_slice(&(self.meta.len() as u32).to_le_bytes());
        for word in [self.weights, self.call, self.damage, u32::from(self.damage_bits), 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.meta);
        bytes.extend_from_slice(&self.plan);
        bytes
    }

    /// The file, as SPEC.md has it.
    fn file(&self) -> Vec<u8> {
        let meta_at = 128;
        let plan_at = (meta_at + self.meta.len()).next_multiple_of(64);
        let weights_at = (plan_at + self.plan.len()).next_multiple_of(WEIGHTS_ALIGNMENT);
        let weights = self.weights as usize;
        let mut file = vec![0; weights_at + weights];
        file[meta_at..][..self.meta.len()].copy_from_slice(&self.meta);
        file[plan_at..][..self.plan.len()].copy_from_slice(&self.plan);
        file[weights_at..].copy_from_slice(&noise()[..weights]);
        file[..8].copy_from_slice(b"\x89FAR\r\n\x1a\n");
        file[8..10].copy_from_slice(&1u16.to_le_bytes());
        let arch = Arch::HOST.map_or(0, |arch| arch as u16);
        file[10..12].copy_from_slice(&arch.to_le_bytes());
        file[12..16].copy_from_slice(&3u32.to_le_bytes());
        file[16..24].copy_from_slice(&self.features.to_le_bytes());
        let len = file.len() as u64;
        file[24..32].copy_from_slice(&len.to_le_bytes());
        let sections = [(meta_at, self.meta.len()), (plan_at, self.plan.len()), (weights_at, weights)];
        for (i, (at, len)) in sections.into_iter().enumerate() {
            let sum = crc32fast::hash(&file[at..at + len]);
            let entry = &mut file[32 + 24 * i..][..24];
            entry[..4].copy_from_slice(&(i as u32 + 1).to_le_bytes());
            entry[4..8].copy_from_slice(&sum.to_le_bytes());
            entry[8..16].copy_from_slice(&(at as u64).to_le_bytes());
            entry[16..].copy_from_slice(&(len as u64).to_le_bytes());
        }
        let repaired = self.damage >> 31 == 1;
        let at = (self.damage & !(1 << 31)) as usize;
        let damage = |file: &mut [u8]| {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= self.damage_bits;
            }
        };
        if repaired {
            damage(&mut file);
        }
        let sum = crc32fast::hash(&file[..104]);
        file[104..108].copy_from_slice(&sum.to_le_bytes());
        if !repaired {
            damage(&mut file);
        }
        file
    }
}

/// The case of an artifact.
pub fn case_of(file: &[u8]) -> Vec<u8> {
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("8 bytes")) as usize;
    let section = |i: usize| (number(32 + 24 * i + 8), number(32 + 24 * i + 16));
    let ((meta, meta_len), (plan, plan_len)) = (section(0), section(1));
    Case {
        features: number(16) as u64,
        weights: section(2).1 as u32,
        meta: file[meta..meta + meta_len].to_vec(),
        plan: file[plan..plan + plan_len].to_vec(),
        ..Case::default()
    }
    .bytes()
}

/// Reads, proves and runs a case. How far it came.
pub fn check(data: &[u8]) -> Came {
    let case = Case::take(data);
    load_and_run(&case.file(), case.call)
}

/// The same with an artifact; `call` chooses how large the call is, and the number of threads.
pub fn load_and_run(file: &[u8], call: u32) -> Came {
    let Ok(model) = Model::from_bytes(file) else { return Came::Refused };
    if call & 7 == 7 {
        is_canonical(file);
    }
    if run(&model, call) { Came::Ran } else { Came::Proved }
}

/// How far a case came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was refused.
    Refused,
    /// It was proved, and is too large to be run here.
    Proved,
    /// It ran.
    Ran,
}

/// What is read is written again to the same bytes.
fn is_canonical(file: &[u8]) {
    let artifact = read(file).expect("it was read before");
    let header = &artifact.header;
    let parts = ArtifactParts {
        arch: header.arch,
        features: header.features,
        target: &header.target,
        plan: &artifact.plan,
        weights: artifact.weights,
    };
    assert!(write(&parts).expect("what was proved can be written") == file, "it has another encoding");
}

fn run(model: &Counted<Model>, call: u32) -> bool {
    let most = model.most();
    let least = if model.plan().batch.fixed { most.batch } else { 1 };
    let extent = Extent {
        batch: least.max(most.batch.min(1 + (call >> 8) as usize % 3)),
        tokens: match most.tokens {
            0 => 0,
            tokens => 1 + (call >> 16) as usize % tokens,
        },
    };
    let ports = || model.inputs().iter().chain(model.outputs());
    let elements: usize = ports().map(|port| port.elements(extent.batch, extent.tokens)).sum();
    if model.plan().arena_bytes > MOST_ARENA || elements > MOST_ELEMENTS {
        return false;
    }
    let threads = if call & 0x38 == 0x38 { 2 } else { 1 };
    let options = SessionOptions { threads, ..SessionOptions::default() };
    let mut session = match Session::new(Counted::clone(model), &options) {
        Ok(session) => session,
        Err(error) => panic!("a proved model has no session: {error}"),
    };
    let id = (call >> 6 & 3) as i32;
    let lens: Vec<usize> =
        model.inputs().iter().map(|port| port.elements(extent.batch, extent.tokens)).collect();
    let is_mask = |i: usize| model.plan().lengths == Some(i as u32);
    let mut random = Random::new(u64::from(call));
    let mut float = || (random.next() >> 40) as f32 / (1 << 22) as f32 - 2.0;
    let floats: Vec<Vec<f32>> = lens.iter().map(|len| (0..*len).map(|_| float()).collect()).collect();
    let ints: Vec<Vec<i32>> =
        lens.iter().enumerate().map(|(i, len)| vec![if is_mask(i) { 1 } else { id }; *len]).collect();
    let longs: Vec<Vec<i64>> = ints.iter().map(|ints| ints.iter().map(|i| i64::from(*i)).collect()).collect();
    let inputs: Vec<Input<'_>> = (0..lens.len())
        .map(|i| match model.inputs()[i].dtype {
            Dtype::F32 => Input::F32(&floats[i]),
            Dtype::I32 => Input::I32(&ints[i]),
            Dtype::I64 => Input::I64(&longs[i]),
        })
        .collect();
    let lens = model.outputs().iter().map(|port| port.elements(extent.batch, extent.tokens));
    let mut outputs: Vec<Vec<f32>> = lens.map(|len| vec![f32::NAN; len]).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    match session.run_extent(extent, &inputs, &mut slices) {
        Ok(()) | Err(Error::TokenId { .. }) => true,
        Err(error) => panic!("a proved model can't be run: {error}"),
    }
}

/// Another case, made of this one by what could be a slip or malice: a number changed, taken from elsewhere, an item of a list
/// left out or doubled, a byte.
pub fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut case = Case::take(data);
    for _ in 0..random.few() {
        match random.below(32) {
            0 => case.features ^= 1 << random.below(64),
            1 => case.weights = (random.number(u64::from(case.weights)) as u32 % MOST_WEIGHTS) & !3,
            2 => case.call = random.next() as u32,
            3 => {
                case.damage = random.below(128) as u32 | (random.next() as u32 & 1 << 31);
                case.damage_bits = if random.below(2) == 0 { 0 } else { 1 << random.below(8) };
            }
            4 => change_byte(&mut case.plan, &mut random),
            5 => change_byte(&mut case.meta, &mut random),
            6 => change_fields(&mut case.meta, Fields::of_meta, &mut random),
            _ => change_fields(&mut case.plan, Fields::of_plan, &mut random),
        }
    }
    let mut bytes = case.bytes();
    bytes.truncate(most);
    bytes
}

fn change_byte(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.next() as u8);
    }
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => bytes.push(random.next() as u8),
        2..5 => bytes[at] ^= 1 << random.below(8),
        _ => bytes[at] = random.next() as u8,
    }
}

fn change_fields(bytes: &mut Vec<u8>, of: fn(&[u8]) -> Fields, random: &mut Random) {
    let found = of(bytes);
    if found.fields.is_empty() {
        return change_byte(bytes, random);
    }
    if random.below(5) == 0 && !found.lists.is_empty() {
        let list = &found.lists[random.below(found.lists.len())];
        let count = list.items.len();
        if count > 0 {
            let (start, end) = list.items[random.below(count)];
            let item = bytes[start..end].to_vec();
            let count = match random.below(3) {
                0 => {
                    bytes.drain(start..end);
                    count - 1
                }
                1 => {
                    // Doubled, or moved to another place.
                    let (to, _) = list.items[random.below(count)];
                    bytes.splice(to..to, item);
                    count + 1
                }
                _ => {
                    // What another item says.
                    let (from, to) = list.items[random.below(count)];
                    let other = bytes[from..to].to_vec();
                    bytes.splice(start..end, other);
                    count
                }
            };
            let at = list.count_at;
            bytes[at..at + 4].copy_from_slice(&(count as u32).to_le_bytes());
            return;
        }
    }
    let field = found.fields[random.below(found.fields.len())];
    let value = if random.below(4) == 0 {
        let other = found.fields[random.below(found.fields.len())];
        other.get(bytes)
    } else {
        let arena = found.fields[0].get(bytes);
        random.number_near(field.get(bytes), arena)
    };
    Field::set(field, bytes, value);
}
