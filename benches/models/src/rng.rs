//! Random numbers that are the same on every platform: integers and exact products only. Imports nothing of ours.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix per number, any seed is good.
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream that belongs to a name, so that a parameter's numbers don't depend on what else the model holds.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name, with the seed mixed in first.
        let mut hash = Rng(seed).next() ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(hash)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `[0, 1)`, 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In `[-bound, bound)`.
    pub(crate) fn uniform(&mut self, bound: f64) -> f32 {
        ((2.0 * self.unit() - 1.0) * bound) as f32
    }

    /// Mean 0, standard deviation `std`, close to normal and cut at ±3.5·std: the sum of four 16-bit uniforms. It needs
    /// no logarithm or cosine, whose last bits differ by platform.
    pub(crate) fn normal(&mut self, std: f64) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        let centred = sum as f64 - 2.0 * 65535.0;
        // The variance of one uniform on 0..=65535 is (65536² − 1)/12; of four, a third of 65536² − 1.
        (centred / ((65536.0f64 * 65536.0 - 1.0) / 3.0).sqrt() * std) as f32
    }

    /// `count` of `0..len`, in ascending order, each set as likely as any other (selection sampling).
    pub(crate) fn choose(&mut self, count: usize, len: usize) -> Vec<usize> {
        let mut wanted = count;
        let mut chosen = Vec::with_capacity(count);
        for i in 0..len {
            if self.unit() * ((len - i) as f64) < wanted as f64 {
                chosen.push(i);
                wanted -= 1;
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_is_the_published_one() {
        let mut rng = Rng(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn normal_has_its_moments() {
        let mut rng = Rng::new(1, "x");
        let x: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal(2.0))).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 4.0).abs() < 0.06, "mean {mean}, variance {variance}");
    }

    #[test]
    fn choose_gives_as_many_as_asked() {
        for count in 0..=9 {
            let chosen = Rng::new(3, "y").choose(count, 9);
            assert_eq!(chosen.len(), count);
            assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|&i| i < 9));
        }
    }
}
