//! Chance that repeats: the same seed gives the same world.

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// From `low` up to and including `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.next() % u64::try_from(high - low + 1).unwrap()).unwrap()
    }

    pub fn index(&mut self, low: usize, high: usize) -> usize {
        usize::try_from(self.between(i64::try_from(low).unwrap(), i64::try_from(high).unwrap())).unwrap()
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.between(0, 99) < i64::from(percent)
    }
}
